"""Colab, simulated: an empty folder, one notebook, a `google.colab`, and a repository to clone."""

import os
import shutil
import subprocess

import nbformat
import pytest
from conftest import ROOT
from lab import LEFT_OUT

from course.earlier import run_if_missing
from tools.run_notebooks import differences, execute
from tools.stamp_address import address, lesson_notebooks

QUICK = ["ch02/ch02.ipynb"]
ALL = [path.relative_to(ROOT).as_posix() for path in lesson_notebooks()]
PATHS = ALL if os.environ.get("COURSE_COLAB") == "all" else QUICK


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The working tree as a git repository of one commit, in the place of the public one."""
    folder = tmp_path_factory.mktemp("public") / address().rpartition("/")[2]
    shutil.copytree(ROOT, folder, ignore=LEFT_OUT)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-C", str(folder)]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    return folder


@pytest.mark.parametrize("path", PATHS)
def test_a_single_notebook_in_an_empty_folder_runs(path, repository, tmp_path, monkeypatch):
    stub = tmp_path / "stub" / "google" / "colab"
    stub.mkdir(parents=True)
    (stub / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stub"))
    content = tmp_path / "content"
    content.mkdir()
    notebook = nbformat.read(ROOT / path, as_version=4)
    startup = next(cell for cell in notebook.cells if cell.cell_type == "code")
    startup.source = startup.source.replace(address(), repository.as_posix())
    alone = content / path.rpartition("/")[2]
    nbformat.write(notebook, alone)
    result = execute(alone)
    assert not result.error, result.error
    assert (content / repository.name / "course" / "startup.py").exists()
    assert not differences(nbformat.read(ROOT / path, as_version=4), result.notebook)


def lesson(folder, source):
    """A notebook of one cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbformat.write(notebook, folder / "lesson.ipynb")
    return folder / "lesson.ipynb"


def test_a_notebook_whose_file_is_missing_is_run_and_only_then(tmp_path, capsys):
    count = "from pathlib import Path; open('runs', 'a').write('x'); Path('made.pth').touch()"
    for printed in ("*.pth is not there yet: running lesson.ipynb, which takes minutes\n", ""):
        run_if_missing("*.pth", lesson(tmp_path, count))
        assert capsys.readouterr().out == printed
    assert (tmp_path / "runs").read_text(encoding="ascii") == "x"


@pytest.mark.parametrize(("source", "said"), [("1 / 0", "ZeroDivisionError"), ("1", "lesson")])
def test_a_run_that_makes_no_file_says_what_to_do(tmp_path, source, said):
    with pytest.raises(RuntimeError, match="run it cell by cell") as caught:
        run_if_missing("made.pth", lesson(tmp_path, source))
    assert said in str(caught.value)
