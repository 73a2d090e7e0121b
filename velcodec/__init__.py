"""velcodec: seismic velocity models as short latents of a frozen neural field.

Importing the package loads neither torch nor NumPy; each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from velcodec.api import compress, decompress, preview
    from velcodec.archive.archive import Archive, open
    from velcodec.archive.create import ArchiveWriter, append, create
    from velcodec.archive.edit import cat, split, subset
    from velcodec.archive.repair import repair
    from velcodec.archive.stream import stream
    from velcodec.decoder import Decoder, load_decoder, load_encoder
    from velcodec.fit import fit_latents
    from velcodec.formats.errors import VelcodecError

__version__ = "0.1.0"

_HOMES = {
    "Archive": "velcodec.archive.archive",
    "ArchiveWriter": "velcodec.archive.create",
    "Decoder": "velcodec.decoder",
    "VelcodecError": "velcodec.formats.errors",
    "append": "velcodec.archive.create",
    "cat": "velcodec.archive.edit",
    "compress": "velcodec.api",
    "create": "velcodec.archive.create",
    "decompress": "velcodec.api",
    "fit_latents": "velcodec.fit",
    "load_decoder": "velcodec.decoder",
    "load_encoder": "velcodec.decoder",
    "open": "velcodec.archive.archive",
    "preview": "velcodec.api",
    "repair": "velcodec.archive.repair",
    "split": "velcodec.archive.edit",
    "stream": "velcodec.archive.stream",
    "subset": "velcodec.archive.edit",
}

MODULES = ("distributed", "torch")
"""Parts that are imported when they are first used, like the names."""

__all__ = [
    "Archive",
    "ArchiveWriter",
    "Decoder",
    "VelcodecError",
    "__version__",
    "append",
    "cat",
    "compress",
    "create",
    "decompress",
    "fit_latents",
    "load_decoder",
    "load_encoder",
    "open",
    "preview",
    "repair",
    "split",
    "stream",
    "subset",
]


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return import_module(f"velcodec.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
