"""Commands that need no torch, numba or SciPy do not import them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from latent_archives import latent_archive

import velcodec
from velcodec.decoder import Decoder, load_decoder
from velcodec.decoder.registry import HOME_VARIABLE
from velcodec.formats.container.header import Layout

HEAVY = "torch", "numba", "scipy", "matplotlib", "zarr", "xarray", "dask"


def loaded(code: str, *modules: str) -> list[str]:
    """The modules among `modules` that a new process has imported after running `code`."""
    tell = f"import sys; print('loaded:', *[m for m in {modules!r} if m in sys.modules])"
    words = [sys.executable, "-c", f"{code}\n{tell}"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()[1:]


def command(*arguments: object) -> str:
    """Code that runs `velcodec` with these arguments without exiting."""
    words = [str(each) for each in arguments]
    return (
        "from velcodec.cli import main\n"
        f"try: main({words!r})\n"
        "except SystemExit as end: assert not end.code, end.code"
    )


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three models stored as latents of the shipped decoder."""
    path = tmp_path / "models.vlat"
    path.write_bytes(latent_archive(load_decoder(), Layout(70, 70, axes="nzx", dtype="<f4")))
    return path


@pytest.mark.parametrize("code", ["import velcodec", "import velcodec.cli", command("--help")])
def test_import_and_help_load_nothing_heavy(code: str) -> None:
    assert loaded(code, *HEAVY, "numpy") == []


def test_info_loads_nothing_heavy(archive: Path) -> None:
    assert loaded(command("info", archive), *HEAVY) == []


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_decompress_on_a_cpu_loads_neither_torch_nor_scipy(
    archive: Path, tmp_path: Path, device: str
) -> None:
    if device == "auto" and _has_gpu():
        pytest.skip("there is a GPU, which torch finds")
    target = tmp_path / "out.npy"
    code = command("decompress", archive, target, "--device", device)
    assert loaded(code, "torch", "scipy.linalg", "tqdm") == []
    assert np.load(target).shape == (3, 70, 70)


def test_functions_of_others_that_need_scipy_still_find_it() -> None:
    code = """
import velcodec.formats.compiled, numba, numpy as np
product = numba.njit(lambda a: a @ a)(np.eye(3))
assert (product == np.eye(3)).all()
"""
    assert loaded(code, "scipy.linalg") == ["scipy.linalg"]


def test_decoding_without_torch_gives_the_same_values(archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.npy"
    subprocess.run([sys.executable, "-c", command("decompress", archive, target)], check=True)
    with_torch = velcodec.decompress(archive, decoder=load_decoder())
    assert (np.load(target) == with_torch).all()
    with velcodec.open(archive) as opened:
        assert (opened.decode([0, 1, 2], device="cpu").numpy() == with_torch).all()
        alone = opened.sample(0, [[55.0, 85.0]])
    with velcodec.open(archive, decoder=load_decoder()) as opened:
        assert (opened.sample(0, [[55.0, 85.0]]) == alone).all()


def test_samples_at_other_grids_need_no_torch(tmp_path: Path) -> None:
    model = np.full((24, 20), 2000, np.float32)
    model[9:, 4:] = 3300.25
    path = tmp_path / "exact.vlat"
    path.write_bytes(velcodec.compress(model, lossless=True))
    target = tmp_path / "out.npy"
    words = ("decompress", path, target, "--res", "72x60", "--device", "cpu")
    assert loaded(command(*words), "torch") == []
    assert (np.load(target)[1::3, 1::3] == model).all()
    code = (
        "import velcodec\n"
        f"archive = velcodec.open({str(path)!r})\n"
        "archive.decode(0, 30, average='cell'), archive.decode(0, 30, average='slowness')\n"
        "assert archive.sample(0, [[40.0, 90.0]])[0] == 3300.25"
    )
    assert loaded(code, "torch") == []


def test_samples_beside_a_latent_need_no_torch(tmp_path: Path) -> None:
    model = np.full((24, 20), 2000, np.float32)
    model[9:] = 3300.25
    path = tmp_path / "exact.vlat"
    path.write_bytes(velcodec.compress(model, lossless=True, keep_latent=True, effort=1))
    code = (
        "import velcodec, numpy as np\n"
        f"found = velcodec.decompress({str(path)!r})\n"
        "assert found[8, 3] == 2000 and found[9, 3] == 3300.25"
    )
    assert loaded(code, "torch") == []


def test_an_embedded_decoder_needs_no_torch(
    tiny: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.vlat"
    model = np.linspace(1500, 3000, 400, dtype=np.float32).reshape(20, 20)
    path.write_bytes(
        velcodec.compress(model, decoder=tiny, embed_decoder=True, latent_only=True, psnr=20)
    )
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "empty"))
    code = f"import velcodec\nassert velcodec.decompress({str(path)!r}).shape == (20, 20)"
    assert loaded(code, "torch") == []


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
