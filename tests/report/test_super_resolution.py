"""Every method is measured against the truth of the coded models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.decoder import read_decoder
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding, make_fitter
from velcodec.encode.target import Target
from velcodec.formats.files.npy import as_models
from velcodec.metrics import psnr
from velcodec.progress import no_progress
from velcodec.report.coding import ARCHIVES, CodedFamily, code_family
from velcodec.report.data import Family, generated_families, generated_truth
from velcodec.report.super_resolution import METHODS, fine_rendering


@pytest.fixture(scope="module")
def coded(tiny_home: Path) -> CodedFamily:
    """Two models of 8 x 8, [x, z] and in km/s, with every archive."""
    decoder = read_decoder(tiny_home / "decoders" / "tiny.safetensors")
    coding = Coding(Target(bytes_per_model=300), decoder=decoder, device="cpu")
    source = as_models(layered(2, 8, 8) / 1000, order="xz", units="km/s")
    about = Description(order="xz", units="km/s")
    return code_family(
        Family("layers", source), make_fitter(coding), coding, about, no_progress, ARCHIVES
    )


def test_the_truth_is_the_same_models_as_those_fitted() -> None:
    (family,) = generated_families(["flatfault_a"], 2)
    truth = generated_truth("flatfault_a", 2)
    assert np.array_equal(family.models.m_s(1), truth.render(70, 70)[1].numpy())
    # 210 is an odd refinement of 70, so it shares cell centres with it.
    shared = truth.render(210, 210)[1, 1::3, 1::3].numpy()
    assert np.mean(np.abs(shared - family.models.m_s(1)) < 1.0) > 0.99


@pytest.mark.parametrize("method", METHODS)
def test_every_method_renders_any_grid_in_m_s(coded: CodedFamily, method: str) -> None:
    model = coded.family.models.m_s(1)
    fine = fine_rendering(coded, method, 1, 24)
    assert fine.shape == (24, 24)
    assert psnr(model, fine[1::3, 1::3]) > 20  # an odd refinement contains the samples' positions


def test_a_lossless_archive_gives_its_samples_and_their_field(coded: CodedFamily) -> None:
    assert np.array_equal(coded.archives["lossless"].rendering(1), coded.family.models.m_s(1))
    data = velcodec.compress(
        layered(2, 8, 8) / 1000, order="xz", units="km/s", lossless=True, device="cpu"
    )
    fine = velcodec.decompress(data, 24)[1].T * 1000.0
    assert np.allclose(fine_rendering(coded, "lossless", 1, 24), fine, rtol=1e-6)


def test_archives_within_the_budget_keep_it(coded: CodedFamily) -> None:
    for name in ("stored", "latents"):
        assert coded.stored[name].bytes_per_model <= coded.budget
