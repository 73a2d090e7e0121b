"""Archives with keys, fields and sections of a later version, made without fitting anything."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from latent_archives import latent_archive

from velcodec.decoder import Decoder
from velcodec.formats.container.header import Layout
from velcodec.formats.container.quality import Quality
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.writer import VlatWriter

LAYOUT = Layout(9, 14, dx_m=20.0, dz_m=5.0)
SECTION = b"z", b"of a later version"


def rich_archive(
    decoder: Decoder,
    models: int = 12,
    *,
    seed: int = 0,
    layout: Layout = LAYOUT,
    keys: Sequence[str] | None = None,
    embedded: bytes | None = None,
    sections: Sequence[tuple[bytes, bytes]] = (SECTION,),
    fields: dict[str, Any] | None = None,
) -> bytes:
    """Models of drawn latents; by default with keys `m0`, ..., and the fields `family` (flat,
    salt, flat, ...), `depth_m` (0, 100, ...) and `checked` (true for every third).
    """
    with VlatReader(latent_archive(decoder, layout, models, seed=seed)) as plain:
        payloads, header = list(plain.payloads()), plain.header
    stream = io.BytesIO()
    writer = VlatWriter(stream, replace(header, provenance="drawn", licence="CC0"))
    if embedded is not None:
        writer.embed(embedded)
    for kind, body in sections:
        writer.attach(kind, body)
    if fields is None:
        fields = {
            "family": ["salt" if i % 2 else "flat" for i in range(models)],
            "depth_m": np.arange(models) * 100.0,
            "checked": np.arange(models) % 3 == 0,
        }
    quality = [Quality(30.0 + i, 10.0, 50.0, 1.0) for i in range(models)]
    names = [f"m{i}" for i in range(models)] if keys is None else list(keys)
    writer.add_many(payloads, names or None, quality, fields)
    writer.close()
    return stream.getvalue()
