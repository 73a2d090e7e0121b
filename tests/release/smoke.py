"""Every command of an installed velcodec once, and its Python interface: `make release-check`.

    python smoke.py FOLDER           in this environment, with what is installed in it
    python smoke.py --requirements   what velcodec needs to read archives: all packages but torch

With torch, archives are made in FOLDER; without it, those are read. Where a package is missing, a
command that needs it has to fail in one line that says so.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

OPTION_ERROR, MISSING_EXTRA = 2, 34
ONE_LINE = re.compile(r"velcodec: error: .*is not installed: pip install .*velcodec.*\n")
LOG = '{"step": 100, "loss": 2.0}\n{"step": 200, "loss": 1.0}\n'

Run = Callable[[list[str]], tuple[int, str]]
"""Runs a command with these words; returns its exit code and what it printed on stderr."""


@dataclass(frozen=True)
class Step:
    """A command, the packages besides those of readers that it needs, and its exit code."""

    words: str
    needs: tuple[str, ...] = ()
    code: int = 0


TORCH = ("torch",)
MAKING = (
    Step("synth curvefault_a models.npy --count 2 --force", TORCH),
    Step("synth faulted volume.npy --count 1 --res 20x18x16 --force", TORCH),
    Step("compress models.npy latent.vlat --latent-only --psnr 25 --effort 1 --force", TORCH),
    Step("compress models.npy exact.vlat --lossless --keep-latent --effort 1 --force", TORCH),
    Step("append models.npy exact.vlat --lossless --keep-latent --effort 1", TORCH),
    Step("compress volume.npy volume.vlat --volume --max-error 5 --force", TORCH),
)
"""What makes the archives that the other steps read."""

READING = (
    Step("info exact.vlat --json"),
    Step("info volume.vlat"),
    Step("ls latent.vlat"),
    Step("verify exact.vlat"),
    Step("verify latent.vlat --against models.npy"),
    Step("decompress latent.vlat out/fine.npy --res 140"),
    Step("decompress exact.vlat out/mean.npz --res 33 --average cell"),
    Step("decompress volume.vlat out/box.npy --box 0:5,0:6,0:7"),
    Step("decompress volume.vlat out/volume.npy --res 30x27x24"),
    Step("decompress latent.vlat out/models.h5", ("h5py",)),
    Step("decompress latent.vlat out/models.nc", ("h5py", "h5netcdf")),
    Step("decompress latent.vlat out/models.zarr", ("zarr",)),
    Step("decompress volume.vlat out/volume.sgy", ("segyio",)),
    Step("preview exact.vlat out/preview.npy --coefficients 8"),
    Step("slice volume.vlat out/section.npy --y 3"),
    Step("slice volume.vlat out/section.png --z 3", ("matplotlib",)),
    Step("cat latent.vlat exact.vlat out/all.vlat"),
    Step("subset exact.vlat out/some.vlat --models 0"),
    Step("split exact.vlat out/shards --shards 2"),
    Step("info out/shards"),
    Step("repair exact.vlat out/saved.vlat"),
    Step("view exact.vlat --export out/exact.html"),
    Step("view latent.vlat --export out/latent.html"),
    Step("decoder list"),
    Step("decoder show"),
    Step("decoder add {decoder}"),
    Step("train curves out/run.checkpoint", ("matplotlib",)),
)

COMPUTING = (
    Step("decompress latent.vlat out/cuda.npy --device cuda:99", TORCH, OPTION_ERROR),
    Step("interpolate latent.vlat 0 1 out/between.vlat --no-picture", TORCH),
    Step("evaluate models.npy --effort 1", TORCH),
    Step("demo --out out/demo --no-picture", TORCH),
    Step("train run out/new.checkpoint --steps 2", TORCH),
    Step("train finish out/new.checkpoint out/new.safetensors --name new --models 64", TORCH),
    Step("train sampler out/s.checkpoint out/s.safetensors --steps 2 --batch 1", TORCH),
    Step("fwi demo --out out/fwi --budget 30 --no-picture", ("torch", "deepwave")),
)

FUNCTIONS = (
    "compress", "create", "append", "compress_files", "fit_latents", "interpolate", "load_decoder",
    "load_encoder", "Decoder", "Field", "fwi", "torch", "synth",
)  # fmt: skip
"""What of velcodec's names needs torch."""


def has(package: str) -> bool:
    """Whether a package can be imported."""
    try:
        if find_spec(package) is None:
            return False
        __import__(package)
    except ModuleNotFoundError:
        return False
    return True


def commands() -> Iterator[str]:
    """All commands, those of groups too: `info`, `train run`, ..."""
    import click

    from velcodec.cli import main

    def walk(group: click.Group, before: str) -> Iterator[str]:
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            if isinstance(command, click.Group):
                yield from walk(command, f"{before}{name} ")
            else:
                yield before + name

    return walk(main, "")


def command_of(step: Step) -> str:
    """The command that a step runs."""
    words = step.words.split()
    return " ".join(words[: 2 if words[0] in ("decoder", "fwi", "train") else 1])


def check_commands(run: Run, steps: tuple[Step, ...]) -> None:
    """Run all steps in the current folder, whose `out` is made anew."""
    from velcodec.decoder import registry

    shutil.rmtree("out", ignore_errors=True)
    Path("out").mkdir()
    Path("out/run.jsonl").write_text(LOG)
    for step in steps:
        words = step.words.format(decoder=registry.find().path).split()
        lacking = not all(map(has, step.needs))
        code, errors = run(words)
        print("velcodec", *words, f": {code}", flush=True)
        assert code == (MISSING_EXTRA if lacking else step.code), errors
        assert not lacking or ONE_LINE.fullmatch(errors), errors


def check_python() -> None:
    """Read the archives from Python; what needs torch says so where it is not installed."""
    import numpy as np

    import velcodec

    with velcodec.open("latent.vlat") as archive:
        fine = archive.decode([0, 1], 90)
        assert np.isfinite(archive.sample(0, [[300.0, 300.0]])).all()
        assert (velcodec.open("latent.vlat", device="auto").decode([0, 1], 90) == fine).all()
        needing = {
            "Archive.gradient": lambda: archive.gradient(0, [[300.0, 300.0]]),
            "Archive.latent": lambda: archive.latent(0),
            "Archive.between": lambda: archive.between(0, 1, 0.5),
            "Archive.decoder": lambda: archive.decoder(),
            "Archive.decode": lambda: archive.decode(0, device="cpu"),
        }
        for name, call in needing.items():
            _with_torch_alone(name, call)
    if has("torch"):
        np.save("fine.npy", fine)
    elif Path("fine.npy").exists():
        assert (np.load("fine.npy") == fine).all(), "not what is decoded where torch is installed"
    with velcodec.open("exact.vlat") as archive:
        assert (archive[0] == np.load("models.npy")[0, 0]).all()
        assert archive.decode(0, 33, average="slowness").shape == (33, 33)
    with velcodec.open("volume.vlat") as archive:
        assert archive.section(0, y=3).shape == (20, 16)
        assert np.isfinite(archive.sample(0, [[30.0, 30.0, 30.0]])).all()
        _with_torch_alone("Archive.gradient", lambda: archive.gradient(0, [[30.0, 30.0, 30.0]]))
    with Path("exact.vlat").open("rb") as stream:
        assert len(list(velcodec.stream(stream))) == 4
    for name in FUNCTIONS:
        _with_torch_alone(f"velcodec.{name}", lambda name=name: _use(name))
    if has("xarray"):
        import xarray

        assert xarray.open_dataset("latent.vlat", res=50).velocity.values.shape == (2, 50, 50)
        assert xarray.open_dataset("volume.vlat").velocity.values.shape == (1, 20, 18, 16)
    if has("zarr"):
        _check_zarr()
    if has("matplotlib"):
        with velcodec.open("exact.vlat") as archive:
            archive.plot(0).save("out/model.png")


def _use(name: str) -> None:
    """Use a name of velcodec as far as it takes to need torch."""
    import numpy as np

    import velcodec

    if name == "synth":
        import velcodec.synth

        return
    value = getattr(velcodec, name)
    model = np.full((20, 20), 2000.0)
    if name == "compress":
        value(model, lossless=True)
    elif name == "compress_files":
        value("models.npy", "out/files.vlat", lossless=True)
    elif name == "create":
        with value("out/created.vlat", lossless=True) as archive:
            archive.add(model)
    elif name == "append":
        shutil.copy("exact.vlat", "out/longer.vlat")
        with value("out/longer.vlat", lossless=True) as archive:
            archive.add(model)


def _with_torch_alone(name: str, call: Callable[[], object]) -> None:
    """Check that a call works or, without torch, raises an error that names it."""
    from velcodec.formats.errors import MissingExtraError

    try:
        call()
        said = ""
    except MissingExtraError as error:
        said = str(error)
    if has("torch"):
        assert not said, said
    else:
        assert re.match(rf"{name}\b.*: torch is not installed", said), (name, said)


def _check_zarr() -> None:
    """Arrays that velcodec has coded are read; writing them needs torch."""
    import numpy as np
    import zarr

    from velcodec.interop.zarr_codec import VelcodecCodec

    models = np.load("models.npy")[:, 0]
    if has("torch"):
        shutil.rmtree("coded.zarr", ignore_errors=True)
        coded = zarr.create_array(
            "coded.zarr", shape=models.shape, chunks=models.shape, dtype="float32",
            serializer=VelcodecCodec(lossless=True), compressors=None,
        )  # fmt: skip
        coded[:] = models
    if Path("coded.zarr").exists():
        assert (zarr.open_array("coded.zarr", mode="r")[:] == models).all()


def check_server() -> None:
    """The viewer's server answers with its page."""
    words = [sys.executable, "-m", "velcodec", "view", "exact.vlat", "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[0]
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert b"velcodec" in answer.read()
        finally:
            server.terminate()


def as_process(words: list[str]) -> tuple[int, str]:
    """Run a command as its users do: by the script that was installed."""
    script = str(Path(sys.executable).with_name("velcodec"))
    done = subprocess.run([script, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return done.returncode, done.stderr.decode()


def in_this_process(words: list[str]) -> tuple[int, str]:
    """Run a command here, which is faster."""
    from velcodec.cli import main

    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            main(words)
        except SystemExit as end:
            return int(end.code or 0), errors.getvalue()
    raise AssertionError("a command that did not exit")


def check_files() -> None:
    """The installed package has every file of the checkout that this script belongs to."""
    import velcodec

    checkout, installed = Path(__file__).parents[2], Path(velcodec.__file__).parent
    for top, target in (("velcodec", "."), ("formats", "formats"), ("cli", "cli")):
        for path in (checkout / top).rglob("*"):
            name = path.relative_to(checkout / top)
            own = {"formats", "cli", "__pycache__"} & set(name.parts) if top == "velcodec" else ()
            if path.is_file() and not own and "__pycache__" not in name.parts:
                there = installed / target / name
                assert there.read_bytes() == path.read_bytes(), f"{there}: not that of the checkout"


def reader_requirements() -> list[str]:
    """What velcodec requires, without extras and without torch."""
    plain = [each for each in requires("velcodec") or () if "extra ==" not in each]
    return [each for each in plain if not re.match(r"torch\b", each)]


def main(folder: Path) -> None:
    """Check the installed package in `folder`."""
    import velcodec

    assert "site-packages" in Path(velcodec.__file__).parts, velcodec.__file__
    print(f"velcodec {velcodec.__version__}, Python {sys.version.split()[0]}, {velcodec.__file__}")
    check_files()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["VELCODEC_HOME"] = str(folder / "out" / "home")  # for `decoder add`
    with contextlib.chdir(folder):
        check_commands(as_process, (*MAKING, *READING, *COMPUTING))
        check_python()
        if has("aiohttp"):
            check_server()
    print("all commands and the Python interface:", "with" if has("torch") else "without", "torch")


if __name__ == "__main__":
    if sys.argv[1:] == ["--requirements"]:
        print("\n".join(reader_requirements()))
    else:
        main(Path(sys.argv[1]).absolute())
