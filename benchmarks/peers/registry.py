"""The codecs of the benchmark, in the order of its tables."""

from __future__ import annotations

from .base import Mosaic, Peer, Streams
from .floats import Sz3, Zfp
from .ours import Velcodec
from .palette import NearestContexts, NearestSolid, PaletteContexts, PaletteSolid
from .pca import Pca
from .pictures import Av1, Av1Archive, JpegXl
from .quantised import DeltaZstd, DeltaZstdStack, JpegXlLossless
from .wavelets import Jpeg2000, Sperr, Sperr3d, SperrPsnr


def peers() -> list[Peer]:
    """One of each."""
    return [
        Velcodec(),
        PaletteContexts(),
        PaletteSolid(),
        NearestContexts(),
        NearestSolid(),
        Av1(),
        Av1Archive(),
        Streams(Sperr()),
        Streams(SperrPsnr()),
        Sperr3d(),
        Mosaic(Jpeg2000()),
        Streams(JpegXl()),
        Mosaic(JpegXl()),
        Streams(JpegXlLossless()),
        Mosaic(JpegXlLossless()),
        Streams(Sz3()),
        Mosaic(Sz3()),
        Streams(Zfp()),
        Mosaic(Zfp()),
        Streams(DeltaZstd()),
        DeltaZstdStack(),
        Pca(),
    ]
