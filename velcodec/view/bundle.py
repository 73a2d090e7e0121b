"""The page's own files as text: one script, one style sheet.

Scripts are modules that import from each other. They are joined in the order of SCRIPTS without
their imports and exports, so that a page on disk and a page from the server run the same script.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib import resources

SCRIPTS = (
    "colours", "state", "source", "stored", "axes", "contours", "pane", "profile", "facts",
    "latent", "pointer", "sections", "gallery", "model", "main",
)  # fmt: skip
"""Modules of the page, each after those that it imports."""

READER = ("simd", "siren", "sampler", "reader")
"""Modules of the reader in a page on disk, which runs in a worker."""

_IMPORT = re.compile(r"^import\s[^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(async )?(function|class|const|let)\b)", re.MULTILINE)


def page_text(name: str) -> str:
    """A file of the page."""
    return resources.files("velcodec.view").joinpath("page", name).read_text("utf-8")


def joined(modules: tuple[str, ...]) -> str:
    """Modules as one script."""
    parts = (_EXPORT.sub("", _IMPORT.sub("", page_text(f"{name}.js"))) for name in modules)
    return "\n".join(parts)


@lru_cache
def script() -> str:
    """The page's script, with the colour maps."""
    return f'"use strict";\nconst COLOUR_MAPS = {colour_maps()};\n{joined(SCRIPTS)}'


def colour_maps() -> str:
    """The colour maps as JSON: by name, 256 colours as rrggbb in one text."""
    path = resources.files("velcodec").joinpath("data", "colour-maps.json")
    return json.dumps(json.loads(path.read_text("utf-8")), separators=(",", ":"))
