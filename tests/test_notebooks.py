"""Every notebook runs from top to bottom, offline, and gives the outputs that are committed."""

import ast
import re
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT

from tools.run_notebooks import differences, execute, same_text, tidy
from tools.stamp_address import lesson_notebooks

LESSONS = lesson_notebooks()
NAMES = [path.relative_to(ROOT).as_posix() for path in LESSONS]


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_committed_as_one_clean_run_leaves_it(path):
    notebook = read(path)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not re.search(r"/(home|root|tmp|work|Users)/", nbformat.writes(notebook))
    text = path.read_text(encoding="utf-8")
    assert text == nbformat.writes(tidy(notebook)) + "\n", "run tools/run_notebooks.py --write"


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_pictures_have_alternative_text_and_stand_in_the_notebook(path):
    notebook = read(path)
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                assert len(alt) > 20, f"a picture without alternative text: {cell.source}"
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not re.findall(r"!\[.*?\]\(.*?\)|<img", prose), "draw it by code, so that it is there"


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_sections_are_those_of_the_curriculum(path):
    """Numbers without gaps, all of the notebook's own chapter."""
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    chapter = re.fullmatch(r"ch0(\d)", path.stem if path.stem == path.parent.name else "")
    if chapter:
        sections = re.findall(r"^## (\d+)\.(\d+) \S", text, re.MULTILINE)
        assert sections == [(chapter[1], str(i)) for i in range(1, len(sections) + 1)]
        assert len(sections) >= 4


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_enough_checks_and_no_overlong_cell(path):
    """At least a quarter of the code cells check a claim or are followed by one that does."""
    sources = [cell.source for cell in code_cells(read(path))]
    checks = [bool(re.search(r"\bcheck(_\w+)?\(|\bassert\b", source)) for source in sources]
    covered = sum(a or b for a, b in zip(checks, [*checks[1:], False], strict=True))
    assert covered >= 0.25 * len(sources)
    assert max(len(source.splitlines()) for source in sources) <= 40


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_runs_and_gives_the_committed_outputs(path):
    result = execute(path)
    assert not result.error, result.error
    assert result.checks > 0 or path.stem.endswith("exercises")  # unsolved, as delivered
    found = differences(read(path), result.notebook)
    assert not found, "\n\n".join(found)


def test_lint():
    ruff = [sys.executable, "-m", "ruff"]
    subprocess.run([*ruff, "check", "."], cwd=ROOT, check=True)
    code = ["previous_chapters.py", "course", "tools", "tests"]
    subprocess.run([*ruff, "format", "--check", *code], cwd=ROOT, check=True)


def imports_tensorflow(node):
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    return any(name.split(".")[0] == "tensorflow" for name in names)


def test_tensorflow_is_imported_in_one_function_of_section_5_5_and_nowhere_else():
    found = []
    for path in [ROOT / "previous_chapters.py", *ROOT.glob("course/**/*.py")]:
        for part in ast.parse(path.read_text(encoding="utf-8")).body:
            if any(map(imports_tensorflow, ast.walk(part))):
                found.append((path.name, getattr(part, "name", None)))
    assert found == [("previous_chapters.py", "import_tensorflow")]
    for path in LESSONS:
        for cell in code_cells(read(path)):
            if re.search(r"^\s*(import|from) tensorflow", cell.source, re.MULTILINE):
                assert (path.stem, "def import_tensorflow" in cell.source) == ("ch05", True)


def test_numbers_are_compared_with_a_margin_and_words_without():
    assert same_text("loss 0.3910, 7 tokens", "loss 0.3911, 7 tokens")
    assert not same_text("loss 0.391, 7 tokens", "loss 0.402, 7 tokens")
    assert not same_text("loss 0.391, 7 tokens", "loss 0.391, 8 tokens")
    assert not same_text("a word", "a ward")


def write_notebook(path, *sources):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(notebook, path)
    return path


def test_make_course_shows_a_failing_cell_and_goes_on(tmp_path):
    bad = write_notebook(tmp_path / "bad.ipynb", "x = 1", "print('about to fail')\nx / 0")
    good = write_notebook(tmp_path / "good.ipynb", "print('✓ one')", "print('✓ two')")
    run = subprocess.run(
        [sys.executable, "tools/run_notebooks.py", str(bad), str(good)],
        cwd=ROOT, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert run.returncode == 1
    assert "x / 0" in run.stdout
    assert "ZeroDivisionError: division by zero" in run.stdout
    table = run.stdout[run.stdout.rindex("notebook ") :].splitlines()
    assert table[0].split() == ["notebook", "cells", "checks", "seconds", "result"]
    assert table[2].endswith("FAILED")
    assert re.search(r"good.ipynb +2 +2 +\d+ +passed$", table[3])


def test_a_kernel_that_dies_is_reported(tmp_path):
    result = execute(write_notebook(tmp_path / "dead.ipynb", "import os\nos._exit(1)"))
    assert "the kernel died" in result.error


def test_notebooks_run_without_a_network(tmp_path):
    code = "import socket\nsocket.create_connection(('1.1.1.1', 80), 2)"
    result = execute(write_notebook(tmp_path / "online.ipynb", code))
    assert "offline: connection to 1.1.1.1 refused" in result.error


def test_changed_outputs_are_seen(tmp_path):
    path = write_notebook(tmp_path / "a.ipynb", "'start-up'", "print(2 + 2)", "print(1.0)")
    was, now = execute(path).notebook, execute(path).notebook
    assert differences(was, now) == []
    now.cells[1].outputs[0].text = "5\n"
    assert len(differences(was, now)) == 1
    now.cells[2].outputs = []
    assert len(differences(was, now)) == 2
