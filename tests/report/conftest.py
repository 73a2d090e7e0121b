"""One family of two small models, coded by the small decoder, and its report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import layered
from click.testing import CliRunner

from velcodec.cli import main
from velcodec.decoder import read_decoder
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding, make_fitter
from velcodec.encode.target import Target
from velcodec.formats.files.npy import as_models
from velcodec.progress import no_progress
from velcodec.report.coding import CodedFamily, code_family
from velcodec.report.data import Family

BUDGET = 200
OPTIONS = ["--decoder", "tiny", "--device", "cpu", "--bytes-per-model", str(BUDGET)]


@pytest.fixture(scope="session")
def coded(tiny_home: Path) -> CodedFamily:
    """Two models of 8 x 8 in both codings."""
    decoder = read_decoder(tiny_home / "decoders" / "tiny.safetensors")
    coding = Coding(Target(bytes_per_model=BUDGET), decoder=decoder, device="cpu")
    family = Family("layers", as_models(layered(2, 8, 8)))
    return code_family(family, make_fitter(coding), coding, Description(), no_progress)


@pytest.fixture(scope="session")
def folder(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of models, and its report in `report`."""
    place = tmp_path_factory.mktemp("evaluated")
    np.save(place / "a.npy", layered(2, 8, 8))
    arguments = ["evaluate", "a.npy", "--report", "report", "--family", "flatvel_a"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(tiny_home))
        patch.chdir(place)
        result = CliRunner().invoke(
            main, [*arguments, "--models", "1", "--ablation-steps", "1", *OPTIONS]
        )
    assert result.exit_code == 0, result.stderr
    return place


@pytest.fixture(scope="session")
def tables(folder: Path) -> dict[str, Any]:
    """The contents of report.json."""
    found: dict[str, Any] = json.loads((folder / "report" / "report.json").read_text())
    return found
