"""Labels in the order in which they were used last: which one is at a place, in few steps.

A label moves to the front when it is used. An encoder goes through the list from the front; a
decoder is told a place, and finds the label there by counts of a tree, in steps that grow with the
logarithm of the labels, so that no stream takes more time than others of as many samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.compiled import njit
from velcodec.formats.sample_coding.label_map.surroundings import NONE

Int64 = NDArray[np.int64]

Recency = tuple[Int64, Int64, Int64, Int64, Int64, Int64]
OLDER, NEWER, SLOTS, LABELS, TREE, STATE = range(6)
"""Of each label the one used before and the one used after it, and its slot; of each slot, a moment
of use, its label; counts of slots that are taken, as a Fenwick tree; and FRONT, NEXT, COUNT: the
label in front, the next free slot, and how many labels there are.
"""

FRONT, NEXT, COUNT = range(3)
ROOM = 2
"""Slots for each label that there may be: when they run out they are closed up."""


def new_recency(capacity: int) -> Recency:
    """No label yet, of at most `capacity`."""
    slots = ROOM * capacity + 1
    return (
        np.full(capacity, NONE, dtype=np.int64),
        np.full(capacity, NONE, dtype=np.int64),
        np.full(capacity, NONE, dtype=np.int64),
        np.full(slots, NONE, dtype=np.int64),
        np.zeros(slots + 1, dtype=np.int64),
        np.array([NONE, 0, 0], dtype=np.int64),
    )


@njit(cache=True)
def use(label: int, decoding: bool, recency: Recency) -> None:
    """Move `label`, which may be new, to the front."""
    older, newer, state = recency[OLDER], recency[NEWER], recency[STATE]
    front = state[FRONT]
    if front == label:
        return
    after = newer[label]
    if after == NONE:
        state[COUNT] += 1
    else:
        older[after] = older[label]
        if older[label] != NONE:
            newer[older[label]] = after
    older[label], newer[label] = front, NONE
    if front != NONE:
        newer[front] = label
    state[FRONT] = label
    if decoding:
        _stamp(label, recency)


@njit(cache=True)
def _stamp(label: int, recency: Recency) -> None:
    """Give `label` the newest slot."""
    slots, labels, tree, state = recency[SLOTS], recency[LABELS], recency[TREE], recency[STATE]
    if state[NEXT] == len(labels):
        _close_up(recency)
    if slots[label] != NONE:
        labels[slots[label]] = NONE
        _count(slots[label], -1, tree)
    slots[label] = state[NEXT]
    labels[state[NEXT]] = label
    _count(state[NEXT], 1, tree)
    state[NEXT] += 1


@njit(cache=True)
def _close_up(recency: Recency) -> None:
    slots, labels, tree, state = recency[SLOTS], recency[LABELS], recency[TREE], recency[STATE]
    free = 0
    for slot in range(len(labels)):
        label = labels[slot]
        if label != NONE:
            labels[slot] = NONE
            labels[free] = label
            slots[label] = free
            free += 1
    tree[:] = 0
    for slot in range(free):
        _count(slot, 1, tree)
    state[NEXT] = free


@njit(cache=True)
def _count(slot: int, change: int, tree: Int64) -> None:
    at = slot + 1
    while at < len(tree):
        tree[at] += change
        at += at & -at


@njit(cache=True)
def place_of(label: int, recency: Recency) -> int:
    """How many labels were used after `label`."""
    tree, at, before = recency[TREE], recency[SLOTS][label] + 1, 0
    while at > 0:
        before += tree[at]
        at -= at & -at
    return int(recency[STATE][COUNT] - before)


@njit(cache=True)
def label_at(place: int, recency: Recency) -> int:
    """The label that so many were used after; `place` is less than the number of labels."""
    tree = recency[TREE]
    left, at, step = recency[STATE][COUNT] - place - 1, 0, 1
    while 2 * step < len(tree):
        step *= 2
    while step > 0:
        if at + step < len(tree) and tree[at + step] <= left:
            at += step
            left -= tree[at]
        step //= 2
    return int(recency[LABELS][at])
