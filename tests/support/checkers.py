"""Checks that many tests share, and the models that they are made on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
import numpy as np
from click.testing import Result

import velcodec
from velcodec.metrics import psnr


def layered(count: int, nz: int, nx: int, seed: int = 0) -> np.ndarray:
    """Folded models (count, nz, nx), float32 m/s: even ones smooth, odd ones of sharp layers."""
    random = np.random.default_rng(seed)
    z, x = np.mgrid[0:nz, 0:nx]
    models = []
    for i in range(count):
        depth = z / nz + 0.15 * np.sin(2 * np.pi * x / nx + random.uniform(0, 2 * np.pi))
        levels = np.sort(random.uniform(1500, 4500, 5))
        if i % 2:
            models.append(levels[np.clip((depth * 4).astype(int) + 1, 0, 4)])
        else:
            models.append(np.interp(depth, np.linspace(-0.2, 1.2, 5), levels))
    return np.array(models, dtype=np.float32)


def subcommands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """The commands of a group, which loads them when it is asked for them."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield name, command


def figures(result: Result) -> dict[str, Any]:
    """The JSON object that a command printed; it must be strict JSON and nothing else."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout, parse_constant=refuse)
    assert isinstance(found, dict)
    return found


def keys_of(source: Any) -> list[str]:
    """The keys of an archive's models."""
    with velcodec.open(source) as archive:
        return list(archive.keys)


def check_round_trip(
    models: np.ndarray, least_db: float | None = None, **options: Any
) -> np.ndarray:
    """Compress and decompress: same shape and dtype, within the models' own range, good enough.

    Returns what came back.
    """
    back = velcodec.decompress(velcodec.compress(models, decoder="tiny", **options))
    assert back.shape == models.shape
    assert back.dtype == models.dtype
    check_within(back, models)
    scale = 1000.0 if options.get("units") == "km/s" else 1.0
    if least_db is not None:
        assert psnr(models.astype(float) * scale, back.astype(float) * scale) >= least_db
    return back


def check_within(rendering: np.ndarray, models: np.ndarray) -> None:
    """No sample that was decoded leaves the range of the models that went in together."""
    assert rendering.min() >= models.min()
    assert rendering.max() <= models.max()
