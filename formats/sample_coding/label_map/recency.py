"""Labels in order of last use (move to front), with logarithmic access by position.

An encoder walks the list from the front. A decoder is given a position and finds the label by a
Fenwick tree, so that the time of a stream depends on its samples, not on the number of labels.
"""

from __future__ import annotations

import numpy as np

from velcodec.formats.arrays import Int64
from velcodec.formats.compiled import njit
from velcodec.formats.sample_coding.label_map.value_features import NONE

Recency = tuple[Int64, Int64, Int64, Int64, Int64, Int64]
OLDER, NEWER, SLOTS, LABELS, TREE, STATE = range(6)
"""Of each label: the one used before it, the one used after it, and its slot. Of each slot, a time
of use: its label. A Fenwick tree of the taken slots. The state: FRONT, the label in front; NEXT,
the next free slot; COUNT, the number of labels.
"""

FRONT, NEXT, COUNT = range(3)
ROOM = 2
"""Slots per label of the capacity; when they run out they are compacted."""


def new_recency(capacity: int) -> Recency:
    """An empty list for at most `capacity` labels."""
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
        _compact(recency)
    if slots[label] != NONE:
        labels[slots[label]] = NONE
        _count(slots[label], -1, tree)
    slots[label] = state[NEXT]
    labels[state[NEXT]] = label
    _count(state[NEXT], 1, tree)
    state[NEXT] += 1


@njit(cache=True)
def _compact(recency: Recency) -> None:
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
def position_of(label: int, recency: Recency) -> int:
    """Position of `label`: the number of labels used after it."""
    tree, at, before = recency[TREE], recency[SLOTS][label] + 1, 0
    while at > 0:
        before += tree[at]
        at -= at & -at
    return int(recency[STATE][COUNT] - before)


@njit(cache=True)
def label_at(position: int, recency: Recency) -> int:
    """The label at a position; `position` is less than the number of labels."""
    tree = recency[TREE]
    left, at, step = recency[STATE][COUNT] - position - 1, 0, 1
    while 2 * step < len(tree):
        step *= 2
    while step > 0:
        if at + step < len(tree) and tree[at + step] <= left:
            at += step
            left -= tree[at]
        step //= 2
    return int(recency[LABELS][at])
