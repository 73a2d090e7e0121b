"""The version of the package."""

import re

__version__ = "0.1.0"


def release() -> tuple[int, ...]:
    """The three numbers of the version, which archives keep."""
    return tuple(map(int, re.findall(r"\d+", __version__)[:3]))
