"""The page as a browser shows it: nothing loaded, cut off or unreadable; sorted from the keyboard."""

from __future__ import annotations

import pytest

from tests.pipeline.page.browser import CHROMIUM, Browser
from tests.pipeline.page.contents import EVERY_FIGURE, SHARED_FIGURES

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

FIGURES = 2 * len(EVERY_FIGURE) + len(SHARED_FIGURES)
BOXES = """
[...document.querySelectorAll("figure svg")].map((svg) => {
  const box = svg.getBoundingClientRect();
  const cut = [...svg.querySelectorAll("text")].filter((text) => {
    const own = text.getBoundingClientRect();
    return own.left < box.left - 1 || own.right > box.right + 1
        || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  });
  return {figure: svg.closest("figure").id, left: box.left, right: box.right, height: box.height,
          cut: cut.map((text) => text.textContent)};
})
"""
CONTRASTS = """
(() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map((v) => v / 255)
      .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const paper = light(getComputedStyle(document.documentElement).backgroundColor);
  const ratio = (color) => {
    const other = light(color);
    return (Math.max(paper, other) + .05) / (Math.min(paper, other) + .05);
  };
  const texts = [...document.querySelectorAll("p, h1, h2, h3, td, a, figcaption, dd, dt")]
    .map((element) => getComputedStyle(element).color);
  const drawn = [...document.querySelectorAll("figure:not([id^=all-matrix]) svg text")]
    .map((element) => getComputedStyle(element).fill);
  return {paper, texts: Math.min(...texts.map(ratio)), drawn: Math.min(...drawn.map(ratio))};
})()
"""
COLUMN = "[...document.querySelectorAll('tbody tr')].map((row) => row.cells[{}].textContent.trim())"


@pytest.fixture(scope="module")
def browser():
    with Browser() as opened:
        yield opened


def test_page_loads_nothing_and_complains_of_nothing(browser, page):
    browser.open(page)
    browser.run("foldAll(true)")
    assert browser.complaints() == []
    assert browser.requests() == [page.resolve().as_uri()]


@pytest.mark.parametrize("width", [400, 1400])
def test_every_figure_is_visible_whole_without_scrolling_sideways(browser, page, width):
    browser.open(page, width=width)
    browser.run("foldAll(true)")
    boxes = browser.run(BOXES)
    assert len(boxes) == FIGURES
    for box in boxes:
        assert box["cut"] == [], box["figure"]
        assert box["left"] >= 0 and box["right"] <= width and box["height"] > 100, box
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_page_prints_light_unfolded_and_within_the_paper(browser, page):
    browser.open(page, width=720, dark=True)
    browser.run("foldAll(false)")
    browser.call("Emulation.setEmulatedMedia", media="print", features=[])
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run("runs.every((run) => run.open)")
    assert browser.run("document.documentElement.scrollWidth") <= 720
    assert browser.run(CONTRASTS)["paper"] > 0.9


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_in_light_and_dark(browser, page, dark):
    browser.open(page, dark=dark)
    contrasts = browser.run(CONTRASTS)
    assert (contrasts["paper"] < 0.1) == dark
    assert contrasts["texts"] >= 4.5 and contrasts["drawn"] >= 4.5, contrasts  # WCAG 2.2, 1.4.3


def test_a_heading_sorts_by_its_column_from_the_keyboard(browser, page):
    browser.open(page)
    heads = browser.run("[...document.querySelectorAll('thead th')].map((head) => head.textContent.trim())")
    for column in (heads.index("balanced"), heads.index("ECE")):
        before = browser.run(COLUMN.format(column))
        browser.run(f"document.querySelectorAll('thead button')[{column}].focus()")
        for order, sign in (("descending", -1), ("ascending", 1)):
            enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            browser.call("Input.dispatchKeyEvent", type="keyDown", **enter)
            browser.call("Input.dispatchKeyEvent", type="keyUp", **enter)
            known = sorted((float(text) for text in before if text != "–"), key=lambda value: sign * value)
            shown = browser.run(COLUMN.format(column))
            assert [float(text) for text in shown[: len(known)]] == known
            assert shown[len(known) :] == ["–"] * (len(before) - len(known))
            states = browser.run(
                "[...document.querySelectorAll('th')].map((h) => h.getAttribute('aria-sort'))"
            )
            assert states == [order if n == column else "none" for n in range(len(heads))]


def test_a_link_unfolds_its_run(browser, page):
    browser.open(page)
    browser.run("foldAll(false)")
    anchor = browser.run("document.querySelector('td a').hash")
    browser.run("document.querySelector('td a').click()")
    browser.run("new Promise((done) => requestAnimationFrame(done))")
    assert browser.run("runs.filter((run) => run.open).map((run) => '#' + run.id)") == [anchor]
