"""Make a deck of slides from each lesson, in build/slides, that shows without a network.

    python tools/make_slides.py                    all lessons
    python tools/make_slides.py ch03/ch03.ipynb    only these

A heading begins a slide; go down through its section, right to the next. The cells say which
slide they open (`slideshow` in their metadata), for JupyterLab's own export too; where a heading
stands in the middle of a cell, only this program begins a slide with it.
"""

import argparse
import copy
import html
import importlib.util
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.stamp_lectures import lessons  # noqa: E402


def package_folder(name):
    """The folder of an installed package; its name need not be an identifier."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        sys.exit(f"error: {name} is not installed: python -m pip install -r site/requirements.txt")
    return Path(spec.origin).parent


def copy_assets(target):
    """reveal.js and MathJax, from the packages that bring them, into `target`/assets."""
    reveal = package_folder("sphinx_revealjs") / "_static" / "revealjs"
    mathjax = package_folder("sphinx-mathjax-offline") / "static" / "mathjax"
    shutil.copytree(reveal / "dist", target / "assets/reveal/dist", dirs_exist_ok=True)
    shutil.copytree(
        reveal / "plugin/notes", target / "assets/reveal/plugin/notes", dirs_exist_ok=True
    )
    shutil.copytree(mathjax, target / "assets/mathjax", dirs_exist_ok=True)


def parts(source):
    """A Markdown cell's text, cut before each heading that has other text before it."""
    found, in_code = [[]], False
    for line in source.split("\n"):
        in_code ^= line.startswith("```")
        heading = not in_code and re.match(r"#{1,4} ", line)
        if heading and any(old.strip() and not old.startswith("#") for old in found[-1]):
            found.append([])
        found[-1].append(line)
    return ["\n".join(part).strip("\n") for part in found]


def cut_at_headings(notebook):
    """The notebook, changed so that headings begin cells, and so slides."""
    cells, notebook.cells = notebook.cells, []
    for cell in cells:
        texts = parts(cell.source) if cell.cell_type == "markdown" else [cell.source]
        for i, text in enumerate(texts):
            new = copy.deepcopy(cell)
            new.source, new.id = text, cell.id if i == 0 else f"{cell.id}-{i}"
            if i > 0:
                new.metadata.slideshow.slide_type = "slide" if text[:3] == "## " else "subslide"
            elif len(texts) > 1 and cell.metadata.slideshow.slide_type == "slide":
                new.metadata.slideshow.slide_type = "subslide"  # the end of the section before
            notebook.cells.append(new)
    return notebook


def with_alternative_texts(deck, notebook):
    """The deck's HTML with the texts for its pictures that the notebook has in its metadata."""
    texts = iter(
        output.metadata["image/png"]["alt"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    )
    missing = 'alt="No description has been provided for this image"'
    return re.sub(missing, lambda _: f'alt="{html.escape(next(texts))}"', deck)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="all lessons by default")
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "slides", metavar="FOLDER")
    arguments = parser.parse_args()
    target = arguments.to
    target.mkdir(parents=True, exist_ok=True)
    copy_assets(target)
    exporter = SlidesExporter(
        template_name="slides",
        extra_template_basedirs=[str(ROOT / "site")],
        reveal_url_prefix="assets/reveal",
        reveal_theme="white",
    )
    for path in arguments.notebooks or lessons():
        notebook = cut_at_headings(nbformat.read(path, as_version=4))
        deck, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem}})
        deck = with_alternative_texts(deck, notebook)
        (target / f"{path.stem}.html").write_text(deck, encoding="utf-8", newline="\n")
        print(f"{path.stem}.html")


if __name__ == "__main__":
    main()
