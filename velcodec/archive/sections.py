"""The sections of an archive, rendered: blocks of models in bounded memory, to arrays or tensors.

Torch is imported only when a rendering needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from velcodec.archive.layouts import layout_of, place_of
from velcodec.archive.numbers import MODELS_AT_ONCE, SAMPLES_AT_ONCE
from velcodec.decode import output
from velcodec.decode.absent import put_no_data, put_no_data_in_tensor
from velcodec.decode.decoders import Evaluators
from velcodec.decode.stored import StoredModel, stored_layout
from velcodec.device import is_cpu, pick_device
from velcodec.formats.arrays import Float64
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import SamplerError
from velcodec.geometry import Geometry
from velcodec.masks import at_cells
from velcodec.resolution import check_native, check_total, is_large
from velcodec.sampler.cell_average import Average, fine_shape

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Sections:
    """Renders the sections of an archive. `models` reads and entropy-decodes some of them."""

    def __init__(
        self,
        reader: RecordReader,
        evaluators: Evaluators,
        models: Callable[[Sequence[int]], list[StoredModel]],
    ) -> None:
        self._reader, self._evaluators, self._models = reader, evaluators, models

    def stored(self, numbers: Sequence[int], allow_large: bool = False) -> list[StoredModel]:
        """Models as stored, entropy-decoded but not rendered. Raises ResolutionError for one that
        is too large.
        """
        for number in numbers:
            check_size(self._reader, number, allow_large)
        return self._models(numbers)

    def arrays(
        self,
        numbers: Iterable[int],
        res: tuple[int, int] | None = None,
        average: Average = "none",
        allow_large: bool = False,
    ) -> Iterator[NDArray[np.generic]]:
        """Models in order, as the user's arrays."""
        for model, samples, values in self._rendered(numbers, res, None, average, allow_large):
            array = output.to_array(values, model.layout) if samples is None else samples
            yield put_no_data(array, model.layout, model.absent)

    def tensors(
        self,
        numbers: Iterable[int],
        res: tuple[int, int] | None,
        device: str | torch.device,
        average: Average,
        allow_large: bool,
    ) -> Iterator[Tensor]:
        """Models in order, as tensors on a device."""
        for model, samples, values in self._rendered(numbers, res, device, average, allow_large):
            tensor = (
                output.to_tensor(values, model.layout)
                if samples is None
                else output.array_to_tensor(samples, device)
            )
            yield put_no_data_in_tensor(tensor, model.layout, model.absent)

    def sample(self, number: int, ground: Geometry, points: ArrayLike) -> Float64:
        """Values (P,) at points (x, z) in metres of a model on `ground`."""
        (model,) = self.stored([number])
        header, cells = self._reader.header_of(number), ground.to_cells(points)
        with naming_model(self._reader, number):
            values = output.sample(lambda: self._evaluators.evaluator(header), model, cells)
        return _without_absent(values, model, cells)

    def gradient(self, number: int, ground: Geometry, points: ArrayLike) -> Float64:
        """Derivatives (P, 2) by x and z, per metre, at the points of `sample`."""
        (model,) = self.stored([number])
        header, cells = self._reader.header_of(number), ground.to_cells(points)
        with naming_model(self._reader, number):
            per_cell = output.gradient(lambda: self._evaluators.decoder(header), model, cells)
        return _without_absent(per_cell, model, cells) / np.array(ground.spacing[::-1])

    def check_total(
        self,
        numbers: Iterable[int],
        grid: tuple[int, int] | None,
        average: Average,
        allow_large: bool,
    ) -> None:
        """Raise ResolutionError for more samples than one call returns without `allow_large`; the
        samples to average are counted for each model separately.
        """
        if allow_large or (grid is not None and average == "none"):
            return  # `check_resolution` has checked it
        total = 0
        for number in numbers:
            layout = stored_layout(self._reader, number)
            nz, nx = grid or (layout.nz, layout.nx)
            total += nz * nx if grid else layout.samples
            check_total(total, self._reader.name, False)
            if average != "none":
                kz, kx = fine_shape((layout.nz, layout.nx), (nz, nx))
                check_native(
                    (nz * kz, nx * kx), f"{place_of(self._reader, number)}: its means", False
                )

    def _rendered(
        self,
        numbers: Iterable[int],
        res: tuple[int, int] | None,
        device: str | torch.device | None,
        average: Average,
        allow_large: bool = False,
    ) -> Iterator[tuple[StoredModel, Any, Any]]:
        """Each model with either the rendering of its samples (an array or tensor in the user's
        units) and None, or None and the rendering of its latent in m/s: a tensor if `device` is
        given, else an array or a tensor.
        """
        for block in self._blocks(numbers):
            models = self.stored(block, allow_large)
            sampled = [
                self._sampled(number, model, res, device, average)
                for number, model in zip(block, models, strict=True)
            ]
            latent_rows: dict[bytes, list[int]] = {}
            for row, (model, samples) in enumerate(zip(models, sampled, strict=True)):
                if samples is None:
                    latent_rows.setdefault(model.decoder_hash, []).append(row)
            rendered: dict[int, Iterator[Any]] = {}
            for rows in latent_rows.values():
                header = self._reader.header_of(block[rows[0]])
                decoder = (
                    self._evaluators.evaluator(header)
                    if device is None
                    else self._evaluators.decoder(header, device)
                )
                places = [place_of(self._reader, block[row]) for row in rows]
                values = output.render_models(
                    decoder, [models[row] for row in rows], res, average, places
                )
                rendered |= dict.fromkeys(rows, values)
            for row, (model, samples) in enumerate(zip(models, sampled, strict=True)):
                yield model, samples, next(rendered[row]) if samples is None else None

    def _sampled(
        self,
        number: int,
        model: StoredModel,
        res: tuple[int, int] | None,
        device: str | torch.device | None,
        average: Average,
    ) -> Any:
        """The rendering of a model's samples as an array, or on a GPU as a tensor; None if it has
        only a latent.
        """
        place = place_of(self._reader, number)
        with naming_model(self._reader, number):
            native = average == "none" and model.is_native(res)
            if native or device is None or is_cpu(device) or model.samples is None:
                return output.render_samples(model, res, average, place)
            return output.render_samples_on(
                model, model.grid(res), average, place, pick_device(device)
            )

    def _blocks(self, numbers: Iterable[int]) -> Iterator[list[int]]:
        """Numbers in order, in blocks within MODELS_AT_ONCE and SAMPLES_AT_ONCE."""
        block: list[int] = []
        samples = 0
        for number in numbers:
            size = self._reader.header_of(number).most_samples
            if block and (len(block) == MODELS_AT_ONCE or samples + size > SAMPLES_AT_ONCE):
                yield block
                block, samples = [], 0
            block.append(number)
            samples += size
        if block:
            yield block


@contextmanager
def naming_model(reader: RecordReader, number: int) -> Iterator[None]:
    """Name the model in the error for a missing sampler."""
    try:
        yield
    except SamplerError as error:
        raise SamplerError(f"{place_of(reader, number)}: {error}") from error


def check_size(reader: RecordReader, number: int, allow_large: bool) -> None:
    """Raise ResolutionError for a model of more samples than are decoded unasked."""
    if is_large(reader.header_of(number).most_samples):
        check_native(layout_of(reader, number).shape, place_of(reader, number), allow_large)


def _without_absent(values: Float64, model: StoredModel, cells: Float64) -> Float64:
    """Set values at cell coordinates to NaN where the model is absent."""
    if model.absent is not None:
        values[at_cells(model.absent, cells)] = np.nan
    return values
