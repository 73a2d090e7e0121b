"""Quiet stretches: samples of a column with nothing around them but the label above.

Whether all of a stretch is like the sample above is one decision. Where it is not, so are those of
where it breaks, from its end, near which most breaks are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.entropy.magnitudes import bit_length
from velcodec.formats.entropy.symbols import DECODING, Coder, code_even
from velcodec.formats.sample_coding.label_map.context import RUN_TOP
from velcodec.formats.sample_coding.mixing.contexts import (
    QUIET,
    fill_break_contexts,
    fill_quiet_contexts,
)
from velcodec.formats.sample_coding.mixing.image import Known
from velcodec.formats.sample_coding.mixing.interfaces import ENDS, fill_ends, quiet_stretch
from velcodec.formats.sample_coding.mixing.mixer import SETS, Mixing, code_mixed

SELECTORS = 64
"""Of each of the two kinds of decisions."""

TRIED = 12
"""Samples at a stretch's end of which each may be the first that differs; before those, all are
equally likely.
"""

LEFT, BREAKS, SINCE, JUMP, BROKEN = range(5)
"""Entries of `state`: samples left of the present stretch, stretches that broke, samples since, how
far the last break was from where the layer ended in the column before, and whether the sample that
comes after this stretch breaks it.
"""


class Quiet(NamedTuple):
    """The `state` (5,) of quiet stretches, contexts, and room for what a decision needs."""

    state: Int64
    ends: Int64
    contexts: Int64
    select: Int64
    refine: Int64
    given: Int64


def new_quiet() -> Quiet:
    """Before the first sample."""
    sizes = (5, ENDS, QUIET, SETS, 2, 0)
    return Quiet(*(np.zeros(size, dtype=np.int64) for size in sizes))


@njit(cache=True, allocates=False)
def code_quiet(
    wanted: Int64, x: int, z: int, kind: int, known: Known, quiet: Quiet, mixing: Mixing,
    coder: Coder,
) -> None:  # fmt: skip
    """Code whether a quiet stretch that begins at sample z of column x is whole, and where it
    breaks; `wanted` are the values that an encoder codes. Sets LEFT and BROKEN.
    """
    state, ends, select, refine = quiet.state, quiet.ends, quiet.select, quiet.refine
    stretch, length = quiet_stretch(known.columns, known.spans, x, z)
    if stretch == 0:
        return
    value, top = known.image[x, z - 1], known.scan[RUN_TOP]
    held = 0
    if not coder[DECODING]:
        while held < stretch and wanted[x, z + held] == value:
            held += 1
    breaks, since = min(state[BREAKS], 15), bit_length(min(state[SINCE], 32767))
    fill_ends(known.columns, known.spans, x, z, top, ends)
    fill_quiet_contexts(
        known.columns.shape, x, z, value, length, z - top, breaks, since, ends, quiet.contexts
    )
    select[0], select[1], select[2], select[3] = length, 16 + breaks, 32 + since, 48 + kind
    refine[0], refine[1] = length, 16 + breaks
    state[SINCE] += stretch
    if not code_mixed(
        int(held == stretch), quiet.contexts, 0, 0, select, refine, quiet.given, mixing, coder
    ):
        stretch = _code_break(held, stretch, length, z, value, kind, quiet, mixing, coder)
        state[BREAKS] += 1
        state[SINCE], state[JUMP], state[BROKEN] = 0, z + stretch - ends[0], 1
    state[LEFT] = stretch


@njit(cache=True, allocates=False)
def _code_break(
    held: int, stretch: int, length: int, z: int, value: int, kind: int, quiet: Quiet,
    mixing: Mixing, coder: Coder,
) -> int:  # fmt: skip
    """How many samples of a stretch are like the one above before one is not."""
    select, refine = quiet.select, quiet.refine
    breaks = min(quiet.state[BREAKS], 15)
    for k in range(min(stretch, TRIED) - 1):
        last = stretch - 1 - k
        fill_break_contexts(
            z + last, k, length, value, quiet.state[JUMP], quiet.ends, quiet.contexts
        )
        select[0], select[1] = SELECTORS + length, SELECTORS + 16 + k
        select[2], select[3] = SELECTORS + 32 + breaks, SELECTORS + 48 + kind
        refine[0], refine[1] = SELECTORS + length, SELECTORS + 16 + k
        if code_mixed(
            int(held == last), quiet.contexts, 1, 1, select, refine, quiet.given, mixing, coder
        ):
            return last
    if stretch <= TRIED:
        return 0
    return code_even(held, stretch - TRIED + 1, coder)
