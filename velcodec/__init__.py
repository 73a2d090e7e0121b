"""velcodec: seismic velocity models as short latents of a frozen neural field.

Importing the package loads neither torch nor NumPy; each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from velcodec.api import compress, decompress, preview
    from velcodec.archive import Archive, open
    from velcodec.decoder import Decoder, load_decoder, load_encoder
    from velcodec.editing import cat, split, subset
    from velcodec.fit import fit_latents
    from velcodec.formats.errors import VelcodecError
    from velcodec.mending import repair
    from velcodec.streaming import stream
    from velcodec.writing import ArchiveWriter, append, create

__version__ = "0.1.0"

_HOMES = {
    "Archive": "velcodec.archive",
    "ArchiveWriter": "velcodec.writing",
    "Decoder": "velcodec.decoder",
    "VelcodecError": "velcodec.formats.errors",
    "append": "velcodec.writing",
    "cat": "velcodec.editing",
    "compress": "velcodec.api",
    "create": "velcodec.writing",
    "decompress": "velcodec.api",
    "fit_latents": "velcodec.fit",
    "load_decoder": "velcodec.decoder",
    "load_encoder": "velcodec.decoder",
    "open": "velcodec.archive",
    "preview": "velcodec.api",
    "repair": "velcodec.mending",
    "split": "velcodec.editing",
    "stream": "velcodec.streaming",
    "subset": "velcodec.editing",
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
