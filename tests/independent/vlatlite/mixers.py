"""Binary decisions in many contexts (docs/format-exact.md, "Decisions")."""

import numpy as np

from .coder import bits, clamp


def squash_table():
    """Probabilities in 2^-16 of the logits from -2840 to 2840."""
    term = base = 1 << 64
    for k in range(1, 12):
        term //= 256 * k
        base += term
    power, upper = 1 << 64, []
    for _ in range(2841):
        upper.append((power << 16) // (power + (1 << 64)))
        power = power * base >> 64
    return np.array([(1 << 16) - p for p in upper[:0:-1]] + upper)


SQUASH = squash_table()
UPPER = np.searchsorted(SQUASH, np.arange(1 << 15, 1 << 16)) - 2840
STRETCH = np.concatenate([-UPPER[-1:], -UPPER[:0:-1], UPPER])
ENDS = np.array([0, 1, 2, 3, 4, 5, 6, 8, 11, 15, 21, 30, 45, 70, 110, 127])
GRADES = np.searchsorted(ENDS, np.arange(128))
COUNTED = np.arange(128) + 16 * np.maximum(np.arange(128) - 64, 0)
RATES = (10 << 20) // (10 * COUNTED + 6)
CONFIDENCE = 256 * np.arange(128) // (np.arange(128) + 2)
FIRST_MEANINGS = np.array(
    [((2 * o + 1) << 24) // (2 * o + 2 * z + 2) for o in ENDS for z in ENDS for _ in range(2)]
)
MASK = (1 << 31) - 1


def chain(first, *values):
    """hash(first, ...)."""
    for value in values:
        first = (((first ^ value) & MASK) * 0x2C1B3C6D + 0x297A2D39) & MASK
        first ^= first >> 15
    return first


def join(first, *others):
    for value, size in others:
        first = first * size + value
    return int(first)


def learn(p, n, places, bit):
    """Counters at `places` learn a bit."""
    old, used = p[places], n[places]
    used += (used < 127) & ((used < 64) | (old % 16 == 0))
    n[places] = used
    p[places] = old + ((((1 << 24) - 1) * bit - old) * RATES[used] >> 20)


class Mixer:
    """One of the three, of a stream; `samples` give the number of histories."""

    def __init__(self, stream, start, part, samples):
        self.stream = stream
        self.weights = start[f"{part}.weights"].astype(np.int64) * 4096
        self.second = start[f"{part}.second"].astype(np.int64) * 64
        self.maps = np.minimum(start[f"{part}.refined"].astype(np.int64) * 8192, (1 << 22) - 1)
        self.groups = len(self.second)
        meanings = start[f"{part}.meanings"].astype(np.int64)
        self.contexts = len(meanings) // (512 * self.groups)
        counters = start[f"{part}.counters"].astype(np.int64)
        self.slots = len(counters) // self.contexts
        even = np.full(len(counters), 1 << 23)
        self.p, self.n = self._begin(counters, even, 224)
        first = np.tile(FIRST_MEANINGS, self.contexts * self.groups)
        self.meaning_p, self.meaning_n = self._begin(meanings, first, 192)
        self.kept = 1 << clamp(bits(samples), 7, 18)
        self.history = np.zeros((3, self.contexts * self.kept), dtype=np.int64)  # zeros, ones, last

    @staticmethod
    def _begin(moved, first, unit):
        logits = np.clip(unit * moved + STRETCH[first >> 8], -2840, 2840)
        never = moved == -128
        return np.where(never, first, SQUASH[logits + 2840] << 8), np.where(never, 0, 64)

    def bit(self, contexts, node, group, rows, maps, chance=None):
        each = np.arange(self.contexts)
        t = np.array([chain(h, node * 0x3D4D51CB) for h in contexts])
        own, seen = each * self.slots + t % self.slots, each * self.kept + (t >> 3) % self.kept
        zeros, ones, last = self.history[:, seen]
        meant = (each * self.groups + group) * 512 + 32 * GRADES[ones] + 2 * GRADES[zeros] + last
        votes = np.empty(2 * self.contexts, dtype=np.int64)
        votes[::2] = STRETCH[self.p[own] >> 8] * CONFIDENCE[self.n[own]] >> 8
        votes[1::2] = STRETCH[self.meaning_p[meant] >> 8]
        more = [] if chance is None else [STRETCH[clamp(chance, 1, (1 << 16) - 1)]]
        votes = np.concatenate([votes, more, [256]]).astype(np.int64)
        sums = (self.weights[list(rows)] >> 4) @ votes
        sums = (sums + (1 << 31)) % (1 << 32) - (1 << 31)
        u = np.clip(sums >> 12, -2840, 2840)
        logit = clamp(int(u @ self.second[group]) >> 16, -2840, 2840)
        q = int(SQUASH[logit + 2840])
        b, f = divmod(clamp(logit + 3072, 0, 6143), 256)
        total = 2 * q
        for k in range(2):
            line = self.maps[k, maps[k]]
            total += int(line[b] * (256 - f) + line[b + 1] * f) >> 14
        c = clamp(total >> 2, 3, (1 << 16) - 3)
        bit = int(self.stream.slot() < c)
        self.stream.take(*((0, c) if bit else (c, (1 << 16) - c)))
        target = ((1 << 16) - 1) * bit
        for k in range(2):
            line = self.maps[k, maps[k]]
            line[b + (f >= 128)] += 64 * target - line[b + (f >= 128)] >> 7
        self.second[group] += 20 * (target - q) * u >> 22
        steps = 9 * (target - SQUASH[u + 2840]) + 32 >> 6
        moved = self.weights[list(rows)] + (np.outer(steps, votes) + (1 << 13) >> 14)
        self.weights[list(rows)] = np.clip(moved, -(1 << 19), 1 << 19)
        learn(self.p, self.n, own, bit)
        learn(self.meaning_p, self.meaning_n, meant, bit)
        came, other = (ones, zeros) if bit else (zeros, ones)
        came = np.minimum(came + 1, 127)
        other = np.where(other > 2, 2 + (other - 2) // 3, other)
        self.history[:, seen] = (other, came, 1 + 0 * came) if bit else (came, other, 0 * came)
        return bit
