from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.elements import Tags

from saccade.errors import SettingsError
from saccade.evaluation import Advice, NextSteps, Suspect
from saccade.report import Changes, LayerRow, ReportContent, write_report
from saccade.report.page import render_report
from saccade.types import Interval

HOSTILE = '<script>window.harm = 1</script><img src=x onerror="window.harm=2">'


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", html)).replace("\u202f", " ")


def hostile_report(content: ReportContent, evaluate) -> ReportContent:
    """A report in which every string a user's folder can bring is hostile."""
    names = [f"{HOSTILE} {row}" for row in range(9)] + ["'\"><script>harm()</script>"]
    pictures = tuple(
        replace(one, path=HOSTILE, label=HOSTILE, predicted=HOSTILE) for one in content.grid[:3]
    )
    return replace(
        content,
        name=HOSTILE,
        evaluation=evaluate(names, np.array(content.evaluation.confusion)),
        model_path=f"{HOSTILE}.saccade",
        created=HOSTILE,
        grid=pictures,
        mistakes=pictures,
        left_out=[(HOSTILE, HOSTILE), ("bad\udcff\x00\u202ename.png", "torn")],
        data_notes=(HOSTILE,),
        layers=(LayerRow(name=HOSTILE, kind=HOSTILE, output_shape=HOSTILE, num_parameters=1),),
        notes=(HOSTILE,),
        made={HOSTILE: HOSTILE},
        seconds={HOSTILE: 1.0},
        images={HOSTILE: 1},
        next_steps=NextSteps(
            advice=(Advice(action="class", sentence=HOSTILE, command=HOSTILE),),
            suspects=(Suspect(path=HOSTILE, label=HOSTILE, looks_like=HOSTILE, probability=0.9),),
        ),
        suspects=pictures,
    )


def test_what_to_do_next_is_the_last_section(digits) -> None:
    worth = Interval(value=3.14, low=1.0, high=6.5)
    steps = NextSteps(
        advice=(
            Advice(action="labels", sentence="Look at them.", worth=worth, command="do this"),
            Advice(action="data", sentence="Nobody knows."),
        )
    )
    text = text_of(render_report(replace(digits, next_steps=steps)))
    last = text[text.rindex("What to do next") :]
    assert "3.1 points 1.0 to 6.5 Look at them.do this" in last
    assert "not known Nobody knows." in last
    assert "What to do next" not in text_of(render_report(digits))


def test_answer_is_one_plain_sentence(digits) -> None:
    text = text_of(render_report(digits))
    assert (
        "It names 93.1 % of the test pictures correctly (95 % interval 89.9 % to 95.3 %); "
        "always answering “9”, the most frequent class, would get 12.2 % (9.2 % to 16.0 %)." in text
    )


def test_hostile_strings_stay_text(digits, evaluate, tmp_path) -> None:
    write_report(tmp_path / "report.html", hostile_report(digits, evaluate))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    tags = Tags(html).tags
    assert [a.get("id") for tag, a in tags if tag == "script"] == ["charts", "plotly", None]
    assert not [a for _, a in tags if any(name.startswith("on") for name in a)]
    assert all(str(a["src"]).startswith("data:image/") for tag, a in tags if tag == "img")
    assert "bad\\udcff\\x00\\u202ename.png" in html


def test_page_names_no_other_place(digits) -> None:
    without_plotly = re.sub(r'(?s)id="plotly">.*?</script>', "", render_report(digits))
    attributes = [a for _, a in Tags(without_plotly).tags]
    places = [str(a[key]) for a in attributes for key in ("src", "href", "action") if key in a]
    assert places
    assert all(place.startswith(("#", "data:")) for place in places)
    assert not re.search(r"@import|url\(", without_plotly)


def test_least_content_makes_a_page(digits, tmp_path) -> None:
    least = ReportContent(name="least", evaluation=digits.evaluation, model_path="m.saccade")
    write_report(tmp_path / "least.html", least)
    html = (tmp_path / "least.html").read_text(encoding="utf-8")
    sections = [a["id"] for tag, a in Tags(html).tags if tag == "section"]
    assert sections == ["figures", "confusion", "classes", "use"]
    assert 'id="plotly"' not in html  # nothing to draw, so two megabytes less
    assert (tmp_path / "least.html").stat().st_size < 100_000


@pytest.mark.parametrize("num_classes", [2, 3, 20, 21, 200])
def test_any_number_of_classes(large, num_classes: int) -> None:
    content = large(num_classes)
    rows = re.findall(r'<tr><th scope="row"><bdi>\d{4}', render_report(content))
    assert len(rows) >= num_classes


def test_thousand_classes_stay_small(large) -> None:
    html = render_report(large(1000, num_left_out=300_000))
    assert len(html) < 4_000_000
    text = text_of(html)
    assert "300,000 pictures were left out" in text
    assert "200 are listed here" in text
    assert "The first 300 of 420 layers are listed." in text
    assert "With 1,000 classes a full table would be unreadable" in text


def test_class_without_pictures_has_no_figure(evaluate, digits) -> None:
    matrix = np.diag([5, 5, 0])
    content = replace(digits, evaluation=evaluate(["a", "b", "c"], matrix))
    html = render_report(content)
    row = html[html.index('<tr><th scope="row"><bdi>c</bdi>', html.index('id="class-table"')) :]
    assert row[: row.index("</tr>")].count('data-key=""') == 3


def test_every_prediction_right(evaluate, digits) -> None:
    content = replace(digits, evaluation=evaluate(["a", "b"], np.diag([5, 5])), mistakes=())
    assert "None: every test picture was named correctly." in text_of(render_report(content))


def test_long_history_is_capped_and_says_so(digits) -> None:
    content = replace(digits, history={"loss": tuple(1 / n for n in range(1, 502))})
    text = text_of(render_report(content))
    assert "501 epochs" in text
    assert "The first 200 of 501 epochs are listed." in text


def test_same_content_same_page(digits) -> None:
    assert render_report(digits) == render_report(digits)


def test_unwritable_place_is_refused(digits, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot write"):
        write_report(tmp_path / "file" / "report.html", digits)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_import_is_light() -> None:
    heavy = "{'jinja2', 'plotly', 'keras', 'torch', 'pyarrow'}"
    code = f"import sys, saccade.report; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code) == "[]"


def test_without_jinja2_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['jinja2'] = None\n"  # what Python does where it is not installed
        "from saccade.report.page import environment\n"
        "try: environment()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    answer = run_python(code)
    assert answer.startswith("MissingExtraError the report needs packages")
    assert "pip install 'saccade[train]'" in answer


def test_what_training_changed_is_said_and_shown_within_bounds(digits) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (9, 9, 224, 224, 3), dtype=np.uint8)
    plain = render_report(replace(digits, changes=None))
    assert "What training changed" not in plain
    assert "shown as they are" not in plain
    unchanged = text_of(render_report(replace(digits, changes=Changes())))
    assert "Training pictures were shown as they are" in unchanged
    many = render_report(replace(digits, changes=Changes(phrases=(HOSTILE,), examples=noise)))
    assert HOSTILE not in many
    assert sum("training picture" in (one.get("alt") or "") for _, one in Tags(many).tags) == 24
    assert len(many) - len(plain) < 24 * 50_000  # noise, the worst for JPEG, at 192 px
