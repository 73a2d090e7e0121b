"""The codecs of the benchmark, in the order of its tables."""

from __future__ import annotations

from collections.abc import Sequence

from .base import Mosaic, Peer, Streams
from .floats import Sz3, Zfp
from .ours import velcodec_peers
from .palette import NearestContexts, NearestSolid, PaletteContexts, PaletteSolid
from .pca import Pca
from .pictures import Av1, JpegXl
from .quantised import DeltaZstd, DeltaZstdStack, JpegXlLossless
from .wavelets import Jpeg2000, Sperr, Sperr3d, SperrPsnr


def peers(budgets: Sequence[float]) -> list[Peer]:
    """One of each; velcodec is run at `budgets` (bytes per model)."""
    return [
        *velcodec_peers(budgets),
        PaletteContexts(),
        PaletteSolid(),
        NearestContexts(),
        NearestSolid(),
        Av1(),
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
