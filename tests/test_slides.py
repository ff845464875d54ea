"""The slides: each lesson as a deck that shows without a network."""

import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from lab import CHROMIUM, chromium

from tools.stamp_lectures import lessons

LESSON = ROOT / "ch04" / "ch04.ipynb"


@pytest.fixture(scope="module")
def deck(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    command = [sys.executable, "tools/make_slides.py", "--to", folder, LESSON]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder / "ch04.html"


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)
def test_every_cell_says_which_slide_it_opens(path):
    cells = nbformat.read(path, as_version=4).cells
    kinds = [cell.metadata.slideshow.slide_type for cell in cells]
    assert set(kinds) <= {"slide", "subslide", "-"}
    assert kinds[0] == "slide"
    sections = [c for c in cells if c.cell_type == "markdown" and c.source.startswith("## ")]
    assert kinds.count("slide") >= 1 + len(sections)


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
def test_the_deck_shows_its_pictures_and_formulas_offline(deck):
    cells = nbformat.read(LESSON, as_version=4).cells
    with chromium(viewport={"width": 1280, "height": 800}) as page:
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(deck.as_uri())
        page.wait_for_selector(".reveal.ready", timeout=20_000)
        page.wait_for_selector("mjx-container", state="attached", timeout=20_000)
        assert errors == []
        assert not [url for url in asked if not url.startswith(("file:", "data:"))]
        assert page.evaluate("Reveal.getTotalSlides()") > len(cells) / 3
        pictures = [
            o for c in cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})
        ]
        widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert len(widths) == len(pictures)
        assert min(widths) > 0
        texts = page.evaluate("[...document.images].map(image => image.alt)")
        assert texts == [picture.metadata["image/png"]["alt"] for picture in pictures]


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
def test_a_heading_begins_a_slide(deck):
    text_before_the_last_heading = """slide => {
        const headings = [...slide.querySelectorAll('h1, h2, h3, h4')]
        if (!headings.length) return ''
        const range = document.createRange()
        range.setStart(slide, 0)
        range.setEndBefore(headings.pop())
        return headings.reduce((text, h) => text.replace(h.textContent, ''), range.toString())
    }"""
    slides = "[...document.querySelectorAll('.slides section section')]"
    with chromium() as page:
        page.goto(deck.as_uri())
        page.wait_for_selector(".reveal.ready", timeout=20_000)
        texts = page.evaluate(f"{slides}.map({text_before_the_last_heading})")
        assert len(texts) > 50
        assert not [text for text in texts if text.strip()]


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
def test_one_goes_down_through_a_section_and_right_to_the_next(deck):
    with chromium() as page:
        page.goto(deck.as_uri())
        page.wait_for_selector(".reveal.ready", timeout=20_000)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(300)
        assert page.evaluate("[Reveal.getIndices().h, Reveal.getIndices().v]") == [1, 1]
