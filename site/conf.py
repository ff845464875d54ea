"""Settings of the site, which `make site` builds from the committed outputs, without a network."""

import base64
import hashlib
import re
import sys
from pathlib import Path

import nbformat
from docutils import nodes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.stamp_address import address  # noqa: E402

project = "A language model, cell by cell"
copyright = "the authors; MIT licence"
extensions = ["myst_nb", "sphinx_external_toc", "sphinx-mathjax-offline"]
external_toc_path = str(ROOT / "site" / "toc.yml")
external_toc_exclude_missing = True  # only what the table of contents names
exclude_patterns = ["**/.*", ".*", "build", "models", "tests", "tools", "site", "benchmarks"]

smartquotes_action = "q"  # quotes only: two hyphens stay two hyphens
highlight_language = "none"  # of blocks that name no language
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
    "navbar_persistent": [],  # else a second, hidden header takes the clicks on the menu buttons
    "footer_content_items": ["copyright"],
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


def alternative_texts(app, doctree):
    """Pictures get the alternative text that the notebook has for them; MyST-NB names the files
    by the hash of what is in them."""
    path, texts = Path(app.env.doc2path(app.env.docname)), {}
    if path.suffix != ".ipynb":
        return
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                picture = base64.b64decode(output.data["image/png"])
                texts[hashlib.sha256(picture).hexdigest()] = output.metadata["image/png"]["alt"]
    for image in doctree.findall(nodes.image):
        image["alt"] = texts.get(Path(image["uri"]).stem, image.get("alt", ""))


def setup(app):
    app.connect("doctree-read", alternative_texts)
    app.connect("source-read", plain_links)
