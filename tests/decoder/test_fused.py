"""The fused kernel renders what torch renders: interpreted here, compiled on a GPU."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interpreted import CONFIGS, HIGH, LOW, WAYS, decoder_of, latents, points_of
from numpy.typing import NDArray
from paths import ROOT

from velcodec.decode.torch_tiles import render_tiles, tile_values
from velcodec.decoder import Decoder, SirenMixture, load_decoder
from velcodec.decoder.siren_mixture import cuda
from velcodec.fit.lm import error_and_gradient, hessian_of
from velcodec.geometry import grid_points

needs_triton = pytest.mark.skipif(not cuda.has_triton(), reason="Triton is not installed")


def needs_gpu(test: object) -> object:
    """Mark a test that needs a GPU."""
    skipped = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    return pytest.mark.cuda(skipped(test))


Rendered = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """The output of the interpreted kernel, from a separate process."""
    path = tmp_path_factory.mktemp("interpreted") / "rendered.npz"
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__).with_name("interpreted.py")), str(path)]
    subprocess.run(command, check=True, env=environment, cwd=ROOT, timeout=500)
    with np.load(path) as found:
        return dict(found)


@needs_triton
@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_the_interpreted_kernel_renders_what_torch_renders(rendered: Rendered, name: str) -> None:
    expected = decoder_of(name)(points_of(), latents(1)).numpy()
    assert np.abs(rendered[name] - expected).max() < 1e-5


@needs_triton
@pytest.mark.parametrize("way", sorted(WAYS))
def test_every_mode_of_the_kernel_agrees_with_torch(rendered: Rendered, way: str) -> None:
    how, found = WAYS[way], rendered[way]
    decoder, points = decoder_of("all parts"), points_of(how.get("own", False))
    if not how.get("scaled"):
        expected = decoder(points, latents(how.get("count", 2))).numpy()
        assert np.abs(found - expected).max() < 1e-5
        return
    dtype = how.get("dtype", torch.float32)
    assert found.dtype == torch.empty(0, dtype=dtype).numpy().dtype
    ready = render_tiles(latents(), np.array(LOW), np.array(HIGH), decoder)
    expected = tile_values(decoder, ready, points).numpy()
    assert np.abs(found - expected).max() < (2.1 if dtype == torch.float16 else 0.05)
    assert found.min() >= LOW[0]
    assert found.max() <= HIGH[0]


def test_without_a_gpu_torch_renders_the_same_velocities() -> None:
    decoder, points = decoder_of("all parts"), points_of()
    assert not cuda.serves(decoder, latents())
    low, high = torch.tensor(LOW).double(), torch.tensor(HIGH).double()
    found = cuda.velocities(decoder, latents(), low, high, points)
    ready = render_tiles(latents(), np.array(LOW), np.array(HIGH), decoder)
    assert (found - tile_values(decoder, ready, points)).abs().max() < 0.01


@given(st.floats(500, 5000), st.floats(0, 4000), st.sampled_from([torch.float16, torch.float32]))
def test_ends_that_a_dtype_holds_lie_within_the_range(
    low: float, extent: float, dtype: torch.dtype
) -> None:
    ends = torch.tensor([low], dtype=torch.float64), torch.tensor([low + extent]).double()
    inner_low, inner_high = cuda.within(*ends, dtype)
    assert inner_low.to(dtype).float() == inner_low
    assert inner_high.to(dtype).float() == inner_high
    assert inner_low <= inner_high
    assert inner_low >= low
    if extent > 8:
        assert inner_high <= ends[1]
        spacings = (torch.finfo(dtype).eps * 2.0 ** math.floor(math.log2(end)) for end in ends)
        moved = extent - (inner_high.double() - inner_low.double())
        assert moved <= 2 * sum(spacings)  # each end moves by about one, however it is rounded


def test_a_decoder_that_changes_is_packed_anew() -> None:
    decoder = decoder_of("all parts")
    before = cuda.pack(decoder)
    assert cuda.pack(decoder) is before
    decoder.reparametrise_(2 * torch.eye(256))
    after = cuda.pack(decoder)
    assert torch.equal(after.tensors[0], 2 * before.tensors[0])


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from velcodec.decoder import load_decoder
from velcodec.decoder.siren_mixture import cuda, triton_kernel
constants = cuda.pack(load_decoder()).sizes
constants |= {"POINTS": cuda.POINTS, "PRECISION": cuda.PRECISION, "SCALED": True}
names = triton_kernel.render.arg_names
kinds = {n: "*fp32" if n.startswith("to_") else "i32" for n in names}
kinds |= dict.fromkeys(constants, "constexpr")
by_place = {(names.index(n),): value for n, value in constants.items()}
source = ASTSource(triton_kernel.render, signature=kinds, constexprs=by_place)
made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": cuda.WARPS})
assert "mma" in made.asm["ptx"]
assert made.metadata.shared <= 227 * 1024, made.metadata.shared
"""


@needs_triton
@pytest.mark.slow
def test_the_kernel_compiles_for_tensor_cores_without_a_gpu(tmp_path: Path) -> None:
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", COMPILE], check=True, env=environment, cwd=ROOT, timeout=300
    )


@pytest.fixture
def shipped() -> tuple[Decoder, torch.Tensor, torch.Tensor]:
    """The default decoder, latents of its prior, points of 70 x 70."""
    decoder = load_decoder()
    drawn = torch.randn(16, 256, generator=torch.Generator().manual_seed(3))
    points = torch.from_numpy(grid_points(70, 70)).float()
    return decoder, drawn * decoder.prior_precision.rsqrt(), points


@needs_gpu
def test_velocities_of_a_gpu_are_within_1_m_s(
    shipped: tuple[Decoder, torch.Tensor, torch.Tensor],
) -> None:
    decoder, latent, points = shipped
    on_gpu = load_decoder(device="cuda")
    assert isinstance(on_gpu, SirenMixture)
    assert cuda.serves(on_gpu, latent.cuda()) == cuda.has_triton()
    ends = torch.full((16,), 1500.0), torch.full((16,), 4500.0)
    expected = cuda.velocities(decoder, latent, *ends, points)
    found = cuda.velocities(
        on_gpu, latent.cuda(), *(end.cuda() for end in ends), points.cuda()
    ).cpu()
    assert (found - expected).abs().max() < 1.0


@needs_gpu
def test_gradients_and_hessians_of_a_gpu_are_those_of_the_cpu(
    shipped: tuple[Decoder, torch.Tensor, torch.Tensor],
) -> None:
    decoder, latent, points = shipped
    target, on_gpu = torch.zeros(16, 4900), load_decoder(device="cuda")
    _, expected = error_and_gradient(decoder, points, latent, target)
    _, found = error_and_gradient(on_gpu, points.cuda(), latent.cuda(), target.cuda())
    assert (found.cpu() - expected).abs().max() < 1e-3 * expected.abs().max()
    hessian = hessian_of(decoder, points[:640], latent)
    on_device = hessian_of(on_gpu, points[:640].cuda(), latent.cuda())
    assert (on_device.cpu() - hessian).abs().max() < 1e-3 * hessian.abs().max()
