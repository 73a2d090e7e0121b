"""A PSNR in the fewest bytes: by a latent, samples, or both if a latent is to be kept."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.api import encode
from velcodec.decode.stored import read_record, stored_as
from velcodec.decoder import Decoder
from velcodec.encode import search
from velcodec.encode.allocate import LATENT_PREFERENCE
from velcodec.encode.candidates import Candidates
from velcodec.encode.coded import BESIDE_BITS, CodedModel
from velcodec.encode.description import Description
from velcodec.encode.encode import Encoded
from velcodec.encode.search import encode_to_psnr
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target
from velcodec.formats.latent_coding.stream import Tiles
from velcodec.formats.sample_coding.coders import LABEL_MAP
from velcodec.formats.sample_coding.stream import ExactStream
from velcodec.metrics import mse_of_psnr, psnr

TARGET_DB = 35.0
GOOD, BAD = mse_of_psnr(36.0), mse_of_psnr(34.0)


def a_latent(bits: float, mse: float = GOOD) -> CodedModel:
    """A coded model of `bits` bits and error `mse`, with a latent."""
    tiles = Tiles(np.zeros((1, 4), np.int32), np.ones(1, np.int64), np.zeros(1), np.ones(1))
    return replace(some_samples(bits, mse), tiles=tiles, exact=None, distance=1.5)


def some_samples(bits: float, mse: float = GOOD) -> CodedModel:
    """A coded model of `bits` bits and error `mse`, of samples alone."""
    stream = ExactStream(LABEL_MAP, 0, b"")
    return replace(CodedModel.of_samples((4, 4), stream, mse), bits=bits)


def chosen(
    monkeypatch: pytest.MonkeyPatch,
    latents: list[CodedModel],
    samples: list[CodedModel],
    keep_latent: bool = False,
) -> list[CodedModel]:
    """What `encode_to_psnr` takes of these; it must not be told less than is enough."""

    def within(
        _: Any, models: list[int], mse: float, enough: dict[int, float]
    ) -> dict[int, CodedModel]:
        assert mse == mse_of_psnr(TARGET_DB)
        bits = [np.inf if keep_latent else each.bits for each in samples]
        assert enough == dict(enumerate(bits))
        return {i: latents[i] for i in models}

    everyone = list(range(len(samples)))
    monkeypatch.setattr(search, "_likely_latents", lambda *_: everyone)
    monkeypatch.setattr(search, "latents_within", within)
    candidates: Any = Candidates.__new__(Candidates)
    candidates.source = range(len(samples))
    candidates.fitter = SimpleNamespace(on_progress=lambda *_: None)
    candidates.samples = SimpleNamespace(
        about=lambda i, mse: samples[i].bits, reaching=lambda i, mse: samples[i]
    )
    return encode_to_psnr(candidates, everyone, TARGET_DB, keep_latent)


def test_a_latent_that_takes_little_more_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LATENT_PREFERENCE == 1.05
    latents = [a_latent(1000.0), a_latent(1049.0), a_latent(1050.0), a_latent(1051.0)]
    found = chosen(monkeypatch, latents, [some_samples(1000.0)] * 4)
    assert [model.has_latent for model in found] == [True, True, True, False]
    assert [model.exact is None for model in found] == [True, True, True, False]


def test_a_latent_that_misses_the_target_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = chosen(monkeypatch, [a_latent(10.0, BAD)], [some_samples(1000.0)])
    assert not found.has_latent
    assert found.mse == GOOD
    assert np.isnan(found.distance)


def test_samples_that_cannot_win_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    unmade = some_samples(1000.0, BAD)  # would show in the result
    (found,) = chosen(monkeypatch, [a_latent(600.0)], [unmade])
    assert found.has_latent
    assert found.exact is None


def test_keep_latent_adds_samples_to_latents_below_the_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    latents = [a_latent(10.0), a_latent(10.0, BAD), a_latent(2000.0)]
    found = chosen(monkeypatch, latents, [some_samples(1000.0)] * 3, keep_latent=True)
    assert all(model.has_latent for model in found)
    assert [model.exact is None for model in found] == [True, False, False]
    assert found[1].mse == GOOD
    assert found[1].bits == 10.0 + 1000.0 + BESIDE_BITS


def flat(nz: int = 20, nx: int = 18) -> np.ndarray:
    """Flat layers, float32 m/s."""
    depths = np.repeat([1500.0, 2200.0, 3100.0, 4000.0], -(-nz // 4))[:nz]
    return np.tile(depths[:, None], (2, 1, nx)).astype(np.float32)


KINDS = {
    "layers": layered(4, 20, 18, seed=3)[1::2],
    "flat layers": flat(),
    "a constant": np.full((2, 20, 18), 2345.5, np.float32),
    "hills": layered(4, 20, 18, seed=3)[::2],
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_never_takes_more_bytes_than_lossless(tiny: Decoder, kind: str) -> None:
    models = KINDS[kind]
    found = velcodec.compress(models, decoder=tiny)
    exact = velcodec.compress(models, decoder=tiny, lossless=True)
    assert len(found) <= len(exact)
    back = velcodec.decompress(found)
    assert min(psnr(*pair) for pair in zip(models, back, strict=True)) >= TARGET_DB


def ways(data: bytes) -> list[str]:
    """How each model is stored."""
    with velcodec.open(data) as archive:
        return [stored_as(read_record(archive.reader, n)[1]) for n in range(len(archive))]


def made(models: np.ndarray, tiny: Decoder, **promise: Any) -> Encoded:
    return encode(models, Description(), Coding(Target(**promise), decoder=tiny))


def test_samples_alone_have_no_latent_and_latents_alone_no_samples(tiny: Decoder) -> None:
    models = KINDS["layers"]
    for promise in ({}, {"lossless": True}, {"max_error": 9.0}):
        assert set(ways(made(models, tiny, **promise).data)) == {"samples"}
    for promise in ({"psnr": 15.0}, {"bytes_per_model": 200.0}):
        found = made(models[:1, :12, :12], tiny, latent_only=True, **promise)
        assert set(ways(found.data)) == {"latent"}


@pytest.mark.parametrize(
    "promise", [{}, {"psnr": 45.0}, {"max_error": 9.0}, {"lossless": True}], ids=str
)
def test_keep_latent_stores_a_latent_of_every_model(tiny: Decoder, promise: dict[str, Any]) -> None:
    models = KINDS["layers"][:1, :12, :12]
    found = made(models, tiny, keep_latent=True, **promise)
    assert "samples" not in ways(found.data)
    assert "samples and latent" in ways(found.data)
    assert velcodec.preview(found.data, bytes=10**6).shape == models.shape
    if promise.get("lossless"):
        assert np.array_equal(velcodec.decompress(found.data), models)


@pytest.mark.parametrize(
    "promise",
    [
        {},
        {"lossless": True},
        {"latent_only": True, "psnr": 15.0},
        {"keep_latent": True, "psnr": 20.0},
    ],
)
def test_summary_and_info_count_how_models_are_stored(
    tiny: Decoder, promise: dict[str, Any]
) -> None:
    found = made(layered(3, 12, 10, seed=1), tiny, **promise)
    counted = {way: ways(found.data).count(way) for way in ("latent", "samples")}
    counted["samples and latent"] = 3 - sum(counted.values())
    assert found.summary.to_dict()["representations"] == counted
    numbers = found.summary.latent, found.summary.samples, found.summary.both
    assert list(numbers) == list(counted.values())
    with velcodec.open(found.data) as archive:
        assert archive.info()["representations"] == counted
