"""Licences of data by their SPDX identifiers: usual spellings, and what velcodec knows.

SPDX lists hundreds of licences; those of models and of code that makes them are a few dozen. Others
stay as they are written.
"""

from __future__ import annotations

import re

CREATIVE_COMMONS = tuple(
    f"CC-BY{kind}-{version}"
    for kind in ("", "-SA", "-NC", "-NC-SA", "-ND", "-NC-ND")
    for version in ("1.0", "2.0", "2.5", "3.0", "4.0")
)
OTHERS = (
    "CC0-1.0", "CC-PDDC", "PDDL-1.0", "ODbL-1.0", "ODC-By-1.0", "CDLA-Permissive-1.0",
    "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "OGL-UK-3.0", "NLOD-2.0", "etalab-2.0", "GFDL-1.3",
    "MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "MPL-2.0", "EUPL-1.2", "Unlicense",
    "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "LGPL-2.1-only",
    "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "AGPL-3.0-only", "AGPL-3.0-or-later",
)  # fmt: skip

WORDS = (
    ("creative commons", "cc"), ("attribution", "by"), ("non commercial", "nc"),
    ("noncommercial", "nc"), ("share alike", "sa"), ("sharealike", "sa"), ("no derivatives", "nd"),
    ("noderivatives", "nd"), ("noderivs", "nd"), ("international", ""), ("unported", ""),
    ("licence", ""), ("license", ""), ("version", ""),
)  # fmt: skip
"""Words of full names, in this order, and what identifiers have in their place."""

SPELLINGS = {
    "cc0": "CC0-1.0", "cc zero": "CC0-1.0", "publicdomain zero 1.0": "CC0-1.0",
    "apache 2": "Apache-2.0", "bsd 3": "BSD-3-Clause", "bsd 2": "BSD-2-Clause",
    "new bsd": "BSD-3-Clause", "odbl": "ODbL-1.0", "pddl": "PDDL-1.0",
    "simplified bsd": "BSD-2-Clause",
}  # fmt: skip
LINK = re.compile(r"https?://(?:www\.)?creativecommons\.org/(?:licenses/)?([a-z0-9/.-]+?)/?", re.I)
OWN = re.compile(r"(?:DocumentRef-[\w.-]+:)?LicenseRef-[\w.-]+")


def _plain(text: str) -> str:
    """The words of a licence's name in small letters, as identifiers and spellings share them."""
    words = " ".join(re.split(r"[\s_,()/-]+", text.lower()))
    for word, short in WORDS:
        words = words.replace(word, short)
    return " ".join(re.sub(r"\bv\.?(?=\d)", "", words).split())


KNOWN = {_plain(name): name for name in (*CREATIVE_COMMONS, *OTHERS)} | SPELLINGS


def licence_of(text: str) -> str:
    """The SPDX identifier of a licence in one of its usual spellings, such as "CC BY 4.0" or its
    address at Creative Commons; another text as it is, without spaces around it.
    """
    text = text.strip()
    link = LINK.fullmatch(text)
    words = _plain(f"{'' if 'publicdomain' in text.lower() else 'cc '}{link[1]}" if link else text)
    return KNOWN.get(words, text)


def is_known_licence(text: str) -> bool:
    """Whether a licence is an SPDX identifier that velcodec knows, or an expression of such."""
    names = [name for name in re.split(r"[()\s]+|\bAND\b|\bOR\b", text) if name]
    known = KNOWN.values()
    return bool(names) and all(name in known or OWN.fullmatch(name) for name in names)
