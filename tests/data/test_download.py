"""The downloader against a real server on a free port."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from saccade.data.download import PublishedFile, datasets_folder, locate
from saccade.errors import DataError
from saccade.progress import Silence

CONTENT = b"pictures " * 100_000
FILE = PublishedFile(name="train.gz", sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT))


@contextmanager
def served(content: bytes, *, announced: int | None = None, status: int = 200) -> Iterator[str]:
    """Serve `content` at every address, announcing another length if told to."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(announced or len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:  # the client has gone, as it should when there is too much
                pass

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _nothing_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SACCADE_DATASETS", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def find(url: str):
    return locate("clothes", [FILE], url, progress=Silence())


def left_behind() -> list[str]:
    return [path.name for path in datasets_folder().rglob("*") if path.is_file()]


def test_a_download_is_kept_and_found_again():
    with served(CONTENT) as url:
        (path,) = find(url)
    assert path.read_bytes() == CONTENT
    assert path == datasets_folder() / "clothes" / "train.gz"
    assert find("http://127.0.0.1:9") == [path]  # nobody is asked again


@pytest.mark.parametrize(
    ("content", "announced", "message"),
    [
        (b"x" + CONTENT[1:], None, "SHA-256 of train.gz is not the published one"),
        (CONTENT[:-10], None, "got 899,990 bytes, wanted 900,000"),
        (CONTENT[:-10], len(CONTENT), "the download broke off|got 899,990 bytes"),
        (CONTENT + b"more", None, "got 900,004 bytes, wanted 900,000"),
        (CONTENT * 20, None, "wanted 900,000"),
    ],
)
def test_a_wrong_download_is_refused_and_leaves_nothing(content, announced, message):
    with served(content, announced=announced) as url:
        with pytest.raises(DataError, match=message):
            find(url)
    assert left_behind() == []


def test_an_error_page_is_refused():
    with served(b"gone", status=404) as url:
        with pytest.raises(DataError, match=r"clothes cannot be downloaded \(Not Found\)"):
            find(url)
    assert left_behind() == []


def test_offline_says_what_to_put_where(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="Connection refused") as caught:
        find("http://127.0.0.1:9")
    assert f"put train.gz from http://127.0.0.1:9 into {tmp_path}/cache" in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("SACCADE_DATASETS", str(tmp_path / "sets"))
    with pytest.raises(DataError, match=f"into {tmp_path}/sets/clothes"):
        find("http://127.0.0.1:9")


@pytest.mark.parametrize("folder", ["", "clothes"])
def test_files_at_hand_are_used(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("SACCADE_DATASETS", str(tmp_path))
    path = tmp_path / folder / "train.gz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(CONTENT)
    assert find("http://127.0.0.1:9") == [path]


def test_a_file_at_hand_that_is_not_the_published_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_DATASETS", str(tmp_path))
    (tmp_path / "clothes").mkdir()
    (tmp_path / "clothes/train.gz").write_bytes(b"x" * len(CONTENT))
    with pytest.raises(DataError, match="clothes/train.gz is not the published file"):
        find("http://127.0.0.1:9")


def test_a_namesake_beside_other_sets_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_DATASETS", str(tmp_path))
    (tmp_path / "train.gz").write_bytes(b"of another set")
    with served(CONTENT) as url:
        assert find(url) == [datasets_folder() / "clothes" / "train.gz"]


def test_a_damaged_file_in_the_cache_is_downloaded_again():
    with served(CONTENT) as url:
        (path,) = find(url)
        path.write_bytes(b"damaged")
        assert find(url) == [path]
    assert path.read_bytes() == CONTENT
