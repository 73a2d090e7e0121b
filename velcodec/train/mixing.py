"""Learn what streams of mixed decisions begin with: encode generated models, and let all learn on.

    python -m velcodec.train.mixing mixing-1.safetensors.zst --models 3000 --seed 3

writes what `formats/sample_coding/mixing/start.py` reads. No published model is read.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray
from safetensors.numpy import save

from velcodec import synth
from velcodec.formats.arrays import Float64, Int64
from velcodec.formats.sample_coding.domain import (
    EVEN,
    PALETTE,
    allowed_codes,
    bounded_domains,
    exact_domain,
)
from velcodec.formats.sample_coding.mixing.coder import Start, blank_start, write
from velcodec.formats.sample_coding.mixing.mixer import COUNTER_RATE, WEIGHT_RATE
from velcodec.formats.sample_coding.mixing.regression import MOST_ORDER, NEIGHBOURS, PADDING
from velcodec.formats.sample_coding.mixing.start import PRIOR_UNIT, Tensors, kept
from velcodec.train.contexts import draw_models, resampled, with_grey_levels, with_specks
from velcodec.train.smooth import smooth_models

PICTURES = {"curvefault_a": 0.2, "flatfault_a": 0.08, "curvefault_b": 0.04}
"""Of so many models, more as they are read off pictures, by families."""

LARGE = {(201, 301): 60, (120, 200): 30}
"""One in so many is geology of this shape."""

LARGE_BOUNDS_M_S = (2.0, 5.0, 10.0, 25.0, 50.0)
SMOOTH = {"style_a": 0.6, "style_b": 0.2, "geology": 0.2}
SMOOTH_SHARE = 0.32
STEPS_M_S, FINE_STEPS_M_S, FINE = (0.1, 120.0), (1e-4, 0.1), 0.25
"""Steps of the integers of smooth models: the usual ones; fine ones, as for floating-point models,
for a share FINE.
"""

GREY_SHARE, RESAMPLED_SHARE, REPEATED_SHARE = 0.5, 0.5, 0.6
"""Of smooth models: in grey levels; of those, resampled; and of those, with a repeated border."""

BORDER = 2
PHASES = ((14, 76), (4, 127))
"""How fast weights learn, and up to how many uses counters count, in each part of the images. No
image comes twice: counters would know it by heart, and weights would trust them too much.
"""


class Image(NamedTuple):
    """Integers (nz, nx) of [0, span), and the class of the bound that they keep."""

    codes: Int64
    span: int
    bound: int


def _image_of(model: NDArray[np.float32], bound: float, choice: int = 0) -> Image | None:
    domain = bounded_domains([model], bound)[choice] if bound else exact_domain([model])
    if domain.kind not in (EVEN, PALETTE):
        return None
    allowed = allowed_codes(model, domain, bound)
    if allowed is None:
        return None
    return Image(np.ascontiguousarray(allowed[..., 1]), domain.span, domain.bound)


def layered_images(count: int, seed: int) -> list[Image]:
    """Of all families, exact and within bounds, clean and as tools and pictures leave them."""
    rng = np.random.default_rng(seed + 5)
    found = [_image_of(one.model, one.bound, one.choice) for one in draw_models(count, seed)]
    for family, share in PICTURES.items():
        drawn = synth.draw(family, seed + 1, int(rng.integers(1 << 30)), max(int(count * share), 1))
        for clean in drawn.render(70, 70).numpy():
            model = with_grey_levels(resampled(clean.astype(np.float32), rng))
            if rng.random() < 0.5:
                model = with_grey_levels(with_specks(model, rng))
            found.append(_image_of(model.astype(np.float32), 0.0))
    for shape, one_in in LARGE.items():
        drawn = synth.draw("geology", seed, int(rng.integers(1 << 30)), max(count // one_in, 1))
        for model in drawn.render(*shape).numpy():
            bound = float(rng.choice(LARGE_BOUNDS_M_S))
            found.append(_image_of(model.astype(np.float32), bound))
    images = [image for image in found if image is not None]
    return [images[k] for k in rng.permutation(len(images))]


def with_repeated_border(codes: Int64) -> Int64:
    """An image whose outer samples repeat those within, as one cut from a picture may have them."""
    return np.pad(codes[BORDER:-BORDER, BORDER:-BORDER], BORDER, mode="edge")


def codes_of(model: Float64, rng: np.random.Generator) -> Int64:
    """Integers from 0 on, in steps that suit a random bound."""
    between = FINE_STEPS_M_S if rng.random() < FINE else STEPS_M_S
    codes = np.rint(model / np.exp(rng.uniform(*np.log(between)))).astype(np.int64)
    return codes - codes.min()


def prior_of(images: list[Int64]) -> NDArray[np.int16]:
    """The least-squares weights of linear prediction over all images, each counted equally."""
    system, right = np.eye(MOST_ORDER), np.zeros(MOST_ORDER)
    for image in images:
        columns, inner = image.T.astype(np.float64), np.s_[PADDING:, PADDING:-PADDING]
        at = [np.roll(columns, (-dx, -dz), (0, 1))[inner].ravel() for dx, dz in NEIGHBOURS]
        wanted = columns[inner].ravel() - at[0]
        near = np.stack(at[1:]) - at[0]
        scale = max(float(np.square(near).mean()), 1.0)
        system += near @ near.T / scale
        right += near @ wanted / scale
    weights = np.linalg.solve(system, right)
    return np.rint(weights / PRIOR_UNIT).astype(np.int16)


def smooth_images(count: int, seed: int) -> list[Image]:
    """In steps that suit some bound, or in grey levels as read off a picture."""
    rng = np.random.default_rng(seed)
    images = []
    for model in smooth_models(SMOOTH, count, seed):
        if rng.random() >= GREY_SHARE:
            codes = codes_of(model, rng)
        else:
            seen = model.astype(np.float32)
            if rng.random() < RESAMPLED_SHARE:
                seen = resampled(seen, rng)
            grey = seen - seen.min()
            codes = np.rint(grey / max(float(np.ptp(grey)) / 255, 1e-3)).astype(np.int64)
            if rng.random() < REPEATED_SHARE:
                codes = with_repeated_border(codes)
        images.append(Image(np.ascontiguousarray(codes), int(codes.max()) + 1, 0))
    return [images[k] for k in rng.permutation(len(images))]


def learn(images: list[Image], smooth: bool, prior: Float64) -> Start:
    """What streams of such images begin with, after one after another was encoded."""
    start = blank_start()._replace(prior=prior)
    for phase, (weights, uses) in enumerate(PHASES):
        for mixing in (start.quiet, start.like, start.miss):
            mixing.rates[WEIGHT_RATE], mixing.rates[COUNTER_RATE] = weights, uses
        some = images[phase :: len(PHASES)]
        size = sum(len(write(*image, start, smooth)) for image in some)
        print(f"rate {weights}: {size / len(some):.1f} bytes an image", flush=True)
    return start


def main() -> None:
    """Write the tensors."""
    parser = argparse.ArgumentParser(description="learn what streams of mixed decisions begin with")
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    images = smooth_images(int(arguments.models * SMOOTH_SHARE), arguments.seed)
    weights = prior_of([image.codes for image in images])
    prior = weights.astype(np.float64) * PRIOR_UNIT
    smooth = learn(images, smooth=True, prior=prior)
    layered = learn(layered_images(arguments.models, arguments.seed), smooth=False, prior=prior)
    blank = blank_start()
    parts = {
        "quiet": (layered.quiet, blank.quiet),
        "like": (layered.like, blank.like),
        "layered_miss": (layered.miss, blank.miss),
        "smooth_miss": (smooth.miss, blank.miss),
    }
    tensors: Tensors = {"prior": weights}
    for name, (mixing, before) in parts.items():
        tensors |= kept(mixing, name, before)
    arguments.out.write_bytes(zstandard.ZstdCompressor(level=22).compress(save(tensors)))


if __name__ == "__main__":
    main()
