"""Makes the archives in `exact/`: samples in every representation, with and without a latent.

The decoder is the shipped velcodec-2. Run from the root of the checkout, only when the format
changes on purpose; `hashes.json` then gets the SHA-256 of what each archive decodes to.

    python tests/golden/make_exact.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

import velcodec
from velcodec import synth

FOLDER = Path(__file__).parent / "exact"
DECODER = "velcodec-2"


def models() -> dict[str, np.ndarray]:
    """Small models for label maps, DCT, blended prediction, palettes, and none of these."""
    random = np.random.default_rng(5)
    layered = synth.draw("curvevel_a", 3, 0, 2).render(28, 24).numpy()
    smooth = synth.draw("style_a", 3, 0, 2).render(28, 24).numpy()
    return {
        "layered": layered,
        "smooth": smooth,
        "rough": (smooth + random.normal(0, 80, smooth.shape)).astype(np.float32),
        "palette": np.exp(np.rint(np.log(smooth) * 20) / 20).astype(np.float64),
        "wild": random.normal(size=(2, 5, 4)) * 10.0 ** random.integers(-300, 300, (2, 5, 4)),
    }


PROMISES: dict[str, dict[str, Any]] = {
    "lossless": {"lossless": True},
    "bound": {"max_error": 12.0},
    "bound-latent": {"max_error": 12.0, "keep_latent": True},
    "psnr": {"psnr": 44.0},
}


def sha256(archive: bytes | Path) -> str:
    """Of the decoded array, with its dtype and shape."""
    found = velcodec.decompress(archive)
    head = f"{found.dtype.str} {found.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(found).tobytes()).hexdigest()


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    hashes = {}
    for kind, arrays in models().items():
        for promise, options in PROMISES.items():
            if kind == "wild" and promise != "lossless":
                continue
            name = f"{kind}-{promise}.vlat"
            data = velcodec.compress(arrays, decoder=DECODER, **options)
            with velcodec.open(data) as archive:
                if archive.info()["representations"]["latent"]:
                    continue  # floating point: not the same everywhere
            (FOLDER / name).write_bytes(data)
            hashes[name] = sha256(data)
    (FOLDER / "hashes.json").write_text(json.dumps(hashes, indent=1) + "\n")


if __name__ == "__main__":
    main()
