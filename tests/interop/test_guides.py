"""The guides' code runs as it stands, and does what they say."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from latent_archives import latent_archive

import velcodec
from velcodec.formats.container.header import Layout
from velcodec.torch import VelocityDataset

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.DOTALL)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_network_of_the_pytorch_guide_learns() -> None:
    names: dict[str, Any] = {"__name__": "guide"}
    exec(blocks("howto-pytorch.md")[0], names)
    losses = names["losses"]
    assert len(losses) == 24
    assert np.mean(losses[-4:]) < 0.25 / 4  # the variance of the noise
    assert names["dataset"][0].abs().max() <= 1.01


def test_the_pytorch_guide_gives_every_argument_as_it_is() -> None:
    names: dict[str, Any] = {"torch": torch}
    exec(f"def {blocks('howto-pytorch.md')[1].strip()}: ...", names)
    said, found = (
        [(one.name, one.kind, one.default) for one in inspect.signature(call).parameters.values()]
        for call in (names["VelocityDataset"], VelocityDataset)
    )
    assert said == found


def test_what_the_python_guide_does_with_archives_runs() -> None:
    """With fewer and smaller models than it speaks of, and a grid that is not as huge."""
    data = latent_archive(velcodec.load_decoder(), Layout(16, 40), models=20)
    for name in ("models.vlat", "damaged.vlat"):
        Path(name).write_bytes(data)
    pair = [np.full((16, 12), 2000.0), np.full((20, 24), 3000.0)]
    mixed = velcodec.compress(pair, keys=["flat", "marmousi2"], lossless=True)
    names: dict[str, Any] = {"velcodec": velcodec, "np": np, "mixed": mixed}
    run = [code for code in blocks("howto-python.md") if re.search(r"archive[.[]|repair", code)]
    run = [code for code in run if "(small)" not in code]
    for code in run:
        exec(code.replace("20_000", "2_000"), names)
    assert len(run) == 4
    assert np.array_equal(names["named"], pair[1])
    assert len(names["some"]) == 10
    assert names["batch"].shape == (20, 140, 140)
    assert names["result"].saved == 20


def test_the_xarray_guide_runs() -> None:
    """With fewer and smaller models than it speaks of."""
    for package in ("dask", "xarray", "zarr"):
        pytest.importorskip(package)
    data = latent_archive(velcodec.load_decoder(), Layout(16, 12), models=6)
    for name in ("models.vlat", "more.vlat"):
        Path(name).write_bytes(data)
    names: dict[str, Any] = {}
    for code in blocks("howto-xarray.md"):
        small = code.replace("(40, 70, 70)", "(6, 16, 12)").replace("(20, 70, 70)", "(4, 16, 12)")
        exec(small, names)
    assert names["shallow"].shape == (16, 12)
    assert dict(names["fine"].sizes) == {"model": 6, "z": 140, "x": 280}
    assert names["both"].velocity.shape == (12, 16, 12)
    assert names["profile"].shape == (16,)
    assert names["array"].shape == (6, 16, 12)
