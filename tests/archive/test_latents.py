"""Latents of archived models, stored or fitted to samples; and models between two others."""

from __future__ import annotations

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.decoder import Decoder
from velcodec.encode.latents import ModelLatent
from velcodec.formats.errors import DecoderFileError, MixedShapesError, OptionError

pytestmark = pytest.mark.usefixtures("tiny")


def archive_of(models: object, **options: object) -> velcodec.Archive:
    return velcodec.open(velcodec.compress(models, decoder="tiny", **options))


def rms(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2)))


def test_a_stored_latent_renders_what_the_archive_renders(tiny: Decoder) -> None:
    archive = archive_of(layered(2, 24, 20), latent_only=True, psnr=20.0)
    for number in range(2):
        latent = archive.latent(number)
        assert latent.stored
        assert latent.values.shape == (latent.tiling.tiles, tiny.latent_size)
        assert latent.render(tiny) == pytest.approx(archive[number], abs=0.05)


def test_a_latent_fitted_to_samples_approximates_them(tiny: Decoder) -> None:
    models = layered(2, 24, 20)
    archive = archive_of(models, lossless=True)
    latent = archive.latent(0)
    assert not latent.stored
    assert rms(latent.render(tiny), models[0]) < 0.6 * models[0].std()
    assert latent.low.min() >= models[0].min()
    assert latent.high.max() <= models[0].max()


def test_a_fitted_latent_is_cached() -> None:
    archive = archive_of(layered(1, 24, 20), lossless=True)
    assert archive.latent(0) is archive.latent(0)


def test_a_latent_kept_beside_samples_is_the_stored_one() -> None:
    archive = archive_of(layered(1, 24, 20), lossless=True, keep_latent=True)
    assert archive.latent(0).stored


def test_an_unknown_fit_is_refused() -> None:
    archive = archive_of(layered(1, 24, 20), lossless=True)
    with pytest.raises(OptionError, match="effort: expected an integer from 1 to 9, found 10"):
        archive.latent(0, effort=10)


def test_between_renders_mixed_latents(tiny: Decoder) -> None:
    archive = archive_of(layered(2, 24, 20), lossless=True)
    ends = [archive.latent(number).render(tiny) for number in (0, 1)]
    for share, end in zip((0.0, 1.0), ends, strict=True):
        assert archive.between(0, 1, share) == pytest.approx(end, abs=0.05)
    middle = archive.between(0, 1, 0.5, res=(31, 17))
    assert middle.shape == (31, 17)
    assert middle.dtype == archive[0].dtype


def test_mixing_is_linear_in_latents_and_ranges() -> None:
    archive = archive_of(layered(2, 24, 20), lossless=True)
    first, second = archive.latent(0), archive.latent(1)
    mixed = first.mixed(second, 0.25)
    assert isinstance(mixed, ModelLatent)
    assert mixed.values == pytest.approx(0.75 * first.values + 0.25 * second.values, abs=1e-5)
    assert mixed.low == pytest.approx(0.75 * first.low + 0.25 * second.low)


def test_models_with_different_tiles_do_not_mix() -> None:
    archive = archive_of([layered(1, 24, 20)[0], layered(1, 12, 30)[0]], lossless=True)
    with pytest.raises(MixedShapesError, match="24 x 20 and 1 x 1 of 12 x 30"):
        archive.between(0, 1, 0.5)


def test_between_keeps_units_and_axis_order() -> None:
    models = layered(2, 24, 20) / np.float32(1000)
    archive = archive_of(models.swapaxes(1, 2), lossless=True, units="km/s", order="xz")
    middle = archive.between(0, 1, 0.5)
    assert middle.shape == (20, 24)
    assert models.min() <= middle.min() <= middle.max() <= models.max() + 1e-6


@pytest.mark.parametrize("share", [float("nan"), float("inf")])
def test_a_share_must_be_finite(share: float) -> None:
    archive = archive_of(layered(2, 24, 20), lossless=True)
    with pytest.raises(OptionError, match="share: found"):
        archive.between(0, 1, share)


def test_the_file_of_a_models_decoder_is_found(tiny: Decoder) -> None:
    archive = archive_of(layered(1, 24, 20), latent_only=True, psnr=20.0)
    assert archive.decoder_file(0).identity() == tiny.identity == archive.header.decoder_hash
    blob = velcodec.compress(layered(1, 24, 20), latent_only=True, psnr=20.0, decoder="tiny")
    with (
        velcodec.open(blob, decoder=tiny) as loaded,
        pytest.raises(DecoderFileError, match="without its file"),
    ):
        loaded.decoder_file(0)
