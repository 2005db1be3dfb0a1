"""check.html as a browser reads it: pairs side by side, nothing loaded, nothing unescaped."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.elements import Tags

from saccade.check.data import examine
from saccade.check.page import MOST_ROWS, render_page
from saccade.finding import Finding, Row

HOSTILE = '<script>harm()</script><img src=x onerror="harm()">'


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    """Two classes of 24; one picture twice, one broken; sides of 150 px, which are shrunk."""
    root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir()
        for number in range(24):
            pixels = random.integers(0, 256, (150, 120, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02}.png", compress_level=1)
    shutil.copy(root / "a" / "03.png", root / "a" / "again.png")
    (root / "b" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return examine(root)


def many(examined, number: int, **more: str) -> Finding:
    paths = examined.index.path[examined.looks.seen]
    rows = tuple(
        Row(path=paths[n % len(paths)], other=paths[(n + 1) % len(paths)], score=n / number)
        for n in range(number)
    )
    words = {"name": "near-copies", "where": "all", "message": "m", "cure": "c"} | more
    return Finding(severity="warning", rows=rows, **words)


def test_both_of_a_pair_are_shown_and_no_unreadable_one(examined):
    html = render_page(examined)
    tags = Tags(html)
    assert [finding.name for finding in examined.findings] == ["equal-copies", "unreadable"]
    first, second = tags.sources()
    assert first == second  # the pictures are equal
    assert first.startswith("data:image/jpeg;base64,")
    for text in ("a/again.png", "a/03.png", "b/broken.png", "Cure:"):
        assert text in html


def test_page_runs_and_loads_nothing(examined):
    tags = Tags(render_page(examined)).tags
    assert "script" not in {tag for tag, _ in tags}
    policy = next(f["content"] for t, f in tags if f.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    links = [facts["href"] for _, facts in tags if "href" in facts]
    assert all(link.startswith(("#", "data:")) for link in links)


def test_hostile_words_stay_words(examined):
    row = Row(path=HOSTILE, other=HOSTILE, score=0.5, detail=HOSTILE)
    hostile = Finding(
        name=HOSTILE, severity="serious", where=HOSTILE, message=HOSTILE, cure=HOSTILE, rows=(row,)
    )
    plain, html = render_page(examined), render_page(replace(examined, findings=(hostile,)))
    assert {tag for tag, _ in Tags(html).tags} <= {tag for tag, _ in Tags(plain).tags}
    assert not any("onerror" in facts for _, facts in Tags(html).tags)


def test_much_that_is_found_makes_no_large_page(examined):
    """100,000 rows in ten findings, each of pictures of noise, the hardest to compress."""
    findings = tuple(many(examined, 10_000) for _ in range(10))
    html = render_page(replace(examined, findings=findings))
    assert len(html.encode()) < 2_000_000
    assert "of 10,000" in html.replace("\u202f", ",").replace("\u00a0", ",")
    assert len(Tags(html).sources()) <= 2 * 10 * MOST_ROWS


def test_many_findings_and_pictures_stay_under_the_limit(examined, monkeypatch):
    monkeypatch.setattr("saccade.check.page.MOST_BYTES", 60_000)
    findings = tuple(many(examined, 30, name=f"finding-{n}") for n in range(500))
    html = render_page(replace(examined, findings=findings))
    assert len(html.encode()) < 2_000_000
    assert "300 findings more" in html


def test_worst_rows_come_first(examined):
    html = render_page(replace(examined, findings=(many(examined, 100),)))
    assert "0.990" in html
    assert "0.100" not in html


def test_nothing_found_is_said(examined):
    assert "Nothing found." in render_page(replace(examined, findings=()))
