"""The start-up cell from everywhere, and GPT-2's vocabulary without a network."""

import hashlib
import os
import subprocess
import sys

import pytest
from conftest import ROOT

from tools.stamp_address import STARTUP, address, lesson_notebooks, stamp_notebook

PROBE = "import tiktoken; print(tiktoken.get_encoding('gpt2').encode('Hello, world'))"
EXPECTED = "[15496, 11, 995]"  # as in OpenAI's own GPT-2 repository


def python(code, cwd, **environment):
    """Run code in a fresh interpreter that can't reach the network."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd, capture_output=True, text=True, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools" / "offline"), "PYTHONUTF8": "1",
             "COURSE_OFFLINE": "1", **environment},
    )  # fmt: skip


def test_the_offline_guard_refuses_connections(tmp_path):
    for call in (
        "socket.create_connection(('1.1.1.1', 80), 2)",
        "urllib.request.urlopen('http://example.org', timeout=2)",
    ):
        run = python(f"import socket, urllib.request; {call}", tmp_path)
        assert run.returncode != 0
        assert "offline: connection to" in run.stderr


def test_tiktoken_in_a_plain_script(tmp_path):
    cache = {"TIKTOKEN_CACHE_DIR": str(tmp_path / "cache")}
    assert python(PROBE, ROOT, **cache).returncode != 0, "the probe must need the vocabulary"
    run = python(f"import previous_chapters; {PROBE}", ROOT, **cache)
    assert run.stdout.strip() == EXPECTED, run.stderr


def test_a_damaged_cache_is_mended(tmp_path):
    cache = {"TIKTOKEN_CACHE_DIR": str(tmp_path)}
    name = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe"
    (tmp_path / hashlib.sha1(name.encode()).hexdigest()).write_bytes(b"<html>error page</html>")
    run = python(f"import previous_chapters; {PROBE}", ROOT, **cache)
    assert run.stdout.strip() == EXPECTED, run.stderr


def test_a_cache_folder_that_cannot_be_written_is_replaced(tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    cache = {"TIKTOKEN_CACHE_DIR": str(tmp_path / "file" / "cache")}
    run = python(f"import previous_chapters; {PROBE}", ROOT, **cache)
    assert run.stdout.strip() == EXPECTED, run.stderr


@pytest.mark.parametrize("place", [".", "ch03", "appendix", "course/gpt2-bpe", ".."])
def test_startup_cell_finds_the_course_from(place):
    code = STARTUP.format(address=address())
    run = python(f"{code}\nimport previous_chapters; print(ROOT); {PROBE}", ROOT / place)
    assert run.returncode == 0, run.stderr
    line, root, tokens = run.stdout.strip().splitlines()
    assert line.startswith("Python 3.")
    assert "torch" in line
    assert line.endswith("offline")
    assert os.path.samefile(root, ROOT)
    assert tokens == EXPECTED


def test_startup_cell_fetches_the_course_where_there_is_only_the_notebook(tmp_path):
    """As in a Colab tab, with a local repository in the place of the public address."""
    origin, tab = tmp_path / "origin" / "course-repository", tmp_path / "tab"
    tab.mkdir()
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run([*git, "init", "-q", str(origin)], check=True)
    files = subprocess.run(
        [*git, "ls-files", "-co", "--exclude-standard",
         ".gitattributes", "course", "previous_chapters.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    for name in files:
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*git, "add", "-A"], cwd=origin, check=True)
    subprocess.run([*git, "commit", "-qm", "course"], cwd=origin, check=True)
    code = STARTUP.format(address=origin.as_uri())
    for _ in range(2):  # the second time nothing is fetched
        run = python(f"{code}\nimport previous_chapters; print(ROOT); {PROBE}", tab)
        assert run.returncode == 0, run.stderr
        assert run.stdout.strip().endswith(EXPECTED)
    assert (tab / "course-repository" / "previous_chapters.py").exists()


def test_git_for_windows_keeps_the_bytes_of_the_data(tmp_path):
    """Its installer turns `core.autocrlf` on, which would change sizes and hashes."""
    clone = ["git", "-c", "core.autocrlf=true", "clone", "-q", str(ROOT), str(tmp_path / "c")]
    subprocess.run(clone, check=True)
    for name in ("ch02/the-verdict.txt", "course/gpt2-bpe/vocab.bpe", "previous_chapters.py"):
        assert b"\r" not in (tmp_path / "c" / name).read_bytes(), name


def test_startup_cell_is_short_and_the_same_everywhere():
    assert len(STARTUP.splitlines()) <= 6
    run = subprocess.run(
        [sys.executable, "tools/stamp_address.py", "--check"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_another_address_is_stamped_into_cell_and_link():
    path = lesson_notebooks()[0]
    name = path.relative_to(ROOT).as_posix()
    text = stamp_notebook(path.read_text(encoding="utf-8"), name, "https://github.com/some/where")
    assert 'ADDRESS = \\"https://github.com/some/where\\"' in text
    assert f"https://colab.research.google.com/github/some/where/blob/main/{name}" in text
    assert address() not in text
