"""Fields of archives: latents as stored come in, and go out again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from checkers import layered

import velcodec
from velcodec.decoder import Decoder
from velcodec.field import Field, interpolate
from velcodec.formats.errors import (
    MixedShapesError,
    OptionError,
    OutputExistsError,
    QualityError,
)
from velcodec.metrics import psnr as psnr_of

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture(scope="module")
def stored(tiny_home: Path) -> bytes:
    """Three models of 24 x 20 as latents."""
    file = tiny_home / "decoders" / "tiny.safetensors"
    models = layered(3, 24, 20)
    return velcodec.compress(models, latent_only=True, psnr=18.0, decoder=file, dx=20.0, dz=5.0)


def test_a_field_of_an_archive_renders_what_the_archive_renders(stored: bytes) -> None:
    archive = velcodec.open(stored)
    field = Field.from_archive(archive, [0, 2])
    assert field.geometry == archive.geometry(0)
    span = float(np.ptp(archive[0]))
    for res in (None, (31, 17)):
        found = field(res).detach().numpy()
        assert found == pytest.approx(archive.decode([0, 2], res), abs=0.002 * span)
    points = [[30.0, 60.0], [101.0, 77.0]]
    at = Field.from_archive(archive, 2).at(points).detach().numpy()
    assert at == pytest.approx(archive.sample(2, points), abs=0.002 * span)


def test_stored_latents_come_back_unchanged(stored: bytes, tmp_path: Path) -> None:
    archive = velcodec.open(stored)
    field = Field.from_archive(archive, [0, 1, 2])
    measured = field.to_archive(tmp_path / "again.vlat", keys=["a", "b", "c"])
    with velcodec.open(tmp_path / "again.vlat") as again:
        assert list(again.keys) == ["a", "b", "c"]
        assert again.geometry("b") == archive.geometry(1)
        for number in range(3):
            before, after = archive.latent(number), again.latent(number)
            assert after.stored
            assert np.array_equal(after.values, before.values)
            assert np.array_equal(after.low, before.low)
            assert np.array_equal(again[number], archive[number])
        assert again.quality is not None
        assert min(row.psnr_db for row in measured) >= 45
        assert [row.psnr_db for row in again.quality] == pytest.approx(
            [row.psnr_db for row in measured], abs=1.0
        )


def test_any_latents_are_stored_within_the_psnr_asked_for(tiny: Decoder, tmp_path: Path) -> None:
    single = Field((40, 56), decoder=tiny, tiles=28)
    field = single.sample(2, generator=torch.Generator().manual_seed(3)).double()
    sizes = []
    for psnr in (30.0, 50.0):
        path = tmp_path / f"{psnr}.vlat"
        measured = field.to_archive(path, psnr=psnr)
        with velcodec.open(path) as archive:
            decoded = archive.decode([0, 1])
        for model, values, row in zip(field().detach().numpy(), decoded, measured, strict=True):
            found = psnr_of(model, values)
            assert found >= psnr
            assert row.psnr_db == pytest.approx(found, abs=0.01)
        sizes.append(path.stat().st_size)
    assert sizes[0] < sizes[1]


def test_what_cannot_be_stored_is_refused(tiny: Decoder, tmp_path: Path) -> None:
    field = Field((24, 20), decoder=tiny).sample(1, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "out.vlat"
    with pytest.raises(QualityError, match="finest step"):
        field.to_archive(path, psnr=99.0)
    with pytest.raises(OptionError, match="keys"):
        field.to_archive(path, keys=["a", "b"])
    assert not path.exists()
    field.to_archive(path)
    with pytest.raises(OutputExistsError):
        field.to_archive(path)
    falling = Field((24, 20), decoder=tiny, bounds=None)
    falling.set_(falling.latents, *torch.tensor([[[3000.0]], [[2000.0]]]))
    with pytest.raises(OptionError, match="rising order"):
        falling.to_archive(path, force=True)


def test_a_model_without_a_latent_is_fitted(tiny: Decoder) -> None:
    models = layered(1, 24, 20)
    blob = velcodec.compress(models, lossless=True, decoder="tiny")
    field = Field.from_archive(velcodec.open(blob))
    error = field().detach().numpy() - models[0]
    assert np.sqrt(np.square(error).mean()) < 0.6 * models[0].std()


def test_models_that_make_no_batch_are_refused() -> None:
    models = [layered(1, 24, 20)[0], layered(1, 12, 30)[0]]
    archive = velcodec.open(velcodec.compress(models, latent_only=True, psnr=12.0, decoder="tiny"))
    with pytest.raises(MixedShapesError, match="to make a batch"):
        Field.from_archive(archive, [0, 1])
    with pytest.raises(MixedShapesError, match="expected the same"):
        interpolate(archive, 0, 1)


def test_interpolation_goes_from_one_model_to_the_other(stored: bytes) -> None:
    archive = velcodec.open(stored)
    path = interpolate(archive, 0, 2, steps=5)().detach().numpy()
    assert path.shape == (5, 24, 20)
    ends = archive.decode([0, 2])
    span = float(np.ptp(ends))
    assert path[[0, 4]] == pytest.approx(ends, abs=0.002 * span)
    assert path[2] == pytest.approx(archive.between(0, 2, 0.5), abs=0.005 * span)
    with pytest.raises(OptionError, match="steps"):
        interpolate(archive, 0, 2, steps=1)


def test_each_model_is_rendered_by_its_own_decoder(
    stored: bytes, other: Path, tmp_path: Path
) -> None:
    blob = velcodec.compress(
        layered(1, 24, 20, seed=5), latent_only=True, psnr=15.0, decoder=other, embed_decoder=True
    )
    velcodec.cat([stored, blob], tmp_path / "both.vlat")
    with velcodec.open(tmp_path / "both.vlat") as archive:
        fields = [Field.from_archive(archive, number) for number in (0, 3)]
        assert [field.decoder.name for field in fields] == ["tiny", "other"]
        found = fields[1]().detach().numpy()
        assert found == pytest.approx(archive[3], abs=0.002 * float(np.ptp(archive[3])))
        with pytest.raises(MixedShapesError):
            Field.from_archive(archive, [0, 3])
