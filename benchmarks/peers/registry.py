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
from .screen import Av1Lossless, Av1LosslessStreams, Av1Screen
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
        Av1Screen(),
        Streams(Sperr()),
        Streams(SperrPsnr()),
        Sperr3d(),
        Mosaic(Jpeg2000()),
        Streams(JpegXl()),
        Mosaic(JpegXl()),
        *(kind(JpegXlLossless(effort)) for effort in (9, 10) for kind in (Streams, Mosaic)),
        Av1LosslessStreams(),
        Mosaic(Av1Lossless()),
        Streams(Sz3()),
        Mosaic(Sz3()),
        Streams(Zfp()),
        Mosaic(Zfp()),
        Streams(DeltaZstd()),
        DeltaZstdStack(),
        Pca(),
    ]
