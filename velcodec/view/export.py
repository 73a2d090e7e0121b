"""Models in one page that needs no server and no velcodec: the page decodes them itself.

It holds quantised latents and their decoder's weights, or samples and the sampler's, and the
reader's script. Its policy allows nothing but its own scripts, by their hashes, WebAssembly that
these assemble, and no connection.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.facts import check_not_time
from velcodec.decode.stored import StoredModel
from velcodec.decode.units import unit_scale
from velcodec.decoder.sizes import MIXTURE
from velcodec.formats.decoder_file import DecoderFile
from velcodec.formats.errors import DecoderFileError, EmptyInputError, OptionError, VolumeError
from velcodec.formats.storage.atomic import atomic_write
from velcodec.sampler.form import sampler_of
from velcodec.view.bundle import READER, joined, page_text, script
from velcodec.view.model import COORDINATES, ViewedModel
from velcodec.view.plain import plain_json

READ = (MIXTURE, "siren-concat")
"""Architectures that the page can read."""

MOST_MODELS = 500
"""Models of one page."""

POLICY = (
    "default-src 'none'; script-src 'sha256-{script}' 'wasm-unsafe-eval'; "
    "style-src 'sha256-{style}'; img-src data: blob:; worker-src blob:; base-uri 'none'; "
    "form-action 'none'"
)
"""`wasm-unsafe-eval` allows WebAssembly, which the reader assembles, and no script."""

JAVASCRIPT_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "u1", "u2", "u4")
ALIGNED = 8


@dataclass
class Bytes:
    """Arrays one after the other, each described by its place, type and shape."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, array: NDArray[Any]) -> dict[str, Any]:
        """Where an array is; types that JavaScript does not have become float64."""
        kind = array.dtype.str[1:]
        kind = {"b1": "u1"}.get(kind, kind if kind in JAVASCRIPT_TYPES else "f8")
        data = np.ascontiguousarray(array, dtype=f"<{kind}").tobytes()
        about = {"at": self.size, "dtype": kind, "shape": list(array.shape)}
        padding = bytes(-len(data) % ALIGNED)
        self.parts += [data, padding]
        self.size += len(data) + len(padding)
        return about

    def packed(self) -> str:
        """All bytes, deflated, as base64."""
        return base64.b64encode(zlib.compress(b"".join(self.parts), 9)).decode()


def page_of(archive: Archive, numbers: Sequence[int], name: str) -> str:
    """The page, as HTML, of these models of an archive called `name`.

    Raises EmptyInputError without models, OptionError for more than MOST_MODELS, DecoderFileError
    for a decoder that the page cannot read, VolumeError for a volume, MissingDecoderError, and as
    `Archive.decode`.
    """
    if not len(numbers):
        raise EmptyInputError(f"{name}: found no model to show, expected one at least")
    if len(numbers) > MOST_MODELS:
        raise OptionError(
            f"{name}: found {len(numbers):,} models for one page, expected at most {MOST_MODELS}: "
            "select some"
        )
    check_not_time(archive.reader, numbers[0], "the page has axes")
    for number in numbers:
        if archive.layout(number).is_volume:
            raise VolumeError(
                f"{name}: model {number}: a volume, which a page does not hold: look at it by "
                "velcodec view, or select models of two axes"
            )
    data = Bytes()
    decoders: dict[bytes, dict[str, Any]] = {}
    samplers: dict[str, dict[str, Any]] = {}
    models, facts = [], []
    for row, number in enumerate(numbers):
        viewed = ViewedModel(archive, number)
        model = viewed.stored
        if model.samples is None and model.decoder_hash not in decoders:
            decoders[model.decoder_hash] = _decoder(archive.decoder_file(number), data)
        if model.sampler is not None and str(model.sampler) not in samplers:
            weights = vars(sampler_of(model.sampler))
            samplers[str(model.sampler)] = {k: data.add(v) for k, v in weights.items()}
        models.append(_stored(model, list(decoders), data))
        latent = model.samples is None
        facts.append(viewed.facts() | {"number": row, "moves": latent})
    about = {
        "archive": {
            "name": name,
            "models": len(numbers),
            "bytes": sum(each["bytes"] for each in facts),
            "decoder": archive.header.decoder_name,
            "has_originals": False,
            "coordinates": COORDINATES,
        },
        "facts": facts,
        "models": models,
        "decoders": list(decoders.values()),
        "samplers": samplers,
    }
    return _html(plain_json(about), data.packed())


def _stored(model: StoredModel, decoders: Sequence[bytes], data: Bytes) -> dict[str, Any]:
    """A model as the page's reader takes it."""
    layout = model.layout
    about: dict[str, Any] = {"shape": (layout.nz, layout.nx)}
    if model.absent is not None:
        about["absent"] = data.add(model.absent)
    if model.samples is not None:
        assert model.sampler is not None
        return about | {
            "kind": "samples",
            "samples": data.add(model.samples),
            "scale": unit_scale(layout.units),
            "sampler": str(model.sampler),
        }
    tiles = model.tiles
    narrow = np.abs(tiles.coefficients).max(initial=0) < 1 << 15
    return about | {
        "kind": "latent",
        "decoder": decoders.index(model.decoder_hash),
        "coefficients": data.add(tiles.coefficients.astype(np.int16 if narrow else np.int32)),
        "steps": tiles.step.tolist(),
        "low": np.asarray(tiles.low).tolist(),
        "high": np.asarray(tiles.high).tolist(),
        "tiling": [
            [axis.samples, axis.size, axis.tiles] for axis in (model.tiling.z, model.tiling.x)
        ],
    }


def _decoder(file: DecoderFile, data: Bytes) -> dict[str, Any]:
    """A decoder's weights, without the tables that only streams need."""
    architecture = file.config.get("architecture")
    if architecture not in READ:
        raise DecoderFileError(
            f"decoder of architecture {architecture!r}: expected {' or '.join(READ)} for a page"
        )
    # As `Decoder.deviations`, without torch.
    spread = 1 / np.sqrt(file.tensors["latent.prior_precision"][:COORDINATES])
    tensors = {k: v for k, v in file.tensors.items() if not k.startswith("latent.")}
    return {
        "config": file.config,
        "tensors": {name: data.add(tensor) for name, tensor in tensors.items()},
        "steps": data.add(file.tensors["latent.steps"]),
        "spread": spread.tolist(),
    }


def _html(about: str, packed: str) -> str:
    style, program = page_text("style.css"), script()
    policy = POLICY.format(script=_digest(program), style=_digest(style))
    blocks: Mapping[str, str] = {
        '<meta name="referrer" content="no-referrer">': (
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        ),
        '<link rel="stylesheet" href="style.css">': f"<style>{style}</style>",
        '<script type="module" src="page.js"></script>': "\n".join(
            (
                f'<script type="application/json" id="velcodec-data">{about}</script>',
                f'<script type="text/plain" id="velcodec-bytes">{packed}</script>',
                f'<script type="text/plain" id="velcodec-reader">{joined(READER)}answerPage();'
                "</script>",
                f'<script type="module">{program}</script>',
            )
        ),
    }
    page = page_text("index.html")
    for place, block in blocks.items():
        before, found, after = page.partition(place)
        assert found, place
        page = before + block + after
    return page


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def write_page(
    archive: Archive, numbers: Sequence[int], name: str, path: Path, force: bool = False
) -> int:
    """Write the page of `page_of`; gives its bytes. Raises OutputExistsError without `force`."""
    page = page_of(archive, numbers, name).encode()
    with atomic_write(path, force=force) as stream:
        stream.write(page)
    return len(page)
