"""What the mixed coder knows of an image so far: labels, numbered by first use, and values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Float64, Int32, Int64
from velcodec.formats.compiled import njit
from velcodec.formats.sample_coding.label_map.context import RUN_TOP, advance, new_spans
from velcodec.formats.sample_coding.label_map.value_features import NONE
from velcodec.formats.sample_coding.mixing.contexts import RUNS
from velcodec.formats.sample_coding.mixing.mixer import hashed
from velcodec.formats.sample_coding.mixing.regression import PADDING, padded

MEMORIES = 3
"""So many contexts remember which label came there last."""


class Known(NamedTuple):
    """What is known of an image so far: `columns` (nx, nz) of labels, `image` (nx, nz) of their
    values, the same padded, each label's value, samples and thicknesses, `labels_of` values, labels
    that came in such a place last, what a column is like where it is now, and the runs of those
    before.
    """

    columns: Int64
    image: Int64
    padded: Float64
    values: Int64
    counts: Int64
    thickness: Int64
    labels_of: Int32
    remembered: Int32
    scan: Int64
    runs: Int64
    spans: Int64


def new_known(height: int, width: int, span: int) -> Known:
    """Before the first sample."""
    samples = height * width
    bits = 4 + (samples // 8).bit_length()
    image = np.zeros((width, height), dtype=np.int64)
    return Known(
        np.full((width, height), NONE, dtype=np.int64),
        image,
        padded(image, span),
        np.zeros(samples, dtype=np.int64),
        np.zeros(samples, dtype=np.int64),
        np.zeros((samples, 2), dtype=np.int64),
        np.full(1 << bits, NONE, dtype=np.int32),
        np.full((MEMORIES, 1 << bits), NONE, dtype=np.int32),
        np.zeros(4, dtype=np.int64),
        np.zeros(RUNS, dtype=np.int64),
        new_spans(height),
    )


@njit(cache=True, allocates=False)
def place_of_value(value: int, known: Known) -> int:
    """Where in `labels_of`, a hash table, that of `value` stands or would."""
    labels_of, values = known.labels_of, known.values
    found, last = hashed(value, 0), len(labels_of) - 1
    place, step = found & last, (found >> 7) | 1
    while labels_of[place] != NONE and values[labels_of[place]] != value:
        place = (place + step) & last
    return place


@njit(cache=True, allocates=False)
def note(label: int, above: int, x: int, z: int, known: Known) -> None:
    """Take down that sample z of column x has a label, below one of label `above`."""
    if z == 0:
        known.runs[:] = 0
    elif label != above:
        for k in range(RUNS - 1, 0, -1):
            known.runs[k] = known.runs[k - 1]
        known.runs[0] = z - known.scan[RUN_TOP]
    known.columns[x, z] = label
    known.image[x, z] = known.values[label]
    known.padded[x + PADDING, z + PADDING] = known.values[label]
    known.counts[label] += 1
    advance(label, above, z, known.scan, known.thickness)
