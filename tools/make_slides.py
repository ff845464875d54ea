"""Make a deck of slides from each lesson, in build/slides, that shows without a network.

    python tools/make_slides.py                    all lessons
    python tools/make_slides.py ch03/ch03.ipynb    only these

A heading begins a slide; go down through its section, right to the next. The cells say which
slide they open (`slideshow` in their metadata), so that JupyterLab's own export shows the same.
"""

import argparse
import importlib.util
import shutil
import sys
from pathlib import Path

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
        html, _ = exporter.from_filename(str(path))
        (target / f"{path.stem}.html").write_text(html, encoding="utf-8", newline="\n")
        print(f"{path.stem}.html")


if __name__ == "__main__":
    main()
