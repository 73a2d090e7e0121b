"""The same models, options, decoder and device give the same bytes, whatever the threads.

Each number of threads has its own process, since torch fixes how it splits work at the first call.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkers import layered

import velcodec
from velcodec.decoder import Decoder, load_decoder
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.encode.fitting import Fitted, Fitter, quantise_tiles
from velcodec.encode.tiles import GROUPS, ModelSet, cut_models
from velcodec.files.distributed import compress, connected
from velcodec.fit import LMOptions
from velcodec.formats.errors import QualityError
from velcodec.parallel import repeatable, spread
from velcodec.quantise import Passes

PROMISES: dict[str, dict[str, Any]] = {
    "latents alone": {"latent_only": True, "psnr": 20.0},
    "a PSNR": {"psnr": 30.0},
    "a size": {"bytes_per_model": 120.0},
    "a bound": {"max_error": 20.0},
    "bit for bit, and latents": {"lossless": True, "keep_latent": True},
}

LONG_PROMISES: dict[str, dict[str, Any]] = {
    "latents of the most effort": {"latent_only": True, "psnr": 20.0, "effort": 9},
    "a bound and latents": {"max_error": 20.0, "keep_latent": True},
    "bit for bit": {"lossless": True},
}

TILED = {"latent_only": True, "bytes_per_model": 400.0}


def digests(long: bool = False) -> dict[str, str]:
    """A checksum of the archive of each promise; with `long` of larger models, and of tiles too."""
    if long:
        models = [*layered(GROUPS["cpu"] + 2, 20, 18), *layered(2, 13, 30, seed=2)]
        promises = PROMISES | LONG_PROMISES
    else:
        GROUPS["cpu"] = 2  # so that few models are more than a group
        models, promises = list(layered(3, 9, 8)), PROMISES
    found = {
        name: velcodec.compress(models, decoder="tiny", **how) for name, how in promises.items()
    }
    if long:
        large = layered(1, 170, 160, seed=1)
        found["tiles"] = velcodec.compress(large, decoder="tiny", **TILED)
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def digests_of(threads: int, home: Path, *, by_call: bool = False, long: bool = False) -> Any:
    """Digests from a new process of `threads` threads, set in the environment or by torch."""
    code = "import json, torch, test_determinism as t; "
    if by_call:
        code += f"torch.set_num_threads({threads}); "
    code += f"assert torch.get_num_threads() == {threads}; print(json.dumps(t.digests({long})))"
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    # Other tests' dask workers leave limits of other libraries (MKL) in the environment.
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment = kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(1 if by_call else threads)}
    environment[HOME_VARIABLE] = str(home)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def one_thread(tiny_home: Path) -> dict[str, str]:
    found: dict[str, str] = digests_of(1, tiny_home)
    return found


@pytest.mark.parametrize(
    ("threads", "by_call"), [(2, False), pytest.param(3, True, marks=pytest.mark.slow)]
)
def test_every_promise_gives_the_same_bytes_on_any_number_of_threads(
    one_thread: dict[str, str], tiny_home: Path, threads: int, by_call: bool
) -> None:
    assert digests_of(threads, tiny_home, by_call=by_call) == one_thread
    assert len(set(one_thread.values())) == len(PROMISES)


@pytest.mark.slow
def test_large_models_and_tiles_give_the_same_bytes_on_any_number_of_threads(
    tiny_home: Path,
) -> None:
    assert digests_of(2, tiny_home, long=True) == digests_of(1, tiny_home, long=True)


def latents(threads: int) -> tuple[bytes, bytes]:
    """Latents of the shipped decoder after a few steps, to the last bit, and their errors."""
    decoder = load_decoder()
    brief = LMOptions(stages=((640, 1),), full_steps=1, adam_steps=4)
    fitter = Fitter(decoder, options=brief)
    models = list(layered(GROUPS["cpu"] + 2, 70, 70))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with repeatable():
            cut = cut_models(ModelSet(models, "m/s"), np.arange(len(models)), 70, 4.0)
            fitted = Fitted.empty(fitter, cut)
            fitted.fit(fitter)
            error = quantise_tiles(fitter, fitted, np.full(len(cut), 20), passes=Passes(1, 1)).error
    finally:
        torch.set_num_threads(before)
    return fitted.latents.numpy().tobytes(), error.tobytes()


def test_latents_are_the_same_to_the_last_bit_on_any_number_of_threads() -> None:
    """Without `repeatable` this fails: torch splits sums among threads."""
    assert latents(2) == latents(1)


def test_concurrent_encodings_make_the_same_bytes(tiny: Decoder) -> None:
    models = layered(2, 9, 8)

    def encode(_: int) -> bytes:
        return velcodec.compress(models, decoder=tiny, latent_only=True, psnr=20.0)

    alone = encode(0)
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(encode, range(3))) == {alone}


def test_shards_are_the_same_whatever_the_workers(tiny: Decoder, tmp_path: Path) -> None:
    np.save(tmp_path / "models.npy", layered(4, 9, 8))
    made = []
    for workers in (1, 2):
        with connected("local", workers) as client:
            compress(
                tmp_path / "models.npy", tmp_path / str(workers), client=client,
                models_per_shard=2, latent_only=True, psnr=20.0, decoder="tiny", device="cpu",
            )  # fmt: skip
        files = sorted((tmp_path / str(workers)).iterdir())
        made.append([(path.name, path.read_bytes()) for path in files])
    assert made[0] == made[1]
    assert len(made[0]) == 3


def test_groups_depend_only_on_models_and_kind_of_device() -> None:
    models = layered(3 * GROUPS["cpu"] + 1, 10, 12)
    cut = cut_models(ModelSet(list(models), "m/s"), np.arange(len(models)), 70, 4.0)
    for device, size in GROUPS.items():
        groups = cut.groups(device=device)
        assert {len(group) for group in groups[:-1]} <= {size}
        assert np.array_equal(np.concatenate(groups), np.arange(len(models)))


@pytest.fixture
def two_threads() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_torch_gets_its_threads_back_after_an_encoding_or_error(tiny: Decoder) -> None:
    velcodec.compress(layered(1, 14, 12), decoder=tiny, lossless=True)
    assert torch.get_num_threads() == 2
    with pytest.raises(QualityError):
        velcodec.compress(layered(1, 14, 12), decoder=tiny, latent_only=True, psnr=90.0)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_spread_work_comes_back_in_order_on_one_thread_each() -> None:
    def square(number: int) -> tuple[int, int]:
        return number * number, torch.get_num_threads()

    with repeatable():
        found = list(spread(square, range(50), torch.device("cpu")))
    assert found == [(number, (number * number, 1)) for number in range(50)]


@pytest.mark.usefixtures("two_threads")
def test_an_error_in_a_part_is_raised_in_its_turn() -> None:
    def fussy(number: int) -> int:
        if number == 7:
            raise ValueError("seven")
        return number

    with repeatable():
        results = spread(fussy, range(50), torch.device("cpu"))
        assert [next(results)[0] for _ in range(7)] == list(range(7))
        with pytest.raises(ValueError, match="seven"):
            next(results)
