"""The page in a real browser, Debian's chromium without a window and without a network."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saccade.report import ReportContent, write_report

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --disable-quic"
)
DESKTOP, PHONE = (1280, 900), (390, 844)
READY = "html.ready"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium: apt install chromium, or set CHROMIUM"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield opened
        opened.close()


@contextmanager
def shown(
    browser, path: Path, *, size: tuple[int, int] = DESKTOP, scheme: str = "light", script=True
) -> Iterator[Any]:
    """Open the file; fail on a request to anywhere, on an error, or on a word in the console."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        offline=True,
        java_script_enabled=script,
    )
    page = context.new_page()
    page.set_default_timeout(60_000)  # the machine may be busy
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: said.append(request.url) if away(request.url) else None)
    try:
        page.goto(path.as_uri())
        if script:
            page.wait_for_selector(READY)
        yield page
        assert said == []
    finally:
        context.close()


def away(url: str) -> bool:
    return not url.startswith(("file:", "data:", "blob:"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture
def digits_page(folder: Path, digits: ReportContent) -> Path:
    if not (folder / "digits.html").exists():
        write_report(folder / "digits.html", digits)
    return folder / "digits.html"


@pytest.fixture
def large_page(folder: Path, large) -> Path:
    if not (folder / "large.html").exists():
        content = large(1000, num_left_out=5000)
        # Without figures: what is asked of this page is not about them, and it opens sooner.
        content = replace(content, history={}, reliability=())
        write_report(folder / "large.html", content)
    return folder / "large.html"


def test_figures_are_drawn_offline(browser, digits_page) -> None:
    with shown(browser, digits_page) as page:
        assert page.locator("[data-chart]").count() == 3
        assert page.locator("[data-chart] .scatterlayer .trace").count() == 6
        assert page.locator("[data-chart=reliability] .errorbar").count() >= 3
        assert "kept: epoch 17" in page.locator("[data-chart=loss]").inner_text()


def test_heat_map_is_drawn(browser, tmp_path, large) -> None:
    write_report(tmp_path / "report.html", large(30))
    with shown(browser, tmp_path / "report.html") as page:
        box = page.locator("[data-chart=confusion] .heatmaplayer image").first.bounding_box()
        assert box["width"] > 300


def test_million_pictures_in_a_thousand_classes_open_with_their_figures(
    browser, tmp_path, large
) -> None:
    content = large(1000, num_each=1000, num_left_out=300_000)
    assert content.evaluation.num_images == 1_000_000
    path = tmp_path / "report.html"
    write_report(path, content)
    assert path.stat().st_size < 4_000_000  # Plotly's two among them
    began = time.monotonic()
    with shown(browser, path) as page:
        page.mouse.move(600, 400)
        page.mouse.wheel(0, 20_000)
        wait_until(page, "window.scrollY > 5000", True)
        seconds = time.monotonic() - began
        assert seconds < 30  # 6 on 2 cores with ten to serve
        assert page.locator("[data-chart] .main-svg").count() >= 3
        assert page.locator("[data-chart=reliability] .errorbar").count() == 10
        assert page.locator("#class-table tbody tr").count() == 1000


@pytest.mark.parametrize("size", [DESKTOP, PHONE, (320, 640)])
def test_page_fits_its_screen(browser, digits_page, size) -> None:
    with shown(browser, digits_page, size=size) as page:
        assert first_screen_holds_the_answer(page, size[1]) or size[0] == 320
        assert training_pictures_stand_in_rows(page)
        assert not scrolls_sideways(page, size[0])


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_page_of_a_thousand_classes_does_not_scroll_sideways(browser, large_page, size) -> None:
    with shown(browser, large_page, size=size) as page:
        assert not scrolls_sideways(page, size[0])


def first_screen_holds_the_answer(page, height: int) -> bool:
    boxes = [page.locator(part).bounding_box() for part in (".lead", ".scale svg", ".said")]
    return all(box["y"] + box["height"] <= height for box in boxes)


def training_pictures_stand_in_rows(page) -> bool:
    """Four, with five versions of each beside it."""
    images = page.locator(".versions img")
    boxes = [images.nth(place).bounding_box() for place in range(images.count())]
    rows, columns = len({box["y"] for box in boxes}), len({box["x"] for box in boxes})
    return (rows, columns, len(boxes)) == (4, 6, 24) and min(box["width"] for box in boxes) > 30


def scrolls_sideways(page, width: int) -> bool:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return bool(page.evaluate("document.documentElement.scrollWidth") > width)


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_confusion_of_ten_classes_is_whole(browser, tmp_path, digits, evaluate, size) -> None:
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    counts = np.full((10, 10), 23) + 777 * np.eye(10, dtype=np.int64)
    content = replace(digits, evaluation=evaluate(names, counts), history={}, reliability=())
    write_report(tmp_path / "report.html", content)
    with shown(browser, tmp_path / "report.html", size=size) as page:
        table = page.locator(".scroll:has(> .confusion), .confusion thead bdi")
        cut = "one => one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight"
        assert table.evaluate_all(f"all => all.map({cut})") == [False] * 11


# Every piece of text against what lies under it, by WCAG's formula; 4.5 is its level AA.
CONTRASTS = r"""
() => {
  const parse = (colour) => {
    const numbers = colour.match(/-?[\d.]+(e-?\d+)?/g).map(Number);
    const rgb = numbers.slice(0, 3).map((v) => (colour.startsWith("color(") ? v : v / 255));
    return [rgb, numbers[3] ?? 1];
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const under = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const [rgb, alpha] = parse(getComputedStyle(one).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [1, 1, 1];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || element.closest("script, style") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const [colour] = parse(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(colour), light(under(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), text.slice(0, 40)]);
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrast(browser, digits_page, scheme: str) -> None:
    with shown(browser, digits_page, scheme=scheme) as page:
        contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 300
    assert [one for one in contrasts if one[0] < 4.5] == []


def test_figures_follow_the_scheme(browser, digits_page) -> None:
    colour = "getComputedStyle(document.querySelector('[data-chart=loss] .xtick text')).fill"
    with shown(browser, digits_page) as page:
        assert page.evaluate(colour) == "rgb(27, 30, 35)"
        page.emulate_media(color_scheme="dark")
        wait_until(page, colour, "rgb(231, 232, 234)")
        page.emulate_media(media="print")  # on paper: dark on white, whatever the screen
        wait_until(page, colour, "rgb(27, 30, 35)")
        wait_until(page, "getComputedStyle(document.body).backgroundColor", "rgb(255, 255, 255)")


def wait_until(page, expression: str, wanted: str) -> None:
    """Wait for a value; playwright's own way needs `eval`, which the page's policy forbids."""
    for _ in range(100):
        if page.evaluate(expression) == wanted:
            return
        page.wait_for_timeout(100)
    assert page.evaluate(expression) == wanted


def column(page, number: int) -> list[str]:
    return page.locator(f"#class-table tbody tr > :nth-child({number})").evaluate_all(
        "cells => cells.map(cell => cell.dataset.key ?? cell.textContent.trim())"
    )


def test_classes_sort_by_mouse_and_keyboard(browser, large_page) -> None:
    with shown(browser, large_page) as page:
        heading = page.locator("#class-table th", has_text="Precision")
        weakest = [float(key) for key in column(page, 5)]
        assert weakest == sorted(weakest)
        heading.get_by_role("button").click()
        rising = [float(key) for key in column(page, 3)]
        assert rising == sorted(rising)
        assert heading.get_attribute("aria-sort") == "ascending"
        heading.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert [float(key) for key in column(page, 3)] == rising[::-1]


def test_class_without_figure_sorts_last(browser, tmp_path, digits, evaluate) -> None:
    matrix = np.array([[4, 1, 0], [2, 3, 0], [0, 0, 0]])
    evaluation = evaluate(["a", "b", "none"], matrix)
    content = replace(digits, evaluation=evaluation, history={}, reliability=())
    write_report(tmp_path / "report.html", content)
    with shown(browser, tmp_path / "report.html") as page:
        button = page.locator("#class-table th", has_text="Recall").get_by_role("button")
        orders = []
        for _ in range(2):
            button.click()
            orders.append(column(page, 1))
        assert orders == [["b", "a", "none"], ["a", "b", "none"]]


def test_a_class_is_found(browser, large_page) -> None:
    with shown(browser, large_page) as page:
        page.get_by_label("Find a class").fill("0123")
        rows = page.locator("#class-table tbody tr:visible")
        assert rows.count() == 1
        assert "0123" in rows.inner_text()


def test_pictures_are_shown(browser, digits_page, digits) -> None:
    with shown(browser, digits_page) as page:
        images = page.locator(".pictures img")
        assert images.count() == 49
        assert images.evaluate_all("all => all.every(one => one.naturalWidth === 8)")
        captions = page.locator(".pictures.five figcaption").all_inner_texts()
        for caption, picture in zip(captions, digits.grid, strict=True):
            assert caption.startswith("✓" if picture.right else "✗")
            assert f"({picture.label})" in caption
        rows = [box["y"] for box in (images.nth(n).bounding_box() for n in range(25))]
        assert [len(set(rows[n : n + 5])) for n in range(0, 25, 5)] == [1] * 5
        assert len(set(rows)) == 5
        assert "either way" in page.locator("#training .notes").inner_text()


def test_without_scripts_the_numbers_are_there(browser, digits_page) -> None:
    with shown(browser, digits_page, script=False) as page:
        assert page.locator("[data-chart] svg").count() == 0
        page.get_by_text("The numbers by epoch").click()
        assert page.get_by_role("row", name="17 (kept)").is_visible()


def test_hostile_names_do_nothing(browser, tmp_path, digits, evaluate) -> None:
    harm = '<script>window.harm=1</script><img src="https://example.org/x" onerror="harm=1">'
    names = [f"{harm}{row}" for row in range(25)]
    content = replace(
        digits,
        name=harm,
        evaluation=evaluate(names, np.eye(25, dtype=np.int64) * 3 + 1),
        grid=tuple(replace(one, path=harm, label=harm) for one in digits.grid),
        left_out=[(harm, harm)],
        made={harm: harm},
    )
    write_report(tmp_path / "report.html", content)
    with shown(browser, tmp_path / "report.html") as page:
        page.locator("[data-chart=confusion]").hover()
        assert page.evaluate("window.harm") is None
        assert page.locator("h1").inner_text().startswith("<script>")
        assert page.locator("[data-chart=confusion] img").count() == 0


def test_policy_stops_what_escaping_would_miss(browser, digits_page, tmp_path) -> None:
    html = digits_page.read_text(encoding="utf-8")
    harm = "<script>window.harm=1</script><img src=x onerror='window.harm=1'>"
    (tmp_path / "report.html").write_text(html.replace("<main>", f"<main>{harm}"), "utf-8")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector(READY, timeout=60_000)
    assert page.evaluate("window.harm") is None
    context.close()


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def lab(linear: np.ndarray) -> np.ndarray:
    xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ) @ np.clip(linear, 0, 1)
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_right_and_wrong_differ_to_the_colour_blind(digits_page, kind: str) -> None:
    html = digits_page.read_text(encoding="utf-8")
    pairs = zip(
        re.findall(r"--right: #(\w{6})", html), re.findall(r"--wrong: #(\w{6})", html), strict=True
    )
    for pair in pairs:
        rgb = [np.array([int(one[n : n + 2], 16) / 255 for n in (0, 2, 4)]) for one in pair]
        seen = [lab(np.array(BLINDNESS[kind]) @ (one**2.2)) for one in rgb]
        # 2.3 is a just noticeable difference; 25 is told apart at a glance.
        assert np.linalg.norm(seen[0] - seen[1]) > 25
