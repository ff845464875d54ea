"""Colab, simulated: an empty folder, one notebook, a `google.colab`, and a repository to clone."""

import os
import shutil
import subprocess

import nbformat
import pytest
from conftest import ROOT
from lab import LEFT_OUT

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
