"""Every target for PSNR or size is met; one that cannot be met is an error that says so."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from checkers import layered
from torch import Tensor

import velcodec
from velcodec import synth
from velcodec.api import encode
from velcodec.decoder import Decoder
from velcodec.encode import fitting, groups, search
from velcodec.encode.allocate import utility_of_psnr
from velcodec.encode.description import Description
from velcodec.encode.encode import Encoded
from velcodec.encode.setup import Coding
from velcodec.encode.target import TARGET_DB, Target
from velcodec.formats.errors import BudgetError, OptionError, QualityError
from velcodec.metrics import mae, max_error, psnr


def smooth(count: int, nz: int, nx: int, seed: int = 0) -> np.ndarray:
    """Models without edges, float32 m/s."""
    random = np.random.default_rng(seed)
    z, x = np.mgrid[0:nz, 0:nx] / max(nz, nx)
    waves = [
        np.cos(np.pi * (random.uniform(0, 3) * z + random.uniform(0, 3) * x + random.random()))
        for _ in range(6 * count)
    ]
    return (3000 + 200 * np.sum(np.reshape(waves, (count, 6, nz, nx)), axis=1)).astype(np.float32)


def made(models: np.ndarray, tiny: Decoder, **options: object) -> Encoded:
    return encode(models, Description(), Coding(Target(**options), decoder=tiny))  # type: ignore[arg-type]


def decibels(encoded: Encoded, models: np.ndarray) -> list[float]:
    back = velcodec.decompress(encoded.data)
    return [psnr(a, b) for a, b in zip(models, back, strict=True)]


@pytest.mark.parametrize("target", [None, 28.0, 50.0])
@pytest.mark.parametrize("kind", [layered, smooth])
def test_every_model_reaches_its_psnr(tiny: Decoder, kind: object, target: float | None) -> None:
    models = kind(2, 16, 14, seed=1)  # type: ignore[operator]
    encoded = made(models, tiny, psnr=target)
    assert min(decibels(encoded, models)) >= (TARGET_DB if target is None else target)
    with velcodec.open(encoded.data) as archive:
        assert archive.decode(0, 31).shape == (31, 31)


def test_the_default_keeps_layers_that_hardly_differ(tiny: Decoder) -> None:
    models = np.concatenate([layered(1, 24, 20, seed=1), 1800 + layered(1, 24, 20, seed=2) / 15])
    told, asked = made(models, tiny), made(models, tiny, psnr=35.0)
    unlike = models.astype(np.float64).std(axis=(1, 2))
    assert unlike[0] > 300 > 40 > unlike[1]
    for encoded, most in ((told, 0.15), (asked, np.inf)):
        back = velcodec.decompress(encoded.data).astype(np.float64)
        rms = np.sqrt(np.square(back - models).mean(axis=(1, 2)))
        assert (rms <= most * unlike).all()
        assert min(decibels(encoded, models)) >= TARGET_DB
    assert decibels(asked, models)[1] < decibels(told, models)[1]


def test_the_summary_is_true(tiny: Decoder) -> None:
    models = layered(4, 16, 14, seed=1)
    encoded = made(models, tiny)
    summary, found = encoded.summary, decibels(encoded, models)
    back = velcodec.decompress(encoded.data)
    assert summary.bytes == len(encoded.data)
    assert summary.bytes_per_model == len(encoded.data) / 4
    assert summary.input_bytes == models.nbytes
    assert summary.mean_psnr == pytest.approx(np.mean(found), abs=1e-3)
    assert summary.worst_psnr == pytest.approx(min(found), abs=1e-3)
    assert summary.worst_model == str(int(np.argmin(found)))
    assert summary.max_error_m_s == pytest.approx(max_error(models, back), rel=1e-4)
    assert summary.latent + summary.samples + summary.both == 4


def test_measured_quality_is_stored_with_each_model(tiny: Decoder) -> None:
    models = layered(3, 16, 14, seed=1)
    with velcodec.open(made(models, tiny).data) as archive:
        for number, stored in enumerate(archive.quality or ()):
            back = archive[number]
            assert stored.psnr_db <= psnr(models[number], back) < stored.psnr_db + 1.01
            assert mae(models[number], back) <= stored.mae_m_s * 1.001
            assert max_error(models[number], back) <= stored.max_error_m_s * 1.001
        assert archive.quality is not None
        assert archive.info()["quality"]["worst_psnr_db"] == min(q.psnr_db for q in archive.quality)


def test_latents_have_a_distance_and_samples_alone_have_none(tiny: Decoder) -> None:
    models = layered(2, 16, 14, seed=1)
    for options, far in (({"latent_only": True, "psnr": 12.0}, True), ({"lossless": True}, False)):
        with velcodec.open(made(models, tiny, **options).data) as archive:
            told = [row.distance for row in archive.quality or ()]
        assert len(told) == 2 or not far  # nothing is measured of what comes back bit for bit
        assert [row > 0 for row in told] == [far] * len(told)


def test_a_higher_psnr_takes_more_bytes(tiny: Decoder) -> None:
    models = smooth(2, 16, 16)
    sizes = [len(made(models, tiny, psnr=target).data) for target in (25.0, 35.0, 60.0)]
    assert sizes == sorted(sizes)


def test_a_model_whose_latent_misses_the_target_is_named(
    tiny: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "TILE_SIZES", (70,))
    noise = np.random.default_rng(0).uniform(1500, 4500, (30, 30))
    models = np.stack([layered(1, 30, 30)[0], noise])
    about = Description(keys=["calm", "wild"])
    with pytest.raises(QualityError, match=r"model wild: .*expected 35 dB.*--latent-only"):
        encode(models, about, Coding(Target(latent_only=True), decoder=tiny))
    encoded = encode(models, about, Coding(decoder=tiny))
    assert min(decibels(encoded, models)) >= TARGET_DB
    assert encoded.summary.samples >= 1
    assert encoded.summary.both == 0
    kept = encode(models, about, Coding(Target(keep_latent=True), decoder=tiny))
    assert min(decibels(kept, models)) >= TARGET_DB
    assert (kept.summary.samples, kept.summary.both >= 1) == (0, True)


def test_latent_only_stores_only_latents(tiny: Decoder) -> None:
    models = layered(4, 16, 14, seed=1)
    for promise in ({"psnr": 24.0}, {"bytes_per_model": 200.0}):
        summary = made(models, tiny, latent_only=True, **promise).summary
        assert (summary.latent, summary.samples, summary.both) == (4, 0, 0)


@pytest.mark.parametrize("bytes_per_model", [85, 120.5])
def test_a_budget_is_kept_overhead_included(tiny: Decoder, bytes_per_model: float) -> None:
    models = layered(4, 16, 14, seed=1)
    encoded = made(models, tiny, bytes_per_model=bytes_per_model)
    assert len(encoded.data) <= 4 * bytes_per_model
    perfect = encoded.summary.worst_psnr == 100
    assert perfect or len(encoded.data) >= 0.8 * 4 * bytes_per_model


@pytest.mark.parametrize("bytes_per_model", [500, 1000, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_budget_is_filled_by_one_large_model(tiny: Decoder, bytes_per_model: float) -> None:
    """No other model can take what is left."""
    noise = np.random.default_rng(1).normal(0, 60, (90, 110)).astype(np.float32)
    encoded = made(layered(2, 90, 110, seed=2)[1:] + noise, tiny, bytes_per_model=bytes_per_model)
    assert 0.9 * bytes_per_model <= len(encoded.data) <= bytes_per_model


@pytest.mark.parametrize("bytes_per_model", [40, 90])
def test_a_budget_is_filled_by_many_models(tiny: Decoder, bytes_per_model: float) -> None:
    models = layered(24, 30, 28, seed=2) + np.float32(0.25)
    assert len(made(models, tiny, bytes_per_model=bytes_per_model).data) > (
        0.98 * bytes_per_model * len(models)
    )


def test_tiles_fitted_to_choose_a_size_are_not_fitted_again(
    tiny: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    fit = fitting.fit_latents

    def counted(decoder: Decoder, target: Tensor, *rest: object, **options: object) -> Tensor:
        fitted.append(len(target))
        return fit(decoder, target, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fitting, "fit_latents", counted)
    models = smooth(5, 20, 20)
    made(models, tiny, bytes_per_model=50, latent_only=True)
    assert sum(fitted) == len(models)


def test_more_effort_takes_fewer_bytes_for_the_same_promise(tiny: Decoder) -> None:
    models = layered(4, 16, 14, seed=1)
    archives = [
        velcodec.compress(models, decoder=tiny, latent_only=True, psnr=24.0, effort=level)
        for level in (1, 9)
    ]
    for data in archives:
        with velcodec.open(data, decoder=tiny) as archive:
            assert all(each.psnr_db >= 24.0 for each in archive.quality or ())
    assert len(archives[1]) < len(archives[0])


@pytest.mark.slow
def test_a_budget_is_kept_to_the_byte_by_a_thousand_models() -> None:
    """One byte over the budget, the same choice used to be made again and again."""
    models = synth.draw("curvevel_a", 5, 0, 1000).render(70, 70).numpy()
    data = velcodec.compress(models, effort=1, latent_only=True, bytes_per_model=48)
    assert 0.99 * 48_000 <= len(data) <= 48_000


def test_a_budget_is_kept_in_every_group_of_models(
    tiny: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "GROUP_MODELS", 3)
    models = np.concatenate([np.full((3, 20, 20), 2000, np.float32), layered(4, 20, 20)])
    encoded = made(models, tiny, bytes_per_model=200.0)
    with velcodec.open(encoded.data) as archive:
        lengths = archive.record_bytes
    assert len(encoded.data) <= 200 * 7
    for first, last in ((0, 2), (2, 4), (4, 7)):
        assert sum(lengths[first:last]) <= 200 * (last - first)


def test_more_bytes_buy_quality(tiny: Decoder) -> None:
    models = layered(2, 20, 20, seed=1)
    less, more = (made(models, tiny, bytes_per_model=b).summary.mean_psnr for b in (100, 200))
    assert less + 3 < more


def test_samples_are_stored_where_they_buy_more_than_a_finer_latent(tiny: Decoder) -> None:
    models = layered(4, 30, 30, seed=3)[1::2]
    latents = made(models, tiny, bytes_per_model=150, latent_only=True).summary
    either = made(models, tiny, bytes_per_model=150).summary
    assert either.samples == 2
    assert either.mean_psnr > latents.mean_psnr + 10


@pytest.mark.parametrize("size", [90, 130, 200])
def test_samples_never_make_few_models_worse(tiny: Decoder, size: float) -> None:
    models = layered(2, 40, 36, seed=3)
    latents, either = (
        sum(
            map(utility_of_psnr, decibels(made(models, tiny, bytes_per_model=size, **only), models))
        )
        for only in ({"latent_only": True}, {})
    )
    assert either >= latents - 0.01  # for the rounding to the models' dtype


def test_models_that_come_out_exact_share_one_domain(tiny: Decoder) -> None:
    models = np.rint(layered(3, 30, 28, seed=4)).astype(np.float32)
    with velcodec.open(made(models, tiny, bytes_per_model=400).data) as archive:
        assert min(figures.psnr_db for figures in archive.quality or ()) == 100.0
        exact = archive._reader.header.exact
        assert exact is not None
        assert len(exact.domains) == 1


def test_the_least_possible_budget_is_shown(tiny: Decoder) -> None:
    with pytest.raises(BudgetError, match="the least possible for these 2 models is"):
        made(layered(2, 20, 20), tiny, bytes_per_model=20)


def least_told(models: np.ndarray, tiny: Decoder, **options: object) -> tuple[int, int]:
    """Bytes per model and in all, from the error for a budget that is too small."""
    with pytest.raises(BudgetError) as found:
        made(models, tiny, bytes_per_model=1, **options)
    words = re.search(r"models is (\d+) bytes per model \((\d+) bytes in all\)", str(found.value))
    assert words
    return int(words[1]), int(words[2])


@pytest.mark.parametrize("latent_only", [False, True])
@pytest.mark.parametrize("kind", ["layers", "smooth", "noise", "several shapes"])
def test_the_least_budget_shown_is_accepted(tiny: Decoder, kind: str, latent_only: bool) -> None:
    noise = np.random.default_rng(1).uniform(1500, 4500, (3, 24, 30)).astype(np.float32)
    models: Any = {
        "layers": layered(5, 20, 24, seed=3),
        "smooth": smooth(7, 20, 20, seed=2),
        "noise": noise,
        "several shapes": [noise[0], layered(1, 9, 14)[0], smooth(1, 33, 12)[0]],
    }[kind]
    each, whole = least_told(models, tiny, latent_only=latent_only)
    count = len(models)
    for size in (each, (whole + 0.5) / count):
        found = made(models, tiny, bytes_per_model=size, latent_only=latent_only)
        assert len(found.data) <= size * count
    with pytest.raises(BudgetError):
        made(models, tiny, bytes_per_model=(whole - 0.5) / count, latent_only=latent_only)


@pytest.mark.parametrize("kind", [layered, smooth])
def test_the_header_of_samples_never_rules_out_a_budget(tiny: Decoder, kind: object) -> None:
    """Samples may take fewer bits than a latent, but more together with their header."""
    models = kind(2, 20, 20, seed=1)  # type: ignore[operator]

    def least(latent_only: bool) -> int:
        with pytest.raises(BudgetError) as found:
            made(models, tiny, bytes_per_model=20, latent_only=latent_only)
        return int(str(found.value).rsplit("(", 1)[1].split()[0])

    latents = least(True)
    assert least(False) <= latents
    assert len(made(models, tiny, bytes_per_model=latents / 2 + 1).data) <= latents + 2


def test_strange_models_are_farther_away(tiny: Decoder) -> None:
    calm = smooth(1, 24, 24)
    noise = np.random.default_rng(0).uniform(1500, 4500, (1, 24, 24)).astype(np.float32)
    near, far = (
        made(models, tiny, psnr=12.0, latent_only=True).summary.distance for models in (calm, noise)
    )
    assert near is not None
    assert far is not None
    assert far > 2 * near


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"psnr": 0.0}, "psnr: expected 0 to 100 dB, found 0"),
        ({"psnr": 130.0}, "psnr: expected"),
        ({"psnr": float("nan")}, "psnr: expected"),
        ({"psnr": 40.0, "bytes_per_model": 64.0}, "psnr and bytes_per_model: expected one of them"),
        (
            {"bytes_per_model": 99.0, "keep_latent": True},
            "keep_latent: expected it without bytes_per_model",
        ),
        (
            {"latent_only": True, "keep_latent": True},
            "keep_latent and latent_only: expected one of them",
        ),
        ({"bytes_per_model": -1.0}, "bytes per model: expected more than 0, found -1"),
    ],
)
def test_invalid_targets_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        velcodec.compress(layered(1, 8, 8), decoder="tiny", **options)


def test_enormous_values_need_lossless_archives(tiny: Decoder) -> None:
    model = np.array([[1e308, -1e308, 5.0], [0.0, 1.0, 2.0]])
    with pytest.raises(OptionError, match=r"model 0: found values up to 1e\+308.*--lossless"):
        made(model[None], tiny)
    for promise in ({"lossless": True}, {"max_error": 1.0}):
        back = velcodec.decompress(made(model[None], tiny, **promise).data)
        assert np.array_equal(back[0], model)
