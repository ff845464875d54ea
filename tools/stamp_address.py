"""Stamp the repository's public address into the notebooks and the README.

    python tools/stamp_address.py           write it
    python tools/stamp_address.py --check   fail where it is not what would be written

The address stands in pyproject.toml, [project.urls] Repository, and nowhere else by hand. From it
come each notebook's start-up cell (its first code cell, the same everywhere), the Colab link in
its first cell, and the address to clone in the README.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent

STARTUP = """\
import os, subprocess, sys
ADDRESS = "{address}"
find = lambda: [d for d in [".", "..", "../..", *os.listdir()] if os.path.isfile(f"{{d}}/course/startup.py")]
find() or subprocess.run(["git", "clone", "--depth=1", ADDRESS], check=True)
sys.path.insert(0, os.path.abspath(find()[0]))
from course.startup import start; ROOT = start()"""  # noqa: E501

COLAB = "https://colab.research.google.com/github/{repository}/blob/main/{path}"


def address(root=ROOT):
    """The public address, from pyproject.toml."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^Repository = "(.+)"$', text, re.MULTILINE).group(1)


def lesson_notebooks(root=ROOT):
    """Every notebook of the course, in reading order."""
    folders = [*sorted(root.glob("ch[0-9][0-9]")), root / "appendix"]
    found = [path for folder in folders for path in sorted(folder.rglob("*.ipynb"))]
    return [path for path in found if ".ipynb_checkpoints" not in path.parts]


def stamp_notebook(text, path, url):
    """The notebook's text with the start-up cell and the Colab link for `url`."""
    notebook = nbformat.reads(text, as_version=4)
    repository = "/".join(url.rstrip("/").removesuffix(".git").split("/")[-2:])
    link = COLAB.format(repository=repository, path=path)
    head = notebook.cells[0]
    head.source, links = re.subn(
        r"https://colab\.research\.google\.com/[^\s)]*", lambda _: link, head.source
    )
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if links != 1 or not code or "course.startup" not in code[0].source:
        raise SystemExit(
            f"error: {path}: the first cell must hold one Colab link and the first code cell be "
            "the start-up cell"
        )
    code[0].source = STARTUP.format(address=url)
    return nbformat.writes(notebook) + "\n"


def stamp_readme(text, url):
    """The README's text with `url` in its `git clone` lines, and the address of the pages."""
    owner, name = url.rstrip("/").removesuffix(".git").split("/")[-2:]
    text = re.sub(r"<https://\S+\.github\.io/\S*>", f"<https://{owner}.github.io/{name}/>", text)
    text = re.sub(r"git clone \S+", lambda _: f"git clone {url}", text)
    return re.sub(r"(git clone \S+\ncd )\S+", lambda match: match[1] + name, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    root, url, stale = arguments.root, address(arguments.root), []
    for path in [*lesson_notebooks(root), root / "README.md"]:
        name = path.relative_to(root).as_posix()
        old = path.read_text(encoding="utf-8")
        new = stamp_readme(old, url) if path.suffix == ".md" else stamp_notebook(old, name, url)
        if old != new:
            stale.append(name)
            if not arguments.check:
                path.write_text(new, encoding="utf-8", newline="\n")
    if stale and arguments.check:
        sys.exit(
            f"error: another address than {url}, or another form, in {', '.join(stale)}: "
            "run python tools/stamp_address.py"
        )
    print(f"{url}: {f'stamped {len(stale)} files' if stale else 'every file agrees'}")


if __name__ == "__main__":
    main()
