"""8-bit images of the integers that velcodec codes, for programs that are built elsewhere.

    python -m benchmarks.peers.images FILE.npy... --last 40 --bounds 0,10 --out FOLDER
    python -m benchmarks.peers.images ... --program "paq8px -8" --name "paq8px v216 -8"

For each file and bound (m/s, 0: lossless): an image (PGM) of each model, and a tall one of all of
them, one below the other. With `--program`, which is called with the paths of an image and of the
file to write, its bytes go into FOLDER/external.csv, for `python -m benchmarks.peers --external`.
See docs/peers.md.
"""

from __future__ import annotations

import argparse
import datetime
import math
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from velcodec.formats.arrays import Int64
from velcodec.formats.sample_coding.domain import allowed_codes, bounded_domains, exact_domain
from velcodec.metrics import quality

from .base import Models, Setting
from .external import External, write_external
from .load import load

LEVELS = 256


class TooManyLevelsError(ValueError):
    """An image would need more than 256 levels."""


class ProgramError(RuntimeError):
    """The program failed, or wrote no file."""


@dataclass(frozen=True)
class Image:
    """`pixels` (rows, columns) uint8, and the bytes of the list of their levels: 0 unless pixels
    are indices into it.
    """

    pixels: NDArray[np.uint8]
    list_bytes: int = 0


@dataclass(frozen=True)
class Images:
    """An image of each model, one of all of them (None for a single model), and the mean PSNR of
    what they stand for.
    """

    single: list[Image]
    solid: Image | None
    psnr: float


def images_of(models: Models, bound: float) -> Images:
    """Images of models (n, nz, nx), m/s: exact for a bound of 0, else of the widest even steps.

    Pixels are velcodec's integers if all are below 256; else each model's are indices into the
    rising list of those that occur in it. Raises TooManyLevelsError.
    """
    each = list(models)
    domain = bounded_domains(each, bound)[0] if bound else exact_domain(each)
    codes, decibels = [], []
    for model in each:
        allowed = allowed_codes(model, domain, bound)
        if allowed is None:
            raise TooManyLevelsError("these samples have no integers")
        codes.append(allowed[..., 1])
        decibels.append(quality(model, domain.samples(codes[-1], model.dtype)).psnr)
    single = [_image(one, domain.span) for one in codes]
    solid = None
    if len(single) > 1:
        pixels = np.concatenate([image.pixels for image in single])
        solid = Image(pixels, sum(image.list_bytes for image in single))
    return Images(single, solid, float(np.mean(decibels)))


def _image(codes: Int64, span: int) -> Image:
    if span <= LEVELS:
        return Image(codes.astype(np.uint8))
    levels, indices = np.unique(codes, return_inverse=True)
    count = len(levels)
    if count > LEVELS:
        raise TooManyLevelsError(f"found {count} levels in an image, expected at most {LEVELS}")
    # The shortest list: which `count` of the integers occur.
    nats = math.lgamma(span + 1) - math.lgamma(count + 1) - math.lgamma(span - count + 1)
    pixels = indices.reshape(codes.shape).astype(np.uint8)
    return Image(pixels, math.ceil(nats / math.log(2.0) / 8.0))


def to_pgm(pixels: NDArray[np.uint8]) -> bytes:
    """A PGM file of these pixels (rows, columns)."""
    rows, columns = pixels.shape
    return b"P5\n%d %d\n255\n" % (columns, rows) + pixels.tobytes()


def packed_bytes(program: str, image: Path) -> int:
    """What the program makes of a file. Raises ProgramError."""
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "packed"
        called = [*shlex.split(program), str(image.resolve()), str(packed)]
        ended = subprocess.run(called, capture_output=True, text=True, check=False, cwd=folder)
        if ended.returncode or not packed.exists():
            said = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
            raise ProgramError(f"{program}: {image.name}: status {ended.returncode}, {said}")
        return packed.stat().st_size


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the images; with a program, what it makes of them."""
    asked = _parse(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    rows: list[External] = []
    for path in asked.files:
        models = load(path, None, asked.last)
        for bound in asked.bounds:
            setting = Setting("bound", bound) if bound else Setting("lossless")
            try:
                images = images_of(models, bound)
            except TooManyLevelsError as reason:
                print(f"{path.stem}, {setting}: left out: {reason}", file=sys.stderr, flush=True)
                continue
            written = _write(asked.out, f"{path.stem}_{setting}", images)
            if asked.program:
                rows += _rows(asked, path.stem, setting, images, written)
                _save(asked, rows)


def _write(folder: Path, name: str, images: Images) -> list[Path]:
    """The images' files; that of all models is the last."""
    named = [(f"{name}_{k:03}.pgm", image) for k, image in enumerate(images.single)]
    if images.solid is not None:
        named.append((f"{name}.pgm", images.solid))
    for file, image in named:
        (folder / file).write_bytes(to_pgm(image.pixels))
    listed = sum(image.list_bytes for image in images.single)
    count = len(images.single)
    print(f"{name}: {count} images, {images.psnr:.1f} dB, {listed} bytes of lists", flush=True)
    return [folder / file for file, _ in named]


def _rows(
    asked: argparse.Namespace, file: str, setting: Setting, images: Images, written: list[Path]
) -> list[External]:
    count = len(images.single)
    psnr = None if setting.kind == "lossless" else images.psnr
    alone = [
        packed_bytes(asked.program, path) + image.list_bytes
        for path, image in zip(written[:count], images.single, strict=True)
    ]
    rows = [External(file, asked.name, setting, sum(alone) / count, psnr)]
    if images.solid is not None:
        together = packed_bytes(asked.program, written[-1]) + images.solid.list_bytes
        rows.append(External(file, f"{asked.name}, solid", setting, together / count, psnr))
    return rows


def _save(asked: argparse.Namespace, rows: Sequence[External]) -> None:
    models = f"the last {asked.last} models" if asked.last else "all models"
    comment = (
        f"program: {asked.name}, called as: {asked.program} IMAGE PACKED",
        f"date: {datetime.datetime.now(datetime.UTC).date()}",
        f"{models} of each file, images by python -m benchmarks.peers.images",
        "its whole files, and the list of levels where pixels are indices into one",
    )
    write_external(asked.out / "external.csv", comment, rows)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.images", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.npy")
    parser.add_argument("--last", type=int, help="last models of each file; default all")
    parser.add_argument("--bounds", type=_numbers, default=(0.0,), help="m/s (A,B), 0: lossless")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--program", help="called with the paths of an image and of its result")
    parser.add_argument("--name", help="how to call the program in tables")
    asked = parser.parse_args(arguments)
    asked.name = asked.name or asked.program
    return asked


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


if __name__ == "__main__":
    main()
