"""The exporter: what it writes, and that it refuses what would break a later chapter."""

import subprocess
import sys
import textwrap

import nbformat
import pytest
from conftest import ROOT

from tools.export_previous_chapters import ExportError, generate

EXPORT = "#| export\n"


def course(tmp_path, **chapters):
    """A course of notebooks under tmp_path; each chapter is a list of cell sources."""
    for name, sources in chapters.items():
        notebook = nbformat.v4.new_notebook()
        for source in sources:
            kind = "markdown" if source.startswith("#") and not source.startswith("#|") else "code"
            cell = getattr(nbformat.v4, f"new_{kind}_cell")(textwrap.dedent(source))
            notebook.cells.append(cell)
        (tmp_path / name).mkdir(exist_ok=True)
        nbformat.write(notebook, tmp_path / name / f"{name}.ipynb")
    return tmp_path


def test_previous_chapters_is_what_the_notebooks_export():
    run = subprocess.run(
        [sys.executable, "tools/export_previous_chapters.py", "--check"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_reading_order_imports_merged_and_each_symbol_with_its_section(tmp_path):
    root = course(
        tmp_path,
        ch03=[
            "## 3.1 Second",
            EXPORT + "import math\nfrom os import sep\nfrom previous_chapters import one",
            EXPORT + "def two():\n    return one() + math.pi",
        ],
        ch02=[
            "## 2.1 First",
            EXPORT + "import re\nfrom os import linesep",
            EXPORT + "def one(): ...",
        ],
    )
    text = generate(root)
    assert text.index("# ch02, section 2.1 First") < text.index("def one")
    assert text.index("def one") < text.index("# ch03, section 3.1 Second") < text.index("def two")
    assert "from os import linesep, sep" in text
    assert "from previous_chapters" not in text
    assert '__all__ = ["one", "two"]' in text
    assert generate(root) == text


def test_a_module_of_the_course_is_copied_in(tmp_path):
    line = "from course.checks import check"
    text = generate(course(tmp_path, ch02=[EXPORT + line, EXPORT + "def f():\n    check('', 1)"]))
    assert text.count("def check(claim, holds):") == 1
    assert "from course" not in text
    assert text.index("def check(") < text.index("def f(")
    assert '__all__ = ["f"]' in text


def test_check_fails_when_out_of_date_and_passes_after_writing(tmp_path):
    root = course(tmp_path, ch02=[EXPORT + "ANSWER = 42"])
    tool = [
        sys.executable,
        str(ROOT / "tools" / "export_previous_chapters.py"),
        "--root",
        str(root),
    ]
    stale = subprocess.run([*tool, "--check"], capture_output=True, text=True)
    assert stale.returncode == 1
    assert "out of date" in stale.stderr
    assert "+ANSWER = 42" in stale.stderr
    subprocess.run(tool, check=True)
    assert subprocess.run([*tool, "--check"]).returncode == 0


@pytest.mark.parametrize(
    ("chapters", "message"),
    [
        (
            {"ch02": [EXPORT + "def f(): ..."], "ch03": [EXPORT + "def f(): ..."]},
            r"ch03/ch03.ipynb, cell 1 \(def f\(\): ...\): 'f' is exported a second time",
        ),
        (
            {"ch02": ["from previous_chapters import g"], "ch03": [EXPORT + "def g(): ..."]},
            r"ch02/ch02.ipynb, cell 1 .*imports 'g' .* no earlier chapter exports it",
        ),
        (
            {"ch02": [EXPORT + "def g(): ...", "from previous_chapters import g"]},
            r"ch02/ch02.ipynb, cell 2 .* no earlier chapter exports it",
        ),
        (
            {"ch02": ["import torch", EXPORT + "def f():\n    return torch.ones(1)"]},
            r"ch02/ch02.ipynb, cell 2 .*needs 'torch'",
        ),
        (
            {"ch02": ["helper = 1", EXPORT + "class A:\n    def f(self):\n        return helper"]},
            r"ch02/ch02.ipynb, cell 2 .*needs 'helper'",
        ),
        ({"ch02": [EXPORT + "print(1)"]}, r"cell 1 .* is something else"),
        ({"ch02": [EXPORT + "%time x = 1"]}, r"cell 1 .* can't hold % or ! lines"),
        ({"ch02": [EXPORT + "def f(:"]}, r"cell 1 .*not valid Python"),
        (
            {"ch02": [EXPORT + "from course.checks import check", EXPORT + "check_close = 1"]},
            r"ch02/ch02.ipynb, cell 2 .*'check_close' is also a name of course.checks",
        ),
        (
            {"ch02": [EXPORT + "import json as j"], "ch03": [EXPORT + "import re as j"]},
            r"ch03/ch03.ipynb, cell 1 .*imports 'j' as something else",
        ),
    ],
)
def test_what_would_break_a_later_chapter_is_an_error_that_names_the_cell(
    tmp_path, chapters, message
):
    with pytest.raises(ExportError, match=message):
        generate(course(tmp_path, **chapters))


def test_import_is_quick_and_light():
    """Under 3 seconds, torch included (the best of three tries), and nothing heavy with it."""
    code = """
        import sys, time
        started = time.monotonic()
        import previous_chapters
        print(time.monotonic() - started)
        heavy = {"tensorflow", "pandas", "matplotlib", "transformers", "course", "IPython"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        missing = [n for n in previous_chapters.__all__ if not hasattr(previous_chapters, n)]
        assert not missing, missing
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    runs = [subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < (3 if sys.platform == "linux" else 15)


def test_needs_nothing_of_ours(tmp_path):
    """The file alone, in an empty folder, imports."""
    (tmp_path / "previous_chapters.py").write_bytes((ROOT / "previous_chapters.py").read_bytes())
    subprocess.run([sys.executable, "-c", "import previous_chapters"], cwd=tmp_path, check=True)
