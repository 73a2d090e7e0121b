"""`velcodec interpolate` writes models between two others, as latents and as a picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import velcodec

Run = Callable[..., Result]


@pytest.fixture
def archive(run: Run, models: np.ndarray) -> velcodec.Archive:
    """`in.vlat`: the latents of two models, by the keys `layers` and `lens`."""
    blob = velcodec.compress(
        models[:2], latent_only=True, psnr=16.0, decoder="tiny", keys=["layers", "lens"]
    )
    Path("in.vlat").write_bytes(blob)
    return velcodec.open(blob)


def test_the_ends_are_the_models_and_the_middle_is_between(
    run: Run, archive: velcodec.Archive
) -> None:
    result = run("interpolate", "in.vlat", "layers", 1, "out.vlat", "--steps", 5, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["models"] == 5
    assert found["bytes"] == Path("out.vlat").stat().st_size
    assert found["psnr_db_least"] >= 45
    with velcodec.open("out.vlat") as out:
        assert list(out.keys) == ["0.000", "0.250", "0.500", "0.750", "1.000"]
        assert all(out.latent(key).stored for key in out.keys)
        for key, which in (("0.000", "layers"), ("1.000", "lens")):
            assert np.sqrt(np.square(out[key] - archive[which]).mean()) < 25
        middle = archive.between("layers", "lens", 0.5)
        assert np.sqrt(np.square(out["0.500"] - middle).mean()) < 25
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


def test_outputs_have_names_of_their_own_by_default(run: Run, archive: velcodec.Archive) -> None:
    result = run("interpolate", "in.vlat", 0, 1, "--steps", 2)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in Path.cwd().iterdir()} == {
        "in.vlat", "in-0-1.vlat", "in-0-1.png"
    }  # fmt: skip
    result = run("interpolate", "in.vlat", 0, 1, "--steps", 2)
    assert result.exit_code == 60
    result = run("interpolate", "in.vlat", 0, 1, "other.vlat", "--no-picture")
    assert result.exit_code == 0
    assert not Path("other.png").exists()


@pytest.mark.parametrize(("which", "code"), [("nobody", 43), ("7", 44)])
def test_an_unknown_model_is_named(
    run: Run, archive: velcodec.Archive, which: str, code: int
) -> None:
    result = run("interpolate", "in.vlat", 0, which, "out.vlat", "--no-picture")
    assert result.exit_code == code
    assert which in result.stderr
    assert not Path("out.vlat").exists()
