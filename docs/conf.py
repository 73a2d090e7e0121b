"""The site: `make docs` builds it from the pages as they stand and from docstrings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from velcodec.version import __version__

project = "velcodec"
author = "the velcodec authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["conf.py", "*.json"]
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "velcodec"
html_show_sourcelink = False
html_theme_options = {
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "navbar_center": [],
    "show_toc_level": 2,
}
html_sidebars = {"**": ["globaltoc.html"]}

README = "site/readme"

# Links between pages are those that a forge follows: files, and headings as it names them.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
default_role = "code"


def source_read(app: Any, name: str, source: list[str]) -> None:
    """Give README's page its text, links to it that page, and `index` its table of contents."""
    text = source[0]
    if name == README:
        text = (Path(app.srcdir).parent / "README.md").read_text("utf-8").replace("](docs/", "](/")
        text = re.sub(r"\[([^]]+)\]\((?:LICENSE|CHANGELOG\.md)\)", r"\1", text)
    elif name == "index":
        text += contents(text)
    source[0] = re.sub(r"\]\((?:\.\./)+README\.md", f"](/{README}.md", text)


def contents(index: str) -> str:
    """The pages that each section of the index names, as Sphinx wants to be told."""
    found, seen = "", {README}
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        caption, _, text = section.partition("\n")
        pages = [page for page in re.findall(r"\]\(([\w/-]+)\.md[)#]", text) if page not in seen]
        first = [README] if not found else []
        lines = "\n".join(dict.fromkeys([*first, *pages]))
        found += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"
        seen |= set(pages)
    return found


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("source-read", source_read)
