"""velcodec: seismic velocity models as short latents of a frozen neural field.

Importing the package loads neither torch nor NumPy; each name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from velcodec.version import __version__

if TYPE_CHECKING:
    from velcodec.api import compress, decompress, preview
    from velcodec.archive.archive import Archive, open
    from velcodec.archive.create import ArchiveWriter, append, create
    from velcodec.archive.edit import cat, split, subset
    from velcodec.archive.repair import repair
    from velcodec.archive.stream import stream
    from velcodec.decoder import Decoder, load_decoder, load_encoder
    from velcodec.encode.description import Description
    from velcodec.field.field import Field
    from velcodec.field.interpolate import interpolate
    from velcodec.files.compress import compress_files
    from velcodec.files.decompress import Decompression, decompress_file, decompress_folder
    from velcodec.fit import fit_latents
    from velcodec.formats.errors import VelcodecError
    from velcodec.formats.files import open_models

_HOMES = {
    "Archive": "velcodec.archive.archive",
    "ArchiveWriter": "velcodec.archive.create",
    "Decoder": "velcodec.decoder",
    "Decompression": "velcodec.files.decompress",
    "Description": "velcodec.encode.description",
    "Field": "velcodec.field.field",
    "VelcodecError": "velcodec.formats.errors",
    "append": "velcodec.archive.create",
    "cat": "velcodec.archive.edit",
    "compress": "velcodec.api",
    "compress_files": "velcodec.files.compress",
    "create": "velcodec.archive.create",
    "decompress": "velcodec.api",
    "decompress_file": "velcodec.files.decompress",
    "decompress_folder": "velcodec.files.decompress",
    "fit_latents": "velcodec.fit",
    "interpolate": "velcodec.field.interpolate",
    "load_decoder": "velcodec.decoder",
    "load_encoder": "velcodec.decoder",
    "open": "velcodec.archive.archive",
    "open_models": "velcodec.formats.files",
    "preview": "velcodec.api",
    "repair": "velcodec.archive.repair",
    "split": "velcodec.archive.edit",
    "stream": "velcodec.archive.stream",
    "subset": "velcodec.archive.edit",
}

_MODULES = {
    "distributed": "velcodec.files.distributed",
    "errors": "velcodec.formats.errors",
    "fwi": "velcodec.fwi",
    "plot": "velcodec.plot",
    "torch": "velcodec.torch",
}

__all__ = [
    "Archive",
    "ArchiveWriter",
    "Decoder",
    "Decompression",
    "Description",
    "Field",
    "VelcodecError",
    "__version__",
    "append",
    "cat",
    "compress",
    "compress_files",
    "create",
    "decompress",
    "decompress_file",
    "decompress_folder",
    "fit_latents",
    "interpolate",
    "load_decoder",
    "load_encoder",
    "open",
    "open_models",
    "preview",
    "repair",
    "split",
    "stream",
    "subset",
]


def __getattr__(name: str) -> Any:
    from velcodec.formats.extras import torch_for

    if name in _MODULES:
        with torch_for(f"velcodec.{name}"):
            return import_module(_MODULES[name])
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with torch_for(f"velcodec.{name}"):
        value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
