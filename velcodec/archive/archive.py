"""Reading `.vlat` archives: by number, by key, at any resolution, at any point.

Opening reads the header and the index; a model is decoded when it is asked for. Torch is imported
by the first decoding, not by opening. An archive is never changed from here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import index as as_index
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from velcodec.archive.info import info_of
from velcodec.decode.absent import at_cells, put_no_data, put_no_data_in_tensor
from velcodec.decode.decoders import Evaluators
from velcodec.decode.stored import (
    StoredModel,
    check_stackable,
    read_models,
    stored_layout,
)
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.page import entry_bytes
from velcodec.formats.container.quality import Quality
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.container.shards import open_reader
from velcodec.formats.errors import (
    CorruptError,
    KeyNotFoundError,
    MixedShapesError,
    ModelNumberError,
    OptionError,
    SamplerError,
)
from velcodec.geometry import Float64, Geometry
from velcodec.resolution import LARGE_CELLS, Resolution, check_native, check_resolution
from velcodec.sampler.cell_average import Average, check_average

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from velcodec.decoder import Decoder
    from velcodec.encode.latents import ModelLatent
    from velcodec.formats.latent_coding.stream import LatentTables

log = logging.getLogger(__name__)

MODELS_AT_ONCE = 256
SAMPLES_AT_ONCE = 1 << 22
"""Models are decoded together up to so many samples, whatever an archive says of their sizes."""

GROUND_FIELDS = ("dx_m", "dz_m", "origin_x_m", "origin_z_m")
"""Fields that say, for each model, where its samples lie; where they do not, its layout does."""

Number = int | str
Selection = slice | Sequence[Number] | Sequence[bool] | NDArray[Any]


def open(
    source: str | Path | bytes | BinaryIO,
    *,
    decoder: str | Path | Decoder | None = None,
    device: str = "cpu",
) -> Archive:
    """Open an archive given by path, as bytes, or as a seekable binary file.

    `decoder` (a name, hash, path or loaded Decoder) is looked at before the user's folder and the
    shipped ones; `device` (auto, cpu, cuda, cuda:N) is where models are computed. Raises
    NotVlatError, VersionError, TruncatedError, CorruptError; a decoder that is absent is told by
    MissingDecoderError when something is first decoded.
    """
    return Archive(source, decoder=decoder, device=device)


class Archive:
    """An open `.vlat` archive; a sequence of models, and a context manager.

    Arrays come as the user gave them: dtype, units, and axis order ([z, x], or [x, z] when they
    went in that way). Points are always (x, z) in metres.
    """

    def __init__(
        self,
        source: str | Path | bytes | BinaryIO,
        *,
        decoder: str | Path | Decoder | None = None,
        device: str = "cpu",
    ) -> None:
        self._reader: RecordReader = self._open(source)
        self._evaluators = Evaluators(self._reader, decoder, device)
        self._fitted: dict[tuple[int, str], ModelLatent] = {}
        if self._reader.unfinished:
            log.warning(
                "%s: ends in %d bytes of an addition that was never finished; the %d models before "
                "it are read",
                self._reader.name,
                self._reader.unfinished,
                len(self._reader),
            )

    def _open(self, source: Any) -> RecordReader:
        return open_reader(source)

    # What it holds

    @property
    def header(self) -> Header:
        """The header of the first models; of others, `header_of`."""
        return self._reader.header

    def header_of(self, which: Number) -> Header:
        """The header that a model comes under: its decoder, its layouts, provenance, ..."""
        return self._reader.header_of(self.index(which))

    def __len__(self) -> int:
        return len(self._reader)

    @property
    def reader(self) -> RecordReader:
        """What reads its records, not decoded: for tools that copy or list them."""
        return self._reader

    @property
    def keys(self) -> Sequence[str]:
        """Key of every model, in order; the models' numbers unless keys were given."""
        keys = self._reader.keys
        return [str(i) for i in range(len(self))] if keys is None else keys

    @property
    def has_keys(self) -> bool:
        """Whether models have keys other than their numbers."""
        return self._reader.has_keys

    def index(self, which: Number) -> int:
        """Number in [0, len) of a model given by number (negative from the end) or key.

        Raises ModelNumberError (an IndexError), KeyNotFoundError (a KeyError), or OptionError for
        what is neither.
        """
        if isinstance(which, str):
            return self._reader.key_index(which)
        try:
            number = as_index(which)
        except TypeError:
            raise OptionError(
                f"{self._reader.name}: model: found {which!r}, expected a number, a key or a slice"
            ) from None
        if not -len(self) <= number < len(self):
            raise ModelNumberError(
                f"{self._reader.name}: model: found number {number}, expected one of {len(self)}"
            )
        return number % len(self)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        try:
            self.index(key)
        except KeyNotFoundError:
            return False
        return True

    def layout(self, which: Number = 0) -> Layout:
        """Shape, axes, dtype, units, spacing and origin of a model."""
        number = self.index(which)
        lay = stored_layout(self._reader, number)
        own = self._reader.fields_of([number])[0]
        moved: dict[str, Any] = {}
        for name in GROUND_FIELDS:
            value = own.get(name, "")
            if isinstance(value, str) and value:
                raise CorruptError(
                    f"{self._reader.name}: model {number}: field {name!r}: found {value!r}, "
                    "expected metres"
                )
            if value != "" and not np.isnan(value):  # else it is not known of this model
                moved[name] = float(value)
        return replace(lay, **moved) if moved else lay

    def geometry(self, which: Number = 0) -> Geometry:
        """Where the samples of a model lie."""
        lay = self.layout(which)
        return Geometry(lay.nz, lay.nx, lay.dx_m, lay.dz_m, lay.origin_x_m, lay.origin_z_m)

    @property
    def layouts(self) -> Sequence[Layout]:
        """Every layout that models may have: a copy of some models may name more than they have."""
        return tuple(dict.fromkeys(lay for head in self._reader.headers() for lay in head.layouts))

    @property
    def layouts_in_use(self) -> Sequence[Layout]:
        """Those of `layouts` that some model has; where there are several, records are read."""
        known = self.layouts
        if len(known) < 2:
            return known
        return tuple(dict.fromkeys(stored_layout(self._reader, n) for n in range(len(self))))

    def _has_layouts(self, numbers: Sequence[int]) -> bool:
        """Whether these models may have several; only their own headers are read."""
        heads = {self._reader.header_number(number): number for number in numbers}
        found = [self._reader.header_of(number).layouts for number in heads.values()]
        return len(set().union(*found)) > 1

    @property
    def fields(self) -> Mapping[str, NDArray[Any]]:
        """Columns of metadata by name, each with a value for every model: numbers, or texts as
        objects. Where some models have no value it is not a number, or an empty text.
        """
        return self._reader.fields

    def metadata(self, which: Number) -> dict[str, Any]:
        """The fields of one model."""
        own = self._reader.fields_of([self.index(which)])[0]
        return {
            name: value.item() if hasattr(value, "item") else value for name, value in own.items()
        }

    def info(self) -> dict[str, Any]:
        """All that is known without decoding; JSON-able."""
        return info_of(self)

    @property
    def quality(self) -> Sequence[Quality] | None:
        """What was measured of every model when the archive was made, if it was."""
        return self._reader.quality

    @property
    def record_bytes(self) -> Sequence[int]:
        """Bytes that each model takes, its length and checksum included."""
        found: list[int] = entry_bytes(self._reader.lengths).tolist()
        return found

    # The models

    def __getitem__(self, which: Number | slice | Sequence[Number] | NDArray[Any]) -> Any:
        """A model at its native grid (nz, nx); a list of models for a slice, for a list or an array
        of numbers or keys, and for a boolean mask of all models.
        """
        if isinstance(which, slice | Sequence | np.ndarray) and not isinstance(which, str):
            return list(self._arrays(self.select(which)))
        return self.decode(which)

    def select(self, which: Selection) -> Sequence[int]:
        """Numbers of the models that a slice, numbers, keys or a boolean mask take, in order.

        Raises OptionError for a mask of another length, and as `index`.
        """
        if isinstance(which, slice):
            try:
                return range(*which.indices(len(self)))
            except TypeError as error:
                raise OptionError(f"{self._reader.name}: models: {error}") from None
        rows = which if isinstance(which, Sequence) else np.asarray(which)
        if len(rows) and all(isinstance(row, bool | np.bool_) for row in rows):
            if len(rows) != len(self):
                raise OptionError(
                    f"{self._reader.name}: mask: found {len(rows)} values, expected {len(self)}, "
                    "one for each model"
                )
            taken: list[int] = np.flatnonzero(np.asarray(rows)).tolist()
            return taken
        return [self.index(row) for row in rows]

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        """Every model at its native grid, in order."""
        return self._arrays(range(len(self)))

    def blocks(self, res: Resolution | None = None) -> Iterator[range]:
        """All models in order, as blocks of neighbours that stack: a bounded number of samples
        each, at `res` (N or (nz, nx)) or at the native grid; for `decode`, one after the other.
        """
        grid = check_resolution(res, 0, True)
        mixed = len(self.layouts) > 1
        alone = None if mixed else self.layouts[0]
        first, last = 0, None
        for number in range(len(self)):
            layout = alone or self.layout(number)
            if last is not None and (layout != last or number - first >= block_size(layout, grid)):
                yield range(first, number)
                first = number
            last = layout
        if last is not None:
            yield range(first, len(self))

    @overload
    def decode(
        self,
        which: Number | Sequence[Number],
        res: Resolution | None = None,
        device: None = None,
        *,
        average: str = "none",
        allow_large: bool = False,
    ) -> NDArray[np.generic]: ...

    @overload
    def decode(
        self,
        which: Number | Sequence[Number],
        res: Resolution | None = None,
        device: str | torch.device = ...,
        *,
        average: str = "none",
        allow_large: bool = False,
    ) -> Tensor: ...

    def decode(
        self,
        which: Number | Sequence[Number],
        res: Resolution | None = None,
        device: str | torch.device | None = None,
        *,
        average: str = "none",
        allow_large: bool = False,
    ) -> NDArray[np.generic] | Tensor:
        """Render one model (nz, nx), or several (n, nz, nx), in the user's axis order.

        `res` is N for N x N samples or (nz, nx), over the same extent; without it the native grid.
        With `device` the result is a tensor computed and kept there. A model that is stored as
        samples is what they are at its own grid, and elsewhere the field between them. `average` is
        none for the field at the centres of the grid's cells, cell for its mean over each cell, or
        slowness for the velocity of the mean slowness over each. Samples whose nearest one at the
        native grid is absent have the no-data value of the model's layout.

        Raises ResolutionError (below 1, or more than 100 million samples in all, or in one model,
        without `allow_large`), MixedShapesError (native grids, dtypes, units or orders that
        differ), MissingDecoderError, SamplerError, CorruptError, ModelNumberError,
        KeyNotFoundError, OptionError (neither number nor key, no average, or one of slowness where
        velocities are not positive).
        """
        one = isinstance(which, str) or not np.iterable(which)
        wanted = cast("Sequence[Number]", [which] if one else which)
        numbers = [self.index(i) for i in wanted]
        grid = check_resolution(res, len(numbers), allow_large)
        kind = check_average(average)
        if not numbers:
            raise ModelNumberError("models: found none asked for, expected one at least")
        if len(numbers) > 1 and self._has_layouts(numbers):
            check_stackable([self.layout(number) for number in numbers], grid is None)
        if device is None:
            arrays = list(self._arrays(numbers, grid, kind, allow_large))
            return arrays[0] if one else _stacked(arrays)
        import torch

        from velcodec.decode.output import array_to_tensor, to_tensor

        tensors = [
            put_no_data_in_tensor(
                to_tensor(values, model.layout)
                if samples is None
                else array_to_tensor(samples, device),
                model.layout,
                model.absent,
            )
            for model, samples, values in self._restored(numbers, grid, device, kind, allow_large)
        ]
        return tensors[0] if one else torch.stack(tensors)

    def sample(self, which: Number, points: ArrayLike) -> Float64:
        """Velocity (P,), float64, at points (x, z) in metres, shape (P, 2), anywhere in the extent.

        It is in the units of the archive, m/s or km/s, as `decode` gives them, and not a number at
        points whose nearest sample is absent. Raises
        PointsOutsideError, InputShapeError, InputDtypeError, NonFiniteError.
        """
        from velcodec.decode.output import sample

        model, header = self._model(which), self.header_of(which)
        cells = self.geometry(which).to_cells(points)
        with self._named(self.index(which)):
            values = sample(lambda: self._evaluators.evaluator(header), model, cells)
        return _without_absent(values, model, cells)

    def gradient(self, which: Number, points: ArrayLike) -> Float64:
        """Velocity gradient (P, 2), d/dx and d/dz at points as for `sample`, in m/s per metre, or
        km/s per metre where the archive is in km/s.

        It is the analytic derivative of the field, zero where that is held at the model's own
        minimum or maximum, and not a number at points whose nearest sample is absent.
        """
        from velcodec.decode.output import gradient

        model, header = self._model(which), self.header_of(which)
        ground = self.geometry(which)
        cells = ground.to_cells(points)
        with self._named(self.index(which)):
            per_cell = gradient(lambda: self._evaluators.decoder(header), model, cells)
        return _without_absent(per_cell, model, cells) / np.array([ground.dx_m, ground.dz_m])

    def latent(self, which: Number, *, fit: str = "lm") -> ModelLatent:
        """The latent of a model: the stored one, or where only its samples are stored one that is
        fitted to them, not quantised, and kept for the next call. `fit` is lm, adam or amortised.

        Raises MissingDecoderError, OptionError, and as `decode`.
        """
        from velcodec.encode.fitting import make_fitter
        from velcodec.encode.latents import fitted_latent, stored_latent

        number = self.index(which)
        model, decoder = self._model(number), self._evaluators.decoder(self.header_of(number))
        if model.has_latent:
            return stored_latent(decoder, model)
        if (number, fit) not in self._fitted:
            self._fitted[number, fit] = fitted_latent(make_fitter(decoder, fit), model)
        return self._fitted[number, fit]

    def between(
        self,
        first: Number,
        second: Number,
        share: float,
        res: Resolution | None = None,
        *,
        fit: str = "lm",
    ) -> NDArray[np.generic]:
        """A model between two others, (nz, nx) in the first one's dtype, units and axis order: the
        rendering of (1 - share) of the first one's latent and `share` of the second one's.

        Latents are those of `latent`, so that the ends are about the two models, not equal to them;
        samples are absent where they are in the first one. Raises OptionError for a share that is
        no finite number, MixedShapesError for models of other decoders or of other tiles, and as
        `latent`.
        """
        from velcodec.decode.output import to_array

        if not np.isfinite(share):
            raise OptionError(f"share: found {share}, expected a finite number, 0 to 1 as a rule")
        numbers = self.index(first), self.index(second)
        hashes = {self.header_of(number).decoder_hash for number in numbers}
        if len(hashes) > 1:
            raise MixedShapesError(f"{self._reader.name}: models {numbers}: of different decoders")
        grid = check_resolution(res, 1, False)
        mixed = self.latent(numbers[0], fit=fit).mixed(self.latent(numbers[1], fit=fit), share)
        decoder = self._evaluators.decoder(self.header_of(numbers[0]))
        model = self._model(numbers[0])
        found = to_array(mixed.render(decoder, grid), model.layout)
        return put_no_data(found, model.layout, model.absent)

    def decoder(self) -> Decoder:
        """The decoder that this archive was made with, loaded; where there are several, that of the
        first models. Raises MissingDecoderError.
        """
        return self._evaluators.decoder(self.header)

    def _tables(self, header: Header) -> LatentTables:
        return self._evaluators.tables(header)

    def _models(self, numbers: Sequence[int]) -> list[StoredModel]:
        return read_models(self._reader, self._tables, numbers)

    def _model(self, which: Number) -> StoredModel:
        number = self.index(which)
        self._check_size(number, False)
        return self._models([number])[0]

    def _restored(
        self,
        numbers: Iterable[int],
        res: tuple[int, int] | None,
        device: str | torch.device | None,
        average: Average,
        allow_large: bool = False,
    ) -> Iterator[tuple[StoredModel, Any, Any]]:
        """Each model, and the field of its samples as the user's array or tensor, or None
        and a rendering of its latent in m/s: a tensor where a `device` is given, else an array or a
        tensor.
        """
        from velcodec.decode.output import render_models

        for block in self._blocks(numbers):
            for number in block:
                self._check_size(number, allow_large)
            models = self._models(block)
            sampled = [
                self._sampled(number, model, res, device, average)
                for number, model in zip(block, models, strict=True)
            ]
            left: dict[bytes, list[int]] = {}
            for row, (model, found) in enumerate(zip(models, sampled, strict=True)):
                if found is None:
                    left.setdefault(model.decoder_hash, []).append(row)
            rendered: dict[int, Iterator[Any]] = {}
            for rows in left.values():
                header = self._reader.header_of(block[rows[0]])
                decoder = (
                    self._evaluators.evaluator(header)
                    if device is None
                    else self._evaluators.decoder(header, device)
                )
                places = [self._place(block[row]) for row in rows]
                values = render_models(decoder, [models[row] for row in rows], res, average, places)
                rendered |= dict.fromkeys(rows, values)
            for row, (model, found) in enumerate(zip(models, sampled, strict=True)):
                yield model, found, next(rendered[row]) if found is None else None

    def _sampled(
        self,
        number: int,
        model: StoredModel,
        res: tuple[int, int] | None,
        device: str | torch.device | None,
        average: Average,
    ) -> Any:
        """The field of a model's samples as an array, or as a tensor where they are rendered on a
        GPU; None where it has a latent alone.
        """
        from velcodec.decode.output import render_samples, render_samples_on
        from velcodec.device import is_cpu, pick_device

        place = self._place(number)
        with self._named(number):
            native = average == "none" and model.is_native(res)
            if native or device is None or is_cpu(device) or model.samples is None:
                return render_samples(model, res, average, place)
            return render_samples_on(model, model.grid(res), average, place, pick_device(device))

    @contextmanager
    def _named(self, number: int) -> Iterator[None]:
        """A sampler that is not here is told with the model that needs it."""
        try:
            yield
        except SamplerError as error:
            raise SamplerError(f"{self._place(number)}: {error}") from error

    def _arrays(
        self,
        numbers: Iterable[int],
        res: tuple[int, int] | None = None,
        average: Average = "none",
        allow_large: bool = False,
    ) -> Iterator[NDArray[np.generic]]:
        from velcodec.decode.output import to_array

        for model, samples, values in self._restored(numbers, res, None, average, allow_large):
            array = to_array(values, model.layout) if samples is None else samples
            yield put_no_data(array, model.layout, model.absent)

    def _blocks(self, numbers: Iterable[int]) -> Iterator[list[int]]:
        """Numbers in order, as many together as are not too large."""
        block: list[int] = []
        samples = 0
        for number in numbers:
            own = self._reader.header_of(number).most_samples
            if block and (len(block) == MODELS_AT_ONCE or samples + own > SAMPLES_AT_ONCE):
                yield block
                block, samples = [], 0
            block.append(number)
            samples += own
        if block:
            yield block

    def _place(self, number: int) -> str:
        """What errors call a model."""
        return f"{self._reader.name}: model {number}"

    def _check_size(self, number: int, allow_large: bool) -> None:
        if self._reader.header_of(number).most_samples > LARGE_CELLS:
            layout = self.layout(number)
            check_native(layout.nz, layout.nx, self._place(number), allow_large)

    def close(self) -> None:
        """Close the file; what was decoded stays valid."""
        self._reader.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<velcodec archive of {len(self)} models, decoder {self.header.decoder_name!r}>"


def _without_absent(values: Float64, model: StoredModel, cells: Float64) -> Float64:
    """Values at cell coordinates, not a number where the model is absent."""
    if model.absent is not None:
        values[at_cells(model.absent, cells)] = np.nan
    return values


def block_size(layout: Layout, grid: tuple[int, int] | None) -> int:
    """How many models of a layout are decoded together, to take a bounded memory."""
    nz, nx = grid or (layout.nz, layout.nx)
    return max(1, min(MODELS_AT_ONCE, SAMPLES_AT_ONCE // (nz * nx)))


def _stacked(arrays: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    return np.stack(arrays).astype(arrays[0].dtype, copy=False)  # np.stack drops the byte order
