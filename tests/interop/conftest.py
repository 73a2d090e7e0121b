"""Small archives whose axes cannot be confused, on disk, made without fitting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checkers import layered
from latent_archives import latent_archive

import velcodec
from velcodec.formats.container.header import Layout

GROUND = {"dx": 25.0, "dz": 5.0, "origin": (1000.0, 40.0)}
"""x from 1000 m, 25 m apart; z from 40 m, 5 m apart."""


@pytest.fixture(scope="session")
def models() -> np.ndarray:
    """(7, 12, 9), float32: more rows than columns, no two models alike."""
    return layered(7, 12, 9, seed=4)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archives")


@pytest.fixture(scope="session")
def exact(folder: Path, models: np.ndarray) -> Path:
    """The models bit for bit."""
    path = folder / "exact.vlat"
    about = {"provenance": "drawn for a test", "licence": "CC0"}
    path.write_bytes(velcodec.compress(models, lossless=True, **GROUND, **about))
    return path


@pytest.fixture(scope="session")
def exact_xz(folder: Path, models: np.ndarray) -> Path:
    """The same models, kept as arrays [x, z], with keys."""
    path = folder / "exact_xz.vlat"
    flipped = np.ascontiguousarray(models.swapaxes(1, 2))
    keys = [f"model-{number}" for number in range(len(models))]
    data = velcodec.compress(flipped, lossless=True, order="xz", keys=keys, **GROUND)
    path.write_bytes(data)
    return path


@pytest.fixture(scope="session")
def mixed(folder: Path) -> Path:
    """Models of two shapes."""
    path = folder / "mixed.vlat"
    models = [layered(1, 12, 9)[0], layered(1, 8, 20)[0], layered(1, 12, 9)[0]]
    path.write_bytes(velcodec.compress(models, lossless=True, **GROUND))
    return path


@pytest.fixture(scope="session")
def second_of_mixed(folder: Path, mixed: Path) -> Path:
    """A copy of the second of these models alone, whose header names both shapes."""
    path = folder / "second.vlat"
    velcodec.subset(mixed, path, [1])
    return path


@pytest.fixture(scope="session")
def latents(folder: Path) -> Path:
    """Six models of 20 x 16 samples as latents, which render at any resolution."""
    path = folder / "latents.vlat"
    layout = Layout(20, 16, dx_m=25.0, dz_m=5.0, origin_x_m=1000.0, origin_z_m=40.0)
    path.write_bytes(latent_archive(velcodec.load_decoder(), layout, models=6))
    return path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The numbers of the models of every call of `Archive.decode`, as they are made."""
    calls: list[list[int]] = []
    decode = velcodec.Archive.decode

    def spy(self: velcodec.Archive, which: object, *args: object, **options: object) -> object:
        calls.append(list(which))  # type: ignore[call-overload]
        return decode(self, which, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(velcodec.Archive, "decode", spy)
    return calls
