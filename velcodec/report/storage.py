"""Bytes of a collection: the paper's Tables 13 and 14, from written files.

An archive has a fixed part (header, index) and a part per model. Both are measured on archives of
the coded models: one of all, one of each half. Large collections, of the coded models repeated in
random order, are written too, to check the extrapolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from velcodec.decode.stored import StoredModel, tables_of
from velcodec.decoder import LATENT_SIZE
from velcodec.encode.coded import CodedModel
from velcodec.encode.pack import RANGE_STEP_M_S, Contents, archive_bytes
from velcodec.formats.container.header import Header
from velcodec.formats.latent_coding.coding import USUAL_CODING
from velcodec.progress import Progress
from velcodec.report.coding import CodedFamily
from velcodec.version import release

SIZES = (1_000, 10_000, 100_000)
MOST_WRITTEN = 10_000
"""Models of the largest written archive; larger sizes are extrapolated."""

FLOAT_BYTES = 4
PAPER_BYTES_PER_MODEL = LATENT_SIZE * FLOAT_BYTES
LEAST_OF_TWO_HALVES = 512
"""Models from which bytes of a fixed part and of each model are told apart, at least."""

PAPER_DECODER_BYTES = 1_048_576 * FLOAT_BYTES
"""The paper's count of its decoder's parameters (Table 5), as float32."""


class Collection:
    """The coded models of all families, and sizes of archives of subsets."""

    def __init__(self, families: Sequence[CodedFamily]) -> None:
        self.decoder = families[0].latents.decoder
        self.models: list[StoredModel] = [
            model for coded in families for model in coded.latents.models
        ]
        self.quality = [row for coded in families for row in coded.latents.quality]
        self.grid_bytes = float(
            np.mean([m.layout.nz * m.layout.nx * FLOAT_BYTES for m in self.models])
        )

    def size(self, numbers: Sequence[int]) -> int:
        """Bytes of an archive of these models, in this order."""
        chosen = [self.models[i] for i in numbers]
        layouts = {model.layout: None for model in chosen}
        place = {layout: i for i, layout in enumerate(layouts)}
        header = Header(
            decoder_hash=self.decoder.identity or b"",
            decoder_name=self.decoder.name,
            layouts=tuple(layouts),
            coding=USUAL_CODING,
            software=release(),
        )
        contents = Contents(
            header,
            np.array([place[model.layout] for model in chosen], dtype=np.int64),
            None,
            tables_of(self.decoder),
            RANGE_STEP_M_S,
        )
        # The writer only reads tiling and tiles.
        coded = [CodedModel(m.tiling, m.tiles, 0, 0, 0.0, 0.0) for m in chosen]
        return len(archive_bytes(contents, coded, [self.quality[i] for i in numbers]))


def split_cost(collection: Collection, order: Sequence[int]) -> tuple[float, float] | None:
    """Bytes of the fixed part and per model, or None for a single model.

    Two halves contain the fixed part twice and every model once, so the fixed part is their total
    size minus the size of the whole.
    """
    if len(order) < 2:
        return None
    middle = len(order) // 2
    whole = collection.size(order)
    fixed = collection.size(order[:middle]) + collection.size(order[middle:]) - whole
    return float(fixed), (whole - fixed) / len(order)


def storage_table(
    families: Sequence[CodedFamily],
    decoder_bytes: int,
    on_progress: Progress,
    sizes: Sequence[int] = SIZES,
) -> dict[str, Any]:
    """Bytes of each family's file, fixed and per-model parts, and bytes of large collections."""
    collection = Collection(families)
    random = np.random.default_rng(0)
    order = random.permutation(len(collection.models)).tolist()
    # Few models are repeated, as neighbours share blocks.
    often = order * -(-LEAST_OF_TWO_HALVES // len(order)) if len(order) > 1 else order
    split = split_cost(collection, often)
    rows = []
    for done, models in enumerate(sizes):
        on_progress(done, len(sizes), "storage")
        written = None
        if models <= MOST_WRITTEN:
            written = collection.size(random.integers(len(order), size=models).tolist())
        rows.append(
            {
                "models": models,
                "grid_bytes": collection.grid_bytes * models,
                "paper_bytes": PAPER_BYTES_PER_MODEL * models,
                "paper_total_bytes": PAPER_BYTES_PER_MODEL * models + PAPER_DECODER_BYTES,
                "extrapolated_bytes": split and split[0] + split[1] * models,
                "written_bytes": written,
            }
        )
    return {
        "files": [
            {
                "family": coded.family.name,
                "models": len(coded.family),
                "bytes": coded.latents.size,
                "bytes_per_model": coded.latents.bytes_per_model,
                "grid_bytes_per_model": coded.family.shape[0] * coded.family.shape[1] * FLOAT_BYTES,
            }
            for coded in families
        ],
        "measured_on_models": len(order),
        "fixed_bytes": split and split[0],
        "bytes_of_each_model": split and split[1],
        "decoder_bytes": decoder_bytes,
        "collections": rows,
    }
