"""Settings of the site, which `make site` builds from the committed outputs, without a network."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.stamp_address import address  # noqa: E402

project = "A language model, cell by cell"
copyright = "the authors; MIT licence"
extensions = ["myst_nb", "sphinx_external_toc", "sphinx-mathjax-offline"]
external_toc_path = str(ROOT / "site" / "toc.yml")
external_toc_exclude_missing = True  # only what the table of contents names
exclude_patterns = ["**/.*", ".*", "build", "models", "tests", "tools", "site", "benchmarks"]

nb_execution_mode = "off"  # what is shown is what is committed
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = [str(ROOT / "site" / "static")]
html_css_files = ["course.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "repository_url": address(),
    "repository_branch": "main",
    "path_to_docs": "",
    "use_repository_button": True,
    "use_issues_button": True,
    "use_download_button": False,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "show_toc_level": 2,
    "home_page_in_toc": True,
}


def plain_links(app, docname, source):
    """Links to files that have no page on the site lead to the repository."""
    folder = (Path(app.srcdir) / docname).parent

    def lead(match):
        target = (folder / match[2]).resolve()
        if not target.exists() or not target.is_relative_to(ROOT):
            return match[0]
        path = target.relative_to(ROOT).as_posix()
        if path.rpartition(".")[0] in app.env.found_docs:
            return match[0]
        kind = "tree" if target.is_dir() else "blob"
        return f"{match[1]}({address()}/{kind}/main/{path})"

    if not docname.endswith(".ipynb"):
        source[0] = re.sub(r"(\[[^\]\n]*\])\(((?!https?:|#)[^)\s\"\\]+)\)", lead, source[0])


def setup(app):
    app.connect("source-read", plain_links)
