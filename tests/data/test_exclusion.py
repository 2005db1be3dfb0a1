from __future__ import annotations

import tarfile

import pytest
from PIL import Image

from saccade.check.data import examine
from saccade.check.files import write_findings
from saccade.data import build_index, open_source
from saccade.data.exclusion import excluded
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("cat/1", "cat/2", "dog/1")):
        path = tmp_path / "data" / f"{name}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.effect_noise((16, 16), 60 + 30 * number).save(path)
    (path.parent / "copy.png").write_bytes(path.read_bytes())
    (path.parent / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return tmp_path / "data"


def opened(path):
    return build_index(open_source(path, progress=Silence()), progress=Silence())


@pytest.mark.parametrize("kind", ["folder", "archive", "table"])
def test_what_check_writes_is_left_out(folder, tmp_path, kind):
    data = folder
    if kind == "archive":
        data = tmp_path / "data.tar"
        with tarfile.open(data, "w") as tar:
            tar.add(folder, "data")
    if kind == "table":
        data = tmp_path / "data.csv"
        names = [path.relative_to(tmp_path) for path in sorted(folder.rglob("*.png"))]
        data.write_text("\n".join(["path,label", *(f"{n},{n.parent.name}" for n in names)]))
    write_findings(tmp_path / "checked", examine(data))
    before = opened(data)
    after, digest = excluded(before, tmp_path / "checked" / "exclude.csv")
    left_out = {path: why for path, why in zip(after.path, after.reason, strict=True) if why}
    (copy,) = (why for path, why in left_out.items() if path.endswith("copy.png"))
    assert copy.startswith("excluded by exclude.csv: copy of ")
    assert copy.endswith("dog/1.png")
    (broken,) = (why for path, why in left_out.items() if path.endswith("broken.png"))
    assert "excluded" not in broken  # it could not be used anyway, and says why
    assert len(left_out) == 2
    assert len(digest) == 64


def test_any_list_of_paths_serves(folder, tmp_path):
    (tmp_path / "list.csv").write_text("\ufeffwho,path\nme,dog/1.png\nme,\n", encoding="utf-8")
    after, _ = excluded(opened(folder), tmp_path / "list.csv")
    assert after.reason[after.path == "dog/1.png"].tolist() == ["excluded by list.csv"]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"path\ncat/9.png\ncat/1.png\ncat/8.png\n", DataError, "2 of 3 pictures .*'cat/9.png'"),
        (b"name\ncat/1.png\n", SettingsError, "no column path among name"),
        (b"", SettingsError, "no column path among none"),
        (b"path\n\xff\xfe\n", SettingsError, "not UTF-8"),
    ],
)
def test_lists_that_do_not_fit_are_refused(folder, tmp_path, content, error, message):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(error, match=message):
        excluded(opened(folder), tmp_path / "list.csv")


def test_absent_list_is_refused(folder, tmp_path):
    with pytest.raises(SettingsError, match=r"none.csv cannot be read: No such file"):
        excluded(opened(folder), tmp_path / "none.csv")
