"""The site: built as `make site` does, then read as files and, where there is one, in Chromium."""

import functools
import http.server
import re
import subprocess
import sys
import threading
from urllib.parse import unquote, urldefrag

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT
from lab import CHROMIUM, chromium
from PIL import Image


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    run = subprocess.run(
        [*sphinx, "-d", folder / "doctrees", "-c", "site", ".", folder / "html"],
        cwd=ROOT, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site):
    paths = [p for p in site.rglob("*.html") if "_static" not in p.parts]
    paths = [p for p in paths if p.name not in ("genindex.html", "search.html")]
    return {p: BeautifulSoup(p.read_text(encoding="utf-8"), "html.parser") for p in paths}


@pytest.fixture(scope="module")
def address(site):
    """Where a server on this machine shows the site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def contrast(*colours):
    """The contrast of two CSS colours, from 1 to 21 (WCAG 2.2, relative luminance)."""

    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted(map(luminance, colours))
    return (light + 0.05) / (dark + 0.05)


def test_every_notebook_of_the_course_has_its_page(site):
    from tools.stamp_lectures import lessons

    for path in lessons():
        assert (site / path.relative_to(ROOT).with_suffix(".html")).exists()


def test_no_link_within_the_site_is_broken_and_no_picture_missing(pages):
    count = 0
    for path, page in pages.items():
        tags = [(tag, "href") for tag in page.find_all(href=True)]
        tags += [(tag, "src") for tag in page.find_all(src=True)]
        for tag, kind in tags:
            target, fragment = urldefrag(tag[kind])
            if ":" in target.split("/")[0]:
                continue
            where = (path.parent / unquote(target).split("?")[0]).resolve() if target else path
            where = where / "index.html" if where.is_dir() else where
            assert where.exists(), f"{path.name}: {tag[kind]}"
            count += 1
            if fragment and where in pages:
                assert pages[where].find(id=unquote(fragment)), f"{path.name}: {tag[kind]}"
    assert count > 500


def test_no_page_needs_the_network(pages):
    for page in pages.values():
        for tag in page.find_all(["script", "img", "iframe"], src=True):
            assert not tag["src"].startswith(("http:", "https:", "//")), tag
        for tag in page.find_all("link", rel="stylesheet"):
            assert not tag["href"].startswith(("http:", "https:", "//")), tag


def test_pictures_have_alternative_text(pages):
    pictures = [tag for page in pages.values() for tag in page.select(".cell_output img")]
    assert len(pictures) > 50
    texts = [tag.get("alt", "") for tag in pictures]
    assert not [text for text in texts if len(text) < 20 or ".png" in text]


def test_pictures_bring_their_own_paper_for_dark_mode(site):
    paths = list((site / "_images").glob("*.png"))
    assert len(paths) > 50
    for path in paths:
        alpha = Image.open(path).convert("RGBA").getchannel("A")
        assert alpha.getextrema()[0] == 255, f"{path.name} is transparent"


def test_chapters_offer_colab_and_previous_and_next(pages, site):
    page = pages[site / "ch03" / "ch03.html"]
    colab = page.select('a[href*="colab.research.google.com"]')
    assert any(tag["href"].endswith("/blob/main/ch03/ch03.ipynb") for tag in colab)
    assert page.select_one("a.left-prev")["href"] == "../ch02/exercises.html"
    assert page.select_one("a.right-next")["href"] == "exercises.html"


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")
class TestInABrowser:
    def open(self, page, url):
        """The addresses that could not be had while the page loaded."""
        failed = []

        def look(request):
            if "ERR_ABORTED" not in str(request.failure):  # which the way to the next page does
                failed.append(f"{request.url}: {request.failure}")

        page.on("requestfailed", look)
        page.on("response", lambda r: failed.append(r.url) if r.status >= 400 else None)
        page.goto(url)
        page.wait_for_load_state("networkidle")
        return failed

    def test_every_page_loads_whole_and_fits_a_phone(self, pages, site, address):
        with chromium(viewport={"width": 390, "height": 844}) as page:
            for path in pages:
                url = f"{address}/{path.relative_to(site).as_posix()}"
                assert self.open(page, url) == []
                assert page.evaluate("document.documentElement.scrollWidth") <= 390, url

    @pytest.mark.parametrize("width", [390, 820])
    @pytest.mark.parametrize("menu", ["primary", "secondary"])
    def test_the_menus_open_where_the_sidebars_have_no_room(self, address, width, menu):
        with chromium(viewport={"width": width, "height": 844}) as page:
            self.open(page, f"{address}/ch03/ch03.html")
            page.click(f".bd-header-article .{menu}-toggle")
            page.wait_for_selector(f"#pst-{menu}-sidebar-modal[open] a", timeout=5000)

    def test_formulas_are_set_without_a_network(self, address):
        with chromium() as page:
            self.open(page, f"{address}/ch04/ch04.html")
            page.wait_for_selector("mjx-container", timeout=20_000)

    def test_search_finds_a_word_of_the_lessons(self, address):
        with chromium() as page:
            self.open(page, f"{address}/search.html?q=perplexity")
            page.wait_for_selector("#search-results li a", timeout=20_000)
            found = page.locator("#search-results li a").all()
            assert any("ch05" in link.get_attribute("href") for link in found)

    def test_dark_mode_is_dark(self, address):
        with chromium(color_scheme="dark") as page:
            self.open(page, f"{address}/ch03/ch03.html")
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert max(int(n) for n in colour.strip("rgba()").split(",")[:3]) < 60

    def test_a_quiz_can_be_read_in_dark_mode(self, address):
        with chromium(color_scheme="dark") as page:
            self.open(page, f"{address}/ch03/exercises.html")
            ground, ink = page.evaluate("""() => {
                const code = document.querySelector('.text_html code')
                const grounds = []
                for (let e = code; e; e = e.parentElement)
                    grounds.push(getComputedStyle(e).backgroundColor)
                const ground = grounds.find(colour => !/, 0\\)|transparent/.test(colour))
                return [ground, getComputedStyle(code).color]
            }""")
            assert contrast(ground, ink) > 4.5  # WCAG 2.2, 1.4.3
