"""Levels of effort: how long an encoder looks for fewer bytes.

What is asked for is kept at every level; only size and time differ. docs/effort.md has figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from velcodec.formats.errors import OptionError


@dataclass(frozen=True)
class Effort:
    """What one level does.

    A latent starts at the encoder's guess (after `adam_steps` of Adam), takes `fit_passes` passes
    of Levenberg-Marquardt and `fit_steps` steps on all points, is rounded, and descends in integers
    for `view_passes` on part of the points and `full_passes` on all. Samples are tried in
    `sample_modes` ways, each with `sample_trials` errors. Latents are tried where they are foretold
    to take up to `reach` times the bits of samples. A `thorough` search for a size tries every step
    around a choice rather than every second one.
    """

    adam_steps: int
    fit_passes: int
    fit_steps: int
    view_passes: int
    full_passes: int
    sample_modes: int
    sample_trials: int
    reach: float
    thorough: bool


LEVELS = {
    1: Effort(0, 1, 0, 0, 1, 1, 2, 0.8, False),
    2: Effort(0, 2, 0, 0, 2, 1, 2, 0.8, False),
    3: Effort(0, 3, 0, 2, 2, 1, 3, 0.9, False),
    4: Effort(0, 4, 0, 2, 3, 2, 3, 1.0, False),
    5: Effort(0, 6, 0, 4, 3, 2, 3, 1.0, False),
    6: Effort(0, 6, 2, 6, 4, 3, 4, 1.2, False),
    7: Effort(0, 8, 2, 8, 6, 3, 4, 1.5, True),
    8: Effort(0, 12, 4, 12, 8, 4, 5, inf, True),
    9: Effort(150, 12, 8, 24, 16, 4, 6, inf, True),
}
DEFAULT_EFFORT = 5


def effort_of(level: object) -> Effort:
    """What a level does. Raises OptionError unless it is one of LEVELS."""
    if isinstance(level, bool) or not isinstance(level, int) or level not in LEVELS:
        raise OptionError(
            f"effort: expected an integer from {min(LEVELS)} to {max(LEVELS)}, found {level!r}"
        )
    return LEVELS[level]
