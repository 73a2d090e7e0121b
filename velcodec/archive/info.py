"""Facts about a whole archive, without decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from velcodec.archive.facts import facts_told
from velcodec.archive.layouts import layouts_in_use, layouts_named
from velcodec.decode.stored import (
    BOTH,
    EXACT,
    LATENT,
    absent_samples,
    read_record,
    stored_as,
    stored_layout,
)
from velcodec.formats.container.columns import column_figures
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.page import QualityCodes
from velcodec.formats.container.quality import is_unknown, quality_figures
from velcodec.formats.container.record_reader import RecordReader

COUNTED_MODELS = 10_000
"""Larger archives are not counted if that means reading every record."""


def info_of(reader: RecordReader) -> dict[str, Any]:
    """Everything known without decoding, JSON-able.

    `layouts` are those that some model has; all that headers name if that means reading very many
    records.
    """
    layouts = (layouts_in_use if len(reader) <= COUNTED_MODELS else layouts_named)(reader)
    header, headers, fields = reader.header, reader.headers(), reader.fields
    sources = {each.source.sha256 for each in headers}
    source = sources.pop() if len(sources) == 1 else None
    counted = _count_records(reader, headers, layouts)
    return {
        "models": len(reader),
        "bytes": reader.size,
        "bytes_per_model": reader.size / max(1, len(reader)),
        "decoder": {"name": header.decoder_name, "hash": header.decoder_hash.hex()},
        "decoders": [
            {"name": name, "hash": digest.hex()}
            for name, digest in dict.fromkeys((h.decoder_name, h.decoder_hash) for h in headers)
        ],
        "embedded_decoders": [len(data) for data in reader.embedded_decoders()],
        "layouts": [_facts(layout) for layout in layouts],
        "tiled": any(each.tiled for each in headers),
        "tiles": counted.tiles,
        "representations": counted.representations,
        "absent": counted.absent,
        "source_sha256": source.hex() if source else None,
        "provenance": header.provenance,
        "licence": header.licence,
        "provenances": list(dict.fromkeys(h.provenance for h in headers if h.provenance)),
        "licences": list(dict.fromkeys(h.licence for h in headers if h.licence)),
        **facts_told(reader),
        "user": header.user,
        "has_keys": reader.has_keys,
        "fields": sorted(fields),
        "columns": {name: column_figures(c) for name, c in sorted(fields.items())},
        "shards": [asdict(shard) for shard in getattr(reader, "shards", ())],
        "unfinished_bytes": reader.unfinished,
        "quality": _quality_summary(reader.quality_codes),
    }


def _facts(layout: Layout) -> dict[str, Any]:
    """What a layout says; of sections nothing on y."""
    facts = dict(vars(layout))
    if layout.ny is None:
        for name in ("ny", "dy_m", "origin_y_m"):
            del facts[name]
    return facts


def _quality_summary(codes: QualityCodes | None) -> dict[str, float | None] | None:
    """Means and extremes of the measured quality."""
    if codes is None:
        return None
    measured = codes[:, ~is_unknown(codes)]
    if not measured.size:
        return None
    psnr, mae, worst, distance = quality_figures(measured)
    return {
        "mean_psnr_db": float(psnr.mean()),
        "worst_psnr_db": float(psnr.min()),
        "mean_mae_m_s": float(mae.mean()),
        "max_error_m_s": float(worst.max()),
        "distance": float(np.nanmax(distance)) if np.isfinite(distance).any() else None,
    }


@dataclass
class _Counted:
    """The number of tiles, of models in each representation, and of models with absent samples
    (with the share of those among all samples). None if counting means reading very many records;
    `absent` also if no model can have absent samples.
    """

    tiles: int | None = None
    representations: dict[str, int] | None = None
    absent: dict[str, float] | None = None


def _count_records(
    reader: RecordReader, headers: Sequence[Header], layouts: Sequence[Layout]
) -> _Counted:
    masked = any(layout.no_data is not None for layout in layouts)
    if not (masked or any(header.tiled or header.exact for header in headers)):
        return _Counted(len(reader), {LATENT: len(reader), EXACT: 0, BOTH: 0})
    if len(reader) > COUNTED_MODELS:
        return _Counted()
    tiles, representations = 0, {LATENT: 0, EXACT: 0, BOTH: 0}
    models = absent = samples = 0
    for number in range(len(reader)):
        if reader.header_of(number).has_volumes and stored_layout(reader, number).is_volume:
            layout = stored_layout(reader, number)  # volumes are not read for it
            representations[EXACT] += 1
        else:
            header, record = read_record(reader, number)
            layout = header.layouts[record.layout]
            tiles += len(record.streams)
            representations[stored_as(record)] += 1
        if masked:
            samples += layout.samples
            missing = absent_samples(reader, number)
            models, absent = models + (missing > 0), absent + missing
    share = {"models": models, "share": absent / samples} if masked and samples else None
    return _Counted(tiles, representations, share)
