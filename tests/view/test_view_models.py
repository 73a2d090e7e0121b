"""What is drawn of a model in a window: the field, its samples, comparisons, moved latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from corpus import LATENTS

import velcodec
from velcodec import synth
from velcodec.decode.thumbnail import ABSENT
from velcodec.files.originals import open_originals
from velcodec.formats.errors import MissingDecoderError, ModelNumberError, OptionError
from velcodec.report.upsampling import upsample
from velcodec.view.model import Change, ViewedModel, Window
from velcodec.view.thumbnails import thumbnails

SHAPE = (30, 26)
WHOLE = Window(0, 30, 0, 26, 90, 78)


@pytest.fixture(scope="module")
def models() -> np.ndarray:
    drawn: np.ndarray = synth.draw("curvefault_a", 70_000_013, 0, 3).render(*SHAPE).numpy()
    return drawn


@pytest.fixture(scope="module")
def sampled(models: np.ndarray) -> velcodec.Archive:
    return velcodec.open(velcodec.compress(models, lossless=True))


@pytest.fixture(scope="module")
def latent(models: np.ndarray) -> velcodec.Archive:
    return velcodec.open(velcodec.compress(models, latent_only=True, psnr=20.0))


def test_the_field_is_what_decode_gives(
    sampled: velcodec.Archive, latent: velcodec.Archive
) -> None:
    for archive in (sampled, latent):
        whole = archive.decode(1, (90, 78)).astype(float)
        viewed = ViewedModel(archive, 1)
        np.testing.assert_allclose(viewed.render("field", WHOLE), whole, atol=1e-2)
        part = Window(10, 20, 13, 26, 30, 39)
        found = viewed.render("field", part)
        np.testing.assert_allclose(found, whole[30:60, 39:], atol=1e-2)


def test_a_close_look_at_samples_is_the_field_between_them(sampled: velcodec.Archive) -> None:
    close = ViewedModel(sampled, 0).render("field", Window(14, 15, 10, 12, 50, 100))
    fine = sampled.decode(0, (30 * 50, 26 * 50))
    np.testing.assert_allclose(close, fine[700:750, 500:600], atol=1e-2)


def test_samples_are_the_native_grid(sampled: velcodec.Archive, models: np.ndarray) -> None:
    found = ViewedModel(sampled, 2).render("samples", Window(0, 30, 0, 26, 30, 26))
    assert np.array_equal(found, models[2])
    far = ViewedModel(sampled, 2).render("field", Window(0, 30, 0, 26, 15, 13))
    assert set(np.unique(far)) <= set(np.unique(models[2]))


def test_bicubic_is_that_of_the_decoded_samples(
    sampled: velcodec.Archive, models: np.ndarray
) -> None:
    found = ViewedModel(sampled, 0).render("bicubic", Window(0, 30, 0, 26, 60, 60))
    np.testing.assert_allclose(found, upsample(models[0].astype(float), 60, "bicubic"), atol=1e-3)


def test_originals_and_errors_are_shown_at_the_native_grid(
    latent: velcodec.Archive, models: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "m.npy", models)
    originals = open_originals(latent, tmp_path / "m.npy")
    viewed = ViewedModel(latent, 1, originals)
    native = Window(0, 30, 0, 26, 30, 26)
    assert np.array_equal(viewed.render("original", native), models[1])
    error = viewed.render("error", native)
    np.testing.assert_allclose(error, latent[1].astype(float) - models[1], atol=1e-3)
    compared = viewed.facts()["compared"]
    assert compared["max_error"] == pytest.approx(np.abs(error).max(), abs=1e-3)
    with pytest.raises(OptionError, match="--against"):
        ViewedModel(latent, 1).render("error", native)


def test_other_units_and_axes_are_drawn_in_m_s_depth_down(models: np.ndarray) -> None:
    blob = velcodec.compress(models.swapaxes(1, 2) / 1000, units="km/s", order="xz", lossless=True)
    with velcodec.open(blob) as archive:
        viewed = ViewedModel(archive, 1)
        for layer in ("field", "samples"):
            found = viewed.render(layer, Window(0, 30, 0, 26, 30, 26))
            np.testing.assert_allclose(found, models[1], rtol=1e-5)
        assert viewed.facts()["low"] == pytest.approx(models[1].min(), rel=1e-5)
        (small,) = thumbnails(archive, [1], 26)
        assert small.thumbnail.levels.shape == (26, 23)
        assert small.thumbnail.high == pytest.approx(models[1].max(), rel=1e-5)


def test_absent_samples_are_not_numbers(models: np.ndarray) -> None:
    holed = models[:1].copy()
    holed[0, :6] = np.nan
    with velcodec.open(velcodec.compress(holed, mask="nan", lossless=True)) as archive:
        viewed = ViewedModel(archive, 0)
        for layer in ("field", "samples", "bicubic"):
            gone = np.isnan(viewed.render(layer, WHOLE))
            assert gone[:18].all()
            assert not gone[18:].any()
        (small,) = thumbnails(archive, [0], 30)
        assert (small.thumbnail.levels[:6] == ABSENT).all()
        assert not (small.thumbnail.levels[6:] == ABSENT).any()


def test_a_latent_moves_from_one_model_to_another(latent: velcodec.Archive) -> None:
    viewed, whole = ViewedModel(latent, 0), Window(0, 30, 0, 26, 30, 26)
    start = viewed.render("field", whole)
    np.testing.assert_allclose(viewed.render_changed(Change(), whole), start, atol=0.05)
    half = viewed.render_changed(Change(to=1, share=0.5), whole)
    np.testing.assert_allclose(half, latent.between(0, 1, 0.5), atol=0.05)
    moved = viewed.render_changed(Change(moves=(1.5, 0.0, -1.0)), whole)
    assert np.abs(moved - start).max() > 10.0


@pytest.mark.parametrize(
    "window",
    [
        Window(-1, 5, 0, 5, 4, 4), Window(5, 5, 0, 5, 4, 4), Window(0, 31, 0, 5, 4, 4),
        Window(0, 5, 0, 5, 0, 4), Window(0, 5, 0, 5, 1 << 12, 1 << 11),
    ],
)  # fmt: skip
def test_windows_beyond_the_model_or_of_too_many_pixels_are_refused(
    sampled: velcodec.Archive, window: Window
) -> None:
    with pytest.raises(OptionError, match="window"):
        ViewedModel(sampled, 0).render("field", window)


def test_thumbnails_have_equal_axes_and_each_models_range(sampled: velcodec.Archive) -> None:
    found = list(thumbnails(sampled, [2, 0], 60))
    assert [each.number for each in found] == [2, 0]
    assert found[0].thumbnail.levels.shape == (60, 52)
    assert found[0].thumbnail.levels.min() == 0
    assert found[0].thumbnail.levels.max() == 254


def test_a_model_that_cannot_be_decoded_spoils_no_other(
    latent: velcodec.Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = velcodec.Archive.stored

    def stored(self: velcodec.Archive, which: list[int]) -> object:
        if 1 in which:
            raise MissingDecoderError("decoder <b>x</b> not found")
        return real(self, which)

    monkeypatch.setattr(velcodec.Archive, "stored", stored)
    found = list(thumbnails(latent, [0, 1, 2], 20))
    assert [each.error for each in found] == ["", "decoder <b>x</b> not found", ""]
    assert found[2].thumbnail.levels.size


def test_a_model_that_is_not_there_is_named(sampled: velcodec.Archive) -> None:
    with pytest.raises(ModelNumberError):
        ViewedModel(sampled, 3)


@pytest.mark.parametrize("number", range(0, 9, 2))
def test_decoders_that_only_torch_evaluates_are_drawn_too(number: int) -> None:
    with velcodec.open(LATENTS / "embedded.vlat") as archive:
        layout = archive.layout(number)
        window = Window(0, layout.nz, 0, layout.nx, 17, 13)
        found = ViewedModel(archive, number).render("field", window)
        np.testing.assert_allclose(found, archive.decode(number, (17, 13)), atol=0.05)
