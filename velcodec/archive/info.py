"""What an archive says of itself as a whole, without decoding: figures for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from velcodec.decode.stored import BOTH, EXACT, LATENT, read_record, stored_as
from velcodec.formats.container.columns import column_figures
from velcodec.formats.container.header import Header
from velcodec.formats.container.page import QualityCodes
from velcodec.formats.container.quality import quality_figures
from velcodec.formats.container.record_reader import RecordReader

if TYPE_CHECKING:
    from velcodec.archive.archive import Archive

COUNTED_MODELS = 10_000
"""In larger archives it is not counted how models are stored, where their records tell it."""


def info_of(archive: Archive) -> dict[str, Any]:
    """All that is known without decoding; JSON-able."""
    reader, header = archive.reader, archive.header
    headers = reader.headers()
    sources = {each.source.sha256 for each in headers}
    source = sources.pop() if len(sources) == 1 else None
    tiles, representations = _count_records(reader, headers)
    return {
        "models": len(archive),
        "bytes": reader.size,
        "bytes_per_model": reader.size / max(1, len(archive)),
        "decoder": {"name": header.decoder_name, "hash": header.decoder_hash.hex()},
        "decoders": [
            {"name": name, "hash": digest.hex()}
            for name, digest in dict.fromkeys((h.decoder_name, h.decoder_hash) for h in headers)
        ],
        "embedded_decoders": [len(data) for data in reader.embedded_decoders()],
        "layouts": [asdict(layout) for layout in archive.layouts],
        "tiled": any(each.tiled for each in headers),
        "tiles": tiles,
        "representations": representations,
        "source_sha256": source.hex() if source else None,
        "provenance": header.provenance,
        "licence": header.licence,
        "provenances": list(dict.fromkeys(h.provenance for h in headers if h.provenance)),
        "licences": list(dict.fromkeys(h.licence for h in headers if h.licence)),
        "user": header.user,
        "has_keys": reader.has_keys,
        "fields": sorted(archive.fields),
        "columns": {name: column_figures(c) for name, c in sorted(archive.fields.items())},
        "shards": [asdict(shard) for shard in getattr(reader, "shards", ())],
        "unfinished_bytes": reader.unfinished,
        "quality": _quality_summary(reader.quality_codes),
    }


def _quality_summary(codes: QualityCodes | None) -> dict[str, float | None] | None:
    """Means and extremes of what was measured."""
    if codes is None:
        return None
    psnr, mae, worst, distance = quality_figures(codes)
    return {
        "mean_psnr_db": float(psnr.mean()),
        "worst_psnr_db": float(psnr.min()),
        "mean_mae_m_s": float(mae.mean()),
        "max_error_m_s": float(worst.max()),
        "distance": float(np.nanmax(distance)) if np.isfinite(distance).any() else None,
    }


def _count_records(
    reader: RecordReader, headers: Sequence[Header]
) -> tuple[int | None, dict[str, int] | None]:
    """Tiles of all models, and how many are stored in which way; None where that would mean
    reading very many records.
    """
    if not any(header.tiled or header.exact for header in headers):
        return len(reader), {LATENT: len(reader), EXACT: 0, BOTH: 0}
    if len(reader) > COUNTED_MODELS:
        return None, None
    tiles, found = 0, {LATENT: 0, EXACT: 0, BOTH: 0}
    for number in range(len(reader)):
        _, record = read_record(reader, number)
        tiles += len(record.streams)
        found[stored_as(record)] += 1
    return tiles, found
