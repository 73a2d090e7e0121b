"""Compare an archive with its original models: figures per model, and their summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from velcodec import Archive
    from velcodec.formats.container.header import Layout
    from velcodec.formats.files.npy import ModelArray
    from velcodec.metrics import Quality

CELLS: dict[str, Callable[[dict[str, Any]], str]] = {
    "bytes/model": lambda figures: f"{figures['bytes_per_model']:,.1f}",
    "bits/sample": lambda figures: f"{figures['bits_per_sample']:.4g}",
    "PSNR dB": lambda figures: f"{figures['psnr_db']:.2f}",
    "SSIM": lambda figures: ssim_text(figures["ssim"]),
    "MAE m/s": lambda figures: f"{figures['mae_m_s']:.2f}",
    "max m/s": lambda figures: f"{figures['max_error_m_s']:,.1f}",
}
"""Columns of tables, each with what it shows of figures."""


@dataclass(frozen=True)
class Comparison:
    """The figures of every model of one file, the size of its archive in bytes, how many samples
    its models have, and whether any is a volume.
    """

    qualities: tuple[Quality, ...]
    size: int
    samples: int
    has_volumes: bool = False

    def to_dict(self, per_model: bool = False) -> dict[str, Any]:
        """Means over the models, the largest error, and optionally the figures of each model."""
        figures: dict[str, Any] = {
            "models": len(self.qualities),
            "bytes": self.size,
            "bytes_per_model": self.size / len(self.qualities),
            "bits_per_sample": 8 * self.size / self.samples,
            "psnr_db": mean([quality.psnr for quality in self.qualities]),
            "psnr_db_least": min(quality.psnr for quality in self.qualities),
            "ssim": mean([quality.ssim for quality in self.qualities]),
            "mae_m_s": mean([quality.mae for quality in self.qualities]),
            "max_error_m_s": max(quality.max_error for quality in self.qualities),
        }
        if per_model:
            figures["per_model"] = [_of_model(quality) for quality in self.qualities]
        return figures

    def heads(self) -> list[str]:
        """The columns worth showing: bits a sample, and no SSIM, of volumes."""
        unlikely = "SSIM" if self.has_volumes else "bits/sample"
        return [name for name in CELLS if name != unlikely]

    def cells(self, heads: Sequence[str]) -> list[str]:
        """The summary as cells of a table."""
        figures = self.to_dict()
        return [CELLS[name](figures) for name in heads]

    def model_table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and rows of a table of every model's figures."""
        heads = [name for name in self.heads() if "/model" not in name and "bits" not in name]
        rows = []
        for number, quality in enumerate(self.qualities):
            figures = _of_model(quality)
            rows.append([str(number), *(CELLS[name](figures) for name in heads)])
        return ["model", *heads], rows


def _of_model(quality: Quality) -> dict[str, Any]:
    return {
        "psnr_db": quality.psnr,
        "ssim": quality.ssim,
        "mae_m_s": quality.mae,
        "max_error_m_s": quality.max_error,
    }


def ssim_text(ssim: float) -> str:
    """Four decimals, or a dash if models are too small for SSIM."""
    return "-" if math.isnan(ssim) else f"{ssim:.4f}"


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return sum(values) / len(values)


Read = Callable[[range], Iterable[tuple[Any, str | None]]]
"""Returns a range of original models [z, x], each with its units or None."""


def compare(
    archive: Archive, read: Read, size: int, update: Callable[[int, int, str], None]
) -> Comparison:
    """Decode every model as `decompress` does and compare it with its original, both in m/s.

    Raises InputShapeError if shapes differ, and VerificationError if absent samples differ.
    """
    from velcodec.decode.units import difference_m_s, to_m_s
    from velcodec.formats.errors import InputShapeError
    from velcodec.formats.files.form import depth_first
    from velcodec.metrics import quality

    qualities: list[Quality] = []
    samples, has_volumes = 0, False
    for block in archive.blocks():
        decoded = archive.decode(block)
        layout = archive.layout(block[0])
        samples += len(block) * layout.samples
        has_volumes |= layout.is_volume
        for after, (before, units) in zip(decoded, read(block), strict=True):
            after = depth_first(after, layout.axes.lstrip("n1"))[0]
            if before.shape != after.shape:
                raise InputShapeError(
                    f"model {len(qualities)}: found {before.shape}, expected {after.shape}"
                )
            absent = same_absent(before, after, layout, len(qualities))
            original, found = to_m_s(before, units or layout.units), to_m_s(after, layout.units)
            exactly = None
            if layout.units == (units or layout.units):
                if before.dtype.newbyteorder("=") == after.dtype.newbyteorder("="):
                    before = before.astype(after.dtype)
                exactly = difference_m_s(after, before, layout.units)
            qualities.append(quality(original, found, absent, exactly))
            update(len(qualities), len(archive), "compare")
    return Comparison(tuple(qualities), size, samples, has_volumes)


def same_absent(before: Any, after: Any, layout: Layout, number: int) -> Any:
    """The mask of a model's absent samples, or None. Raises VerificationError if the original has
    others.
    """
    from velcodec.formats.errors import VerificationError
    from velcodec.formats.no_data import find_absent, holds

    value = layout.no_data
    if value is None:
        return None
    expected = find_absent(after, value)
    # If the original's dtype cannot represent the value, no sample is absent.
    found = find_absent(before, value) if holds(before.dtype, value) else expected & False
    if (found != expected).any():
        raise VerificationError(
            f"model {number}: found {found.sum()} absent samples ({value}), expected the "
            f"{expected.sum()} of the archive, at the same places"
        )
    return expected if expected.any() else None


ERROR_SLACK, ERROR_SLACK_M_S = 0.01, 0.1
PSNR_SLACK_DB = 0.1
"""Allowance for another processor's rounding, in models that are not stored exactly."""


def farther_than_stored(archive: Archive, comparison: Comparison) -> list[int]:
    """Numbers of the models that differ by more than was measured when they were stored; [] if
    nothing was measured.
    """

    def within(found: float, stored: float) -> bool:
        slack = ERROR_SLACK * stored + ERROR_SLACK_M_S if stored else 0.0
        return found <= stored + slack

    return [
        number
        for number, (found, stored) in enumerate(
            zip(comparison.qualities, archive.quality or (), strict=False)
        )
        if not (
            within(found.max_error, stored.max_error_m_s)
            and within(found.mae, stored.mae_m_s)
            and found.psnr >= stored.psnr_db - PSNR_SLACK_DB
        )
    ]


def in_memory(models: ModelArray) -> Read:
    """A `Read` for models in memory."""
    return lambda block: ((m, models.units) for m in models.models[block.start : block.stop])


def merge(comparisons: Sequence[Comparison]) -> Comparison:
    """All models of all files together."""
    return Comparison(
        tuple(quality for one in comparisons for quality in one.qualities),
        sum(one.size for one in comparisons),
        sum(one.samples for one in comparisons),
        any(one.has_volumes for one in comparisons),
    )
