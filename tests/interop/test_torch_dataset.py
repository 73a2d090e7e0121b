"""A data set gives what the archive decodes, batch by batch, in any process."""

from __future__ import annotations

import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from latent_archives import latent_archive
from torch.utils.data import DataLoader, Subset

import velcodec
from velcodec.formats.container.header import Layout
from velcodec.formats.errors import (
    InputFileError,
    MissingDecoderError,
    MixedShapesError,
    ModelNumberError,
    OptionError,
    ResolutionError,
)
from velcodec.interop.shared import SharedArchive
from velcodec.torch import VelocityDataset

ROUNDING = 0.05
"""m/s by which a rendering may differ from that of another batch."""


def test_each_model_is_a_tensor_with_a_channel(exact: Path, models: np.ndarray) -> None:
    dataset = VelocityDataset(exact)
    assert len(dataset) == 7
    assert dataset.shape == (1, 12, 9)
    assert dataset[3].shape == (1, 12, 9)
    assert dataset[3].dtype == torch.float32
    np.testing.assert_array_equal(dataset[-1][0], models[-1])
    np.testing.assert_array_equal(torch.cat(list(dataset)), models)
    with pytest.raises(ModelNumberError):
        dataset[7]


def test_x_first_archives_give_depth_down_too(
    exact_xz: Path, models: np.ndarray, tmp_path: Path
) -> None:
    np.testing.assert_array_equal(torch.cat(list(VelocityDataset(exact_xz))), models)
    path = tmp_path / "a.vlat"
    path.write_bytes(latent_archive(velcodec.load_decoder(), Layout(20, 16, axes="nxz")))
    fine = VelocityDataset(str(path), res=(10, 24))[1]
    expected = velcodec.decompress(path, (10, 24))[1]
    np.testing.assert_allclose(fine[0].T, expected, atol=ROUNDING)
    assert fine.is_contiguous()


@pytest.mark.parametrize("res", [None, 33, (10, 40)])
def test_any_resolution_is_rendered(latents: Path, res: Any) -> None:
    expected = velcodec.decompress(latents, res)
    dataset = VelocityDataset(latents, res)
    np.testing.assert_allclose(torch.cat(list(dataset)), expected, atol=ROUNDING)


def test_a_batch_is_decoded_as_one(exact: Path, decoded: list[list[int]]) -> None:
    batches = list(DataLoader(VelocityDataset(exact), batch_size=4))
    assert decoded == [[0, 1, 2, 3], [4, 5, 6]]
    assert [batch.shape for batch in batches] == [(4, 1, 12, 9), (3, 1, 12, 9)]
    list(DataLoader(Subset(VelocityDataset(exact), [6, 0, 2]), batch_size=2))
    assert decoded[2:] == [[6, 0], [2]]


def test_a_batch_is_its_models_one_by_one(latents: Path) -> None:
    dataset = VelocityDataset(latents, res=31)
    for one, number in zip(dataset.__getitems__([4, 0, 4]), [4, 0, 4], strict=True):
        torch.testing.assert_close(one, dataset[number], rtol=0.0, atol=ROUNDING)


def test_opening_decodes_nothing(exact: Path, decoded: list[list[int]]) -> None:
    len(VelocityDataset(exact))
    assert decoded == []


def test_values_are_scaled_to_the_range_given(exact: Path, models: np.ndarray) -> None:
    dataset = VelocityDataset(exact, value_range=(2000, 4000), dtype=torch.float64)
    np.testing.assert_allclose(dataset[2][0], (models[2].astype("f8") - 3000) / 1000, rtol=1e-12)


def test_the_transform_sees_each_tensor_last(exact: Path, models: np.ndarray) -> None:
    def to_pair(one: torch.Tensor) -> tuple[torch.Tensor, float]:
        return one[:, ::2], float(one.max())

    dataset = VelocityDataset(exact, value_range=(0, 10_000), transform=to_pair)
    half, greatest = dataset[1]
    assert half.shape == (1, 6, 9)
    assert greatest == pytest.approx(models[1].max() / 5000 - 1)
    batch, _ = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.shape == (3, 1, 6, 9)


def test_integers_and_kilometres_become_floats(tmp_path: Path, models: np.ndarray) -> None:
    for array, units in ((models.astype("u2"), "m/s"), (models.astype("f8") / 1000, "km/s")):
        path = tmp_path / f"{array.dtype}.vlat"
        path.write_bytes(velcodec.compress(array, lossless=True, units=units))
        dataset = VelocityDataset(path)
        assert dataset[0].dtype == torch.float32
        np.testing.assert_array_equal(dataset[5][0], array[5].astype("f4"))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_give_what_direct_decoding_gives(latents: Path, start: str) -> None:
    dataset = VelocityDataset(latents, res=(10, 24))
    direct = torch.stack(list(dataset))  # and the archive is open before there are workers
    loader = DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context=start)
    torch.testing.assert_close(torch.cat(list(loader)), direct, rtol=0.0, atol=ROUNDING)
    torch.testing.assert_close(torch.stack(list(dataset)), direct, rtol=0.0, atol=0.0)


def test_no_workers_give_the_same(exact: Path, models: np.ndarray) -> None:
    loader = DataLoader(VelocityDataset(exact), batch_size=3, num_workers=0)
    np.testing.assert_array_equal(torch.cat(list(loader))[:, 0], models)


def test_it_pickles_by_its_path(exact: Path, models: np.ndarray) -> None:
    dataset = VelocityDataset(exact, value_range=(0, 2))
    dataset[0]
    data = pickle.dumps(dataset)
    assert len(data) < 2000
    np.testing.assert_allclose(pickle.loads(data)[2][0], models[2] - 1, rtol=1e-6)


def test_a_forked_process_opens_the_archive_for_itself(exact: Path, models: np.ndarray) -> None:
    """Even while another thread of its parent is decoding."""
    shared = SharedArchive(exact)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with shared.reading():
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    child = os.fork()
    if child == 0:  # no test's business goes on here
        try:
            with shared.reading() as archive:
                os._exit(0 if np.array_equal(archive.decode(3), models[3]) else 1)
        finally:
            os._exit(2)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with shared.reading() as archive:
        np.testing.assert_array_equal(archive.decode(3), models[3])


def test_threads_share_one_archive(
    exact: Path, models: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    plain = velcodec.open
    monkeypatch.setattr(velcodec, "open", lambda *a, **o: opened.append(a) or plain(*a, **o))
    shared = SharedArchive(exact)

    def decode(number: int) -> np.ndarray:
        with shared.reading() as archive:
            return archive.decode(number)

    with ThreadPoolExecutor(8) as pool:
        np.testing.assert_array_equal(np.array(list(pool.map(decode, range(7)))), models)
    assert len(opened) == 1


def test_mixed_shapes_are_refused_unless_one_resolution_is_given(mixed: Path) -> None:
    with pytest.raises(MixedShapesError):
        VelocityDataset(mixed)
    dataset = VelocityDataset(mixed, res=(16, 10))
    assert torch.stack(dataset.__getitems__([0, 1, 2])).shape == (3, 1, 16, 10)


def test_models_of_one_shape_are_read_from_an_archive_that_knew_others(
    second_of_mixed: Path,
) -> None:
    expected = velcodec.decompress(second_of_mixed)
    np.testing.assert_array_equal(VelocityDataset(second_of_mixed)[0], expected)


def test_what_cannot_be_is_said_when_it_is_made(exact: Path, tmp_path: Path) -> None:
    with pytest.raises(InputFileError):
        VelocityDataset(tmp_path / "absent.vlat")
    with pytest.raises(ResolutionError):
        VelocityDataset(exact, res=20_000)
    assert VelocityDataset(exact, res=20_000, allow_large=True).shape == (1, 20_000, 20_000)
    for options in (
        {"value_range": (4500, 1500)},
        {"value_range": (0, float("inf"))},
        {"dtype": torch.int32},
        {"device": "abacus"},
        {"average": "median"},
    ):
        with pytest.raises(OptionError):
            VelocityDataset(exact, **options)
    with velcodec.open(exact) as archive, pytest.raises(OptionError, match="path"):
        VelocityDataset(archive)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["exact", "latents"])
@pytest.mark.parametrize("average", ["none", "cell", "slowness"])
def test_samples_and_latents_have_any_grid_and_means_over_its_cells(
    name: str, average: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)
    found = torch.cat(list(VelocityDataset(path, (24, 5), average=average)))
    expected = velcodec.decompress(path, (24, 5), average=average)
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


def test_what_no_model_can_give_is_said_when_it_is_asked_for(latents: Path) -> None:
    with pytest.raises(MissingDecoderError):
        VelocityDataset(latents, decoder="absent")[0]


def test_it_can_be_closed_and_read_again(exact: Path, models: np.ndarray) -> None:
    dataset = VelocityDataset(exact)
    dataset.close()
    np.testing.assert_array_equal(dataset[1][0], models[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(latents: Path) -> None:
    direct = torch.stack(list(VelocityDataset(latents, res=64)))
    there = torch.stack(list(VelocityDataset(latents, res=64, device="cuda")))
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), direct, rtol=1e-5, atol=0.5)
    loader = DataLoader(VelocityDataset(latents, res=64), batch_size=3, pin_memory=True)
    batches = list(loader)
    assert all(batch.is_pinned() for batch in batches)
    torch.testing.assert_close(torch.cat(batches), direct, rtol=0.0, atol=ROUNDING)
