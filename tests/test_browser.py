"""A learner's way: JupyterLab in a real browser (Chromium, where there is one)."""

import os
from pathlib import Path

import nbformat
import pytest
import requests
from conftest import ROOT
from lab import CHROMIUM, Lab, OpenNotebook, chromium

from tools.run_notebooks import differences, tidy
from tools.stamp_address import lesson_notebooks

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")

QUICK = ["ch02/ch02.ipynb"]
ALL = [path.relative_to(ROOT).as_posix() for path in lesson_notebooks()]
PATHS = ALL if os.environ.get("COURSE_BROWSER") == "all" else QUICK


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.close()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's list of sockets")
def test_the_server_wants_its_token_and_listens_on_the_loopback_address_only(lab):
    assert requests.get(f"{lab.address}/api/contents", timeout=10).status_code == 403
    answer = requests.get(f"{lab.address}/api/contents?token={lab.token}", timeout=10)
    assert answer.status_code == 200
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    port = f"{int(lab.address.rpartition(':')[2]):04X}"
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert [where for where in listening if where.endswith(f":{port}")] == [f"0100007F:{port}"]


@pytest.mark.parametrize("path", PATHS)
def test_run_all_then_restart_and_run_all_again(lab, path):
    with chromium(viewport={"width": 1400, "height": 1000}) as page:
        notebook = OpenNotebook(lab, page, path)
        for again in (False, True):
            (lab.folder / "progress.json").unlink(missing_ok=True)  # it counts the tries
            result = notebook.run_all(seconds=1500, again=again)
            code = [cell for cell in result.cells if cell.cell_type == "code"]
            outputs = [output for cell in code for output in cell.outputs]
            assert not [output for output in outputs if output.output_type == "error"]
            assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
            committed = nbformat.read(ROOT / path, as_version=4)
            assert not differences(committed, tidy(result))
            pictures = [o for o in outputs if "image/png" in o.get("data", {})]
            seen, broken = notebook.broken_pictures()
            assert not broken
            assert len(seen) >= len(pictures)


# The widgets of chapters 2 to 5: their cells, in one small notebook, moved as a learner does.
WIDGET_CHAPTERS = ["ch02/ch02.ipynb", "ch03/ch03.ipynb", "ch04/ch04.ipynb", "ch05/ch05.ipynb"]
WIDGET_PRELUDE = """\
import tiktoken
from previous_chapters import *
from course.checks import check, check_close
import torch, torch.nn.functional as F
from torch import nn

raw_text = (ROOT / "ch02" / "the-verdict.txt").read_text(encoding="utf-8")
fast = tokenizer_of_gpt2 = tiktoken.get_encoding("gpt2")
tokenizer = BPETokenizer.train(raw_text[:4000], 400)
gpt2_bpe = BPETokenizer.from_gpt2(ROOT / "course" / "gpt2-bpe")
letters = "ABCDefghijkl"
two = nn.Module()
two.letter, two.position = nn.Embedding(12, 8), nn.Embedding(20, 8)
two.attention = MultiHeadAttention(8, 8, 20, 0.0, 2)
SIZES = {}
toy_probabilities = torch.tensor([3.2, 2.9, 2.1, 1.6, 0.9, 0.2, -1.5, -2.7]).softmax(0)
model = GPTModel({**GPT_CONFIG_124M, "emb_dim": 12, "n_layers": 1})
pretrained, _, NAME = load_pretrained("gpt2-mini", ROOT / "models")"""


def widget_notebook():
    """The start-up cell, what the cells need from their chapters, and the cells with widgets."""
    new = nbformat.v4.new_code_cell
    cells, sources = [], set()
    for path in WIDGET_CHAPTERS:
        chapter = nbformat.read(ROOT / path, as_version=4)
        code = [cell.source for cell in chapter.cells if cell.cell_type == "code"]
        cells = cells or [new(code[0]), new(WIDGET_PRELUDE)]
        if path == "ch05/ch05.ipynb":
            cells.append(new("tokenizer = tokenizer_of_gpt2"))
        shown = [source for source in code if ".show()" in source and source not in sources]
        cells += [new(source) for source in shown]
        sources.update(shown)
    return nbformat.v4.new_notebook(cells=cells, metadata=chapter.metadata)


def move(page, control):
    """Use a control as somebody at a keyboard does; what it was, in words, and the way back."""
    if control.locator(".noUi-handle").count():
        handle = control.locator(".noUi-handle")
        place, end = (float(handle.get_attribute(f"aria-value{x}")) for x in ("now", "max"))
        there, back = ("ArrowLeft", "ArrowRight")[:: -1 if place < end else 1]
        handle.press(there)
        return "slider", lambda: handle.press(back)
    if control.locator("select").count():
        box = control.locator("select")
        last = box.evaluate("e => e.options.length") - 1
        first = box.evaluate("e => e.selectedIndex")
        box.select_option(index=0 if first == last else last)
        return "choice", lambda: box.select_option(index=first)
    if control.locator("input[type=checkbox]").count():
        box = control.locator("input[type=checkbox]")
        box.press("Space")
        return "tick", lambda: box.press("Space")
    box = control.locator("input[type=text]")
    text = box.input_value()
    box.press("Home")
    page.keyboard.type("fAd ")
    return "text", lambda: box.fill(text)


def test_every_control_of_every_widget_changes_what_is_seen(lab):
    nbformat.write(widget_notebook(), lab.folder / "widgets.ipynb")
    settings = lab.folder.parent / "config" / "lab" / "user-settings" / "@jupyterlab"
    settings = settings / "notebook-extension" / "tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"windowingMode": "none"}', encoding="utf-8")  # all cells in the page
    with chromium(viewport={"width": 1400, "height": 1000}) as page:
        notebook = OpenNotebook(lab, page, "widgets.ipynb")
        result = notebook.run_all(seconds=300)
        code = [cell for cell in result.cells if cell.cell_type == "code"]
        errors = [o for cell in code for o in cell.outputs if o.output_type == "error"]
        assert not errors, errors
        explorers = notebook.panel.locator(".jp-OutputArea-output .course-explorer")
        moved = []
        for explorer in explorers.all():
            explorer.scroll_into_view_if_needed()
            shown = explorer.locator(":scope > .course-shown")
            for control in explorer.locator(":scope > .course-control").all():
                if control.is_hidden():  # the number of the layer, where there is only one
                    continue
                before = shown.inner_html()
                label = control.locator("label, .widget-label").first.inner_text()
                kind, back = move(page, control)
                moved.append(kind)
                changed(page, shown, before, label)
                for alert in shown.locator("[role=alert]").all_inner_texts():
                    assert "must be divisible" in alert  # 1,024 channels for 12 heads
                back()  # or top-k at 1 would leave nothing for top-p to change
                page.wait_for_timeout(500)
                notebook.wait_idle(20)
            for button in explorer.locator(":scope > button").all():
                written = explorer.locator(":scope > .course-written")
                before = written.inner_html()
                button.click()
                changed(page, written, before, "button")
        assert explorers.count() == sum(".show()" in cell.source for cell in code) >= 9
        assert set(moved) == {"slider", "choice", "tick", "text"}
        notebook.wait_idle(60)
        if folder := os.environ.get("COURSE_SCREENSHOTS"):
            for i, explorer in enumerate(explorers.all()):
                explorer.scroll_into_view_if_needed()
                explorer.screenshot(path=f"{folder}/widget-{i}.png")
    settings.unlink()


def changed(page, shown, before, what, seconds=20):
    """Wait until the output is another than `before`."""
    for _ in range(seconds * 10):
        if shown.inner_html() != before:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{what}: moved, and nothing changed")
