"""Mutated inputs, for fuzzing without coverage feedback."""

from __future__ import annotations

import random
from collections.abc import Iterator

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


def mutations(found: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Seeds with bytes and bits changed, inserted, removed or doubled, or with
    two of them joined.
    """
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(found))
        for _ in range(chance.choice((1, 1, 2, 4, 8))):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(6):
                case 0 if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
                case 1:
                    data[at : at + 1] = bytes([chance.choice(INTERESTING)])
                case 2:
                    data[at:at] = chance.randbytes(chance.randrange(1, 9))
                case 3:
                    del data[at : at + chance.randrange(1, 33)]
                case 4:
                    data[at:at] = data[at : at + chance.randrange(1, 65)]
                case _:
                    other = chance.choice(found)
                    data[at:] = other[chance.randrange(len(other) + 1) :]
        yield bytes(data)
