"""Encoding: from models to the records of an archive, measured with the reader's own code.

`encode_group` keeps a promise: it fits, quantises, codes, packs, reads everything back and measures
it. Groups are independent of each other, so that an archive can be written as it grows.
The same models, options, decoder and device give the same bytes, whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np

from velcodec.encode.allocate import utility
from velcodec.encode.candidates import Candidates
from velcodec.encode.coded import CodedModel
from velcodec.encode.fitting import Fitter
from velcodec.encode.pack import Contents, Packed, archive_bytes, pack
from velcodec.encode.samples import FEW_VALUES, SampleCoder, code_samples
from velcodec.encode.search import SizeSearch, encode_to_psnr
from velcodec.encode.target import TARGET_DB, Target
from velcodec.encode.tiles import ModelSet
from velcodec.encode.verify import measure
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.errors import BudgetError, OptionError, QualityError
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK, MEAN_ERROR_NETWORK
from velcodec.parallel import repeatable

GROUP_MODELS = 1000
"""Models in order that are coded together and keep to a budget together, at most."""

GROUP_SAMPLES = 1 << 25
"""Samples of a group, at most, unless one model alone has more: bounds memory."""

BUDGET_TRIALS = 6
LARGEST = 1e100
"""Values that a latent is fitted to are smaller than this, in the models' units."""

ROUNDING_DB = 0.005
"""A target is exceeded by so much, for the rounding to the samples' dtype."""

SMALL_ERRORS = 3.0
"""First guess of what mean errors are below, and greatest ones above, the root mean square."""


@dataclass(frozen=True)
class Summary:
    """What an encoding cost and what it delivers, measured at the native grid.

    PSNR in dB over 3000 m/s. `latent`, `samples` and `both` count the models stored in each way;
    `distance` is the farthest model's from what the decoder was trained on, where one was fitted.
    `masked` counts the models with absent samples.
    """

    models: int
    tiles: int
    bytes: int
    input_bytes: int
    mean_psnr: float
    worst_psnr: float
    worst_model: str
    max_error_m_s: float
    latent: int
    samples: int
    both: int
    distance: float | None
    farthest_model: str | None
    masked: int = 0

    @property
    def bytes_per_model(self) -> float:
        """Size of the whole archive over the number of models."""
        return self.bytes / self.models

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "models": self.models,
            "tiles": self.tiles,
            "bytes": self.bytes,
            "bytes_per_model": self.bytes_per_model,
            "input_bytes": self.input_bytes,
            "ratio": self.input_bytes / self.bytes,
            "mean_psnr": self.mean_psnr,
            "worst_psnr": self.worst_psnr,
            "worst_model": self.worst_model,
            "max_error_m_s": self.max_error_m_s,
            "representations": {
                "latent": self.latent,
                "samples": self.samples,
                "samples and latent": self.both,
            },
            "distance": self.distance,
            "farthest_model": self.farthest_model,
        }

    def from_number(self, first: int) -> Summary:
        """The same where models are called by their numbers and the first one's is `first`."""
        far = self.farthest_model
        return replace(
            self,
            worst_model=str(first + int(self.worst_model)),
            farthest_model=None if far is None else str(first + int(far)),
        )

    def joined(self, other: Summary) -> Summary:
        """The summary of both groups of models, in this order."""
        worst = other if other.worst_psnr < self.worst_psnr else self
        far = max(
            (one for one in (self, other) if one.distance is not None),
            key=lambda one: one.distance or 0.0,
            default=self,
        )
        models = self.models + other.models
        psnr = (self.mean_psnr * self.models + other.mean_psnr * other.models) / models
        return Summary(
            models=models,
            tiles=self.tiles + other.tiles,
            bytes=self.bytes + other.bytes,
            input_bytes=self.input_bytes + other.input_bytes,
            mean_psnr=psnr,
            worst_psnr=worst.worst_psnr,
            worst_model=worst.worst_model,
            max_error_m_s=max(self.max_error_m_s, other.max_error_m_s),
            latent=self.latent + other.latent,
            samples=self.samples + other.samples,
            both=self.both + other.both,
            distance=far.distance,
            farthest_model=far.farthest_model,
            masked=self.masked + other.masked,
        )


@dataclass(frozen=True)
class Encoded:
    """A finished archive in memory, and its summary."""

    data: bytes = field(repr=False)
    summary: Summary

    def write(self, stream: BinaryIO) -> None:
        """Write the archive to a binary stream, front to back."""
        stream.write(self.data)


@dataclass(frozen=True)
class Group:
    """The records of some models, and what they deliver; `summary.bytes` is of an archive of them
    alone.
    """

    packed: Packed
    summary: Summary


@repeatable()
def encode_group(
    fitter: Fitter, source: ModelSet, contents: Contents, target: Target, saved: int = 0
) -> Group:
    """Encode every model of `source` to the target; every record is read back and measured.

    `saved` bytes of what an archive has once are not counted towards a size, where the group is not
    the first of its archive. Raises BudgetError, QualityError or VerificationError, naming the
    model, where the target cannot be reached.
    """
    if target.within is None or target.keep_latent:
        _check_values(source, contents)
    network = MEAN_ERROR_NETWORK if target.within is None else EXACT_NETWORK
    coder = None if target.latent_only else SampleCoder(source, network)
    if target.bytes_per_model is not None:
        candidates = Candidates(fitter, source, contents.range_step, coder)
        return _encode_to_size(candidates, contents, target, saved)
    if target.within is not None:
        assert coder is not None
        latents = None
        if target.keep_latent:
            alone = Candidates(fitter, source, contents.range_step, None)
            latents = encode_to_psnr(alone, list(range(len(source))), TARGET_DB)
        coded = code_samples(coder, target.within, latents, fitter.on_progress)
        return _finish(fitter, source, contents, coded, coder, target.within)
    candidates = Candidates(fitter, source, contents.range_step, coder)
    wanted, coded = _encode_to_psnr(candidates, target)
    encoded = _finish(fitter, source, contents, coded, coder)
    # The search computes in float64, which does not tell great integers of 64 bits apart.
    missed = coder is not None and _short_of(encoded, wanted) is not None
    if not target.keep_latent and (
        missed or _mostly_exact(coded) or _mostly_few_values(source, coded)
    ):
        exactly = SampleCoder(source, EXACT_NETWORK)
        bit_for_bit = code_samples(exactly, 0.0, None, fitter.on_progress)
        other = _finish(fitter, source, contents, bit_for_bit, exactly, 0.0)
        if missed or other.summary.bytes <= encoded.summary.bytes:
            return other
    short = _short_of(encoded, wanted)
    if short is not None:
        model, least, found = short
        raise QualityError(
            f"model {contents.key(model)}: the best of its latents is {found:.2f} dB, expected "
            f"{least:g} dB: leave out --latent-only (latent_only) to store samples too, or ask for "
            "less"
        )
    return encoded


def _encode_to_psnr(candidates: Candidates, target: Target) -> tuple[list[float], list[CodedModel]]:
    """The PSNR that each model is to reach, and every model coded to it."""
    source = candidates.source
    wanted: list[float] = []
    for i in range(len(source)):
        psnr = target.psnr_for(float(source.present(i, source.m_s(i)).std()))
        assert psnr is not None
        wanted.append(psnr)
    coded: dict[int, CodedModel] = {}
    for psnr in sorted(set(wanted)):
        members = [i for i, own in enumerate(wanted) if own == psnr]
        found = encode_to_psnr(candidates, members, psnr + ROUNDING_DB, target.keep_latent)
        coded.update(zip(members, found, strict=True))
    return wanted, [coded[i] for i in range(len(source))]


def _short_of(group: Group, wanted: Sequence[float]) -> tuple[int, float, float] | None:
    """The model that is the farthest below the PSNR that it is to reach: its number, that PSNR, and
    its own; None if all reach it.
    """
    quality = group.packed.quality
    assert quality is not None
    rows = enumerate(zip(wanted, (own.psnr_db for own in quality), strict=True))
    number, (least, found) = max(rows, key=lambda row: row[1][0] - row[1][1])
    return (number, least, found) if found < least else None


def _check_values(source: ModelSet, contents: Contents) -> None:
    """Raise OptionError for values whose squares or differences would overflow in a fit."""
    for i, model in enumerate(source.models):
        largest = max(abs(float(model.min())), abs(float(model.max())))
        if not largest < LARGEST:
            raise OptionError(
                f"model {contents.key(i)}: found values up to {largest:g} {source.units}, expected "
                f"less than {LARGEST:g} where a latent is stored: such values are kept by "
                "--lossless (lossless=True) alone"
            )


def _encode_to_size(
    candidates: Candidates, contents: Contents, target: Target, saved: int
) -> Group:
    """The best that a size allows; where most models come out bit for bit, with the network for
    such samples if that is better still.
    """
    assert target.bytes_per_model is not None
    header_bytes = len(contents.header.to_bytes())
    search = SizeSearch(candidates, target.bytes_per_model, header_bytes)
    coded, group = _fill(search, contents, saved)
    if _mostly_exact(coded):
        search.use(SampleCoder(candidates.source, EXACT_NETWORK))
        with suppress(BudgetError):  # there is a choice that keeps to the size
            again, other = _fill(search, contents, saved)
            if _rank(again, other) > _rank(coded, group):
                return other
    return group


def _mostly_exact(coded: Sequence[CodedModel]) -> bool:
    """Whether most models come out bit for bit: then all may, by the network for such samples."""
    return 2 * sum(model.exact is not None and model.mse == 0.0 for model in coded) > len(coded)


def _mostly_few_values(source: ModelSet, coded: Sequence[CodedModel]) -> bool:
    """Whether most models come out as samples and have few values: bit for bit they may take the
    fewest bytes of all.
    """
    few = (
        model.exact is not None and len(np.unique(own)) <= FEW_VALUES
        for own, model in zip(source.models, coded, strict=True)
    )
    return 2 * sum(few) > len(coded)


def _rank(coded: Sequence[CodedModel], group: Group) -> tuple[float, int]:
    """Greater where models are more useful, or as useful in fewer bytes."""
    return utility(coded), -group.summary.bytes


def _fill(search: SizeSearch, contents: Contents, saved: int) -> tuple[list[CodedModel], Group]:
    """Columns of what was measured are longer or shorter than was guessed, so it may take a few
    attempts.
    """
    candidates = search.candidates
    source, coder = candidates.source, candidates.coder

    def size(coded: Sequence[CodedModel]) -> int:
        whole = replace(contents, exact=None if coder is None else coder.coding)
        return len(archive_bytes(whole, coded, [_guess(model) for model in coded])) - saved

    allowed = search.bytes_per_model * len(source)
    budget = allowed
    for _ in range(BUDGET_TRIALS):
        coded = search.fill(budget, size)
        group = _finish(candidates.fitter, source, contents, coded, coder)
        over = group.summary.bytes - saved - allowed
        if over <= 0:
            return coded, group
        if size(coded) > budget:
            break
        budget = size(coded) - over - 1.0  # less than was guessed, so that another choice is made
    coded = search.fill(0.0, size)
    group = _finish(candidates.fitter, source, contents, coded, coder)
    least, models = group.summary.bytes - saved, len(source)
    if least <= allowed:
        return coded, group
    raise BudgetError(
        f"budget of {search.bytes_per_model:g} bytes per model: the least possible for these "
        f"{models} models is {-(-least // models)} bytes per model ({least} bytes in all)"
    )


def _guess(model: CodedModel) -> StoredQuality:
    """About what will be measured of a model, for the length of the index."""
    rms = model.mse**0.5
    return StoredQuality(model.psnr, rms / SMALL_ERRORS, rms * SMALL_ERRORS, model.distance)


def _finish(
    fitter: Fitter,
    source: ModelSet,
    contents: Contents,
    coded: Sequence[CodedModel],
    coder: SampleCoder | None,
    within: float | None = None,
) -> Group:
    """The records of these models, with what reading them back showed."""
    contents = replace(contents, exact=None if coder is None else coder.coding)
    data = archive_bytes(contents, coded)
    measured = measure(fitter, source, contents, coded, data, within)
    packed = pack(contents, coded, measured)
    size = len(packed.to_bytes())
    return Group(packed, _summary(source, contents, coded, measured, size))


def _summary(
    source: ModelSet,
    contents: Contents,
    coded: Sequence[CodedModel],
    measured: Sequence[StoredQuality],
    size: int,
) -> Summary:
    psnr = np.array([one.psnr_db for one in measured])
    worst = int(psnr.argmin())
    latents = np.array([len(model.tiles.step) > 0 for model in coded])
    exact = np.array([model.exact is not None for model in coded])
    distance = np.array([model.distance for model in coded])
    farthest = int(np.nanargmax(distance)) if np.isfinite(distance).any() else None
    return Summary(
        models=len(coded),
        tiles=sum(len(model.tiles.step) for model in coded),
        bytes=size,
        input_bytes=sum(model.nbytes for model in source.models),
        mean_psnr=float(psnr.mean()),
        worst_psnr=float(psnr[worst]),
        worst_model=contents.key(worst),
        max_error_m_s=max(one.max_error_m_s for one in measured),
        latent=int((latents & ~exact).sum()),
        samples=int((exact & ~latents).sum()),
        both=int((exact & latents).sum()),
        distance=None if farthest is None else float(distance[farthest]),
        farthest_model=None if farthest is None else contents.key(farthest),
    )
