"""Truncated or altered files give one-line errors, whatever the libraries raise."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from round_trips import GROUND, NX, NZ, asymmetric, written

from velcodec.formats.errors import InputFileError, VelcodecError
from velcodec.formats.files import FORMATS, open_models

FILES = [name for name, form in FORMATS.items() if not form.folder]


TRIALS = 40


def read_all(path: Path, **hints: Any) -> None:
    models = open_models(path, **hints)
    for _ in models.read(0, min(len(models), 8)):
        pass


def refusal(path: Path, **hints: Any) -> str | None:
    """The message if the file is refused, or None; any other exception passes through."""
    try:
        read_all(path, **hints)
    except VelcodecError as error:
        return str(error)
    return None


@pytest.mark.parametrize("format", FILES)
def test_cut_and_altered_files_are_refused_or_read(tmp_path: Path, format: str) -> None:
    models = asymmetric(1 if format == "segy" else 4)
    path = written(tmp_path, format, models, units="km/s", ground=GROUND)
    hints = {"shape": (len(models), NZ, NX)} if format == "raw" else {}
    good, chance = path.read_bytes(), random.Random(7)
    for trial in range(TRIALS):
        bad = bytearray(good)
        if trial % 3 == 0:
            del bad[chance.randrange(len(bad)) :]
        for _ in range(trial % 4):
            if bad:
                bad[chance.randrange(len(bad))] = chance.randrange(256)
        path.write_bytes(bad)
        message = refusal(path, **hints)
        assert message is None or (str(path) in message and "\n" not in message)


@pytest.mark.parametrize("format", FILES)
@pytest.mark.parametrize("content", [b"", b"nonsense", bytes(4000)], ids=["empty", "text", "zeros"])
def test_files_of_something_else_are_refused(tmp_path: Path, format: str, content: bytes) -> None:
    path = tmp_path / f"in{FORMATS[format].suffixes[0]}"
    path.write_bytes(content)
    hints = {"shape": (3, NZ, NX)} if format == "raw" else {}
    with pytest.raises(VelcodecError, match=str(path)):
        read_all(path, **hints)


@pytest.mark.parametrize("format", FORMATS)
def test_missing_files_and_folders_are_refused(tmp_path: Path, format: str) -> None:
    hints = {"shape": (NZ, NX)} if format == "raw" else {}
    path = tmp_path / f"none{FORMATS[format].suffixes[0]}"
    with pytest.raises(InputFileError, match=str(path)):
        read_all(path, format=format, **hints)
    path.mkdir()
    with pytest.raises(InputFileError, match=str(path)):
        read_all(path, format=format, **hints)
