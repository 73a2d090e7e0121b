"""Read `.vlat` archives: by number, by key, at any resolution, at any point.

Opening reads the header and the index; models are decoded on demand. Torch is imported only when a
decoding needs it. Nothing here changes an archive.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import index as as_index
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from velcodec.archive.info import info_of
from velcodec.decode import output
from velcodec.decode.absent import put_no_data, put_no_data_in_tensor
from velcodec.decode.decoders import Evaluators
from velcodec.decode.stored import (
    StoredModel,
    check_stackable,
    read_models,
    stored_layout,
)
from velcodec.decode.thumbnail import Thumbnail, thumbnail, volume_thumbnail
from velcodec.decode.volumes import (
    checked_box,
    open_volume,
    own_order,
    volume_cells,
    whole,
)
from velcodec.device import is_cpu, pick_device
from velcodec.effort import DEFAULT_EFFORT
from velcodec.formats.arrays import Float64
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.page import entry_bytes
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.container.shards import open_reader
from velcodec.formats.errors import (
    CorruptError,
    KeyNotFoundError,
    MixedShapesError,
    ModelNumberError,
    OptionError,
    SamplerError,
    VelcodecError,
    VolumeError,
)
from velcodec.formats.no_data import find_absent
from velcodec.geometry import ACROSS, GROUND_FIELDS, Geometry
from velcodec.masks import at_cells
from velcodec.resolution import (
    LARGE_CELLS,
    Resolution,
    check_native,
    check_resolution,
    check_total,
    check_volume_resolution,
)
from velcodec.sampler.cell_average import Average, check_average, fine_shape

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from velcodec.decoder import Decoder
    from velcodec.decoder.siren_mixture.frozen import FrozenMixture
    from velcodec.encode.latents import ModelLatent
    from velcodec.formats.decoder_file import DecoderFile
    from velcodec.formats.latent_coding.stream import LatentTables
    from velcodec.plot import Picture

log = logging.getLogger(__name__)

MODELS_AT_ONCE = 256
SAMPLES_AT_ONCE = 1 << 22
"""Limits of the models decoded together, whatever sizes an archive states."""

Number = int | str
Selection = slice | Sequence[Number] | Sequence[bool] | NDArray[Any]


def open(
    source: str | Path | bytes | BinaryIO,
    *,
    decoder: str | Path | Decoder | None = None,
    device: str = "cpu",
) -> Archive:
    """Open an archive: a path, a folder of shards, a URL, bytes, or a seekable binary file.

    `decoder` (a name, hash, path or loaded Decoder) takes precedence over the user's folder and the
    shipped decoders. `device` (auto, cpu, cuda, cuda:N) is where models are computed. Raises
    NotVlatError, VersionError, TruncatedError, CorruptError. A missing decoder raises
    MissingDecoderError at the first decoding.

        with velcodec.open("models.vlat") as archive:
            first = archive[0]                 # (nz, nx), native grid
            fine = archive.decode("a key", res=280)
    """
    return Archive(source, decoder=decoder, device=device)


class Archive:
    """An open `.vlat` archive: a sequence of models and a context manager.

    Arrays have the dtype, units and axis order ([z, x] or [x, z]) of the input. Points are always
    (x, z) in metres.
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
        self._fitted: dict[tuple[int, int], ModelLatent] = {}
        if self._reader.unfinished:
            log.warning(
                "%s: ends in %d bytes of an addition that was never finished or is damaged; the %d "
                "models before it are read",
                self._reader.name,
                self._reader.unfinished,
                len(self._reader),
            )

    def _open(self, source: Any) -> RecordReader:
        return open_reader(source)

    # Content

    @property
    def header(self) -> Header:
        """The header of the first models; `header_of` gives that of any model."""
        return self._reader.header

    def header_of(self, which: Number) -> Header:
        """The header of a model: decoder, layouts, provenance, ..."""
        return self._reader.header_of(self.index(which))

    def __len__(self) -> int:
        return len(self._reader)

    @property
    def reader(self) -> RecordReader:
        """The reader of undecoded records, for tools that copy or list them."""
        return self._reader

    @property
    def keys(self) -> Sequence[str]:
        """Key of every model, in order; its number if the archive has no keys."""
        keys = self._reader.keys
        return [str(i) for i in range(len(self))] if keys is None else keys

    @property
    def has_keys(self) -> bool:
        """Whether models have keys other than their numbers."""
        return self._reader.has_keys

    def index(self, which: Number) -> int:
        """Number in [0, len) of a model given by number (negative from the end) or key.

        Raises ModelNumberError (an IndexError), KeyNotFoundError (a KeyError), or OptionError for
        any other type.
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
        fields = self._reader.fields_of([number])[0]
        moved: dict[str, Any] = {}
        for name in GROUND_FIELDS:
            value = fields.get(name, "")
            if isinstance(value, str) and value:
                raise CorruptError(
                    f"{self._reader.name}: model {number}: field {name!r}: found {value!r}, "
                    "expected metres"
                )
            if value != "" and not np.isnan(value):  # NaN: the layout's value applies
                moved[name] = float(value)
        return replace(lay, **moved) if moved else lay

    def geometry(self, which: Number = 0, section: str = "y") -> Geometry:
        """Where the samples of a model lie; of a volume, those of its sections through a z, y or x,
        as `section` says: [z, x] at a y, [z, y] at an x and [y, x] at a z.
        """
        lay = self.layout(which)
        down, across = ACROSS[section if lay.is_volume else "y"]
        sizes = dict(zip("zyx" if lay.is_volume else "zx", lay.shape, strict=True))
        return Geometry(
            sizes[down], sizes[across], getattr(lay, f"d{across}_m"), getattr(lay, f"d{down}_m"),
            getattr(lay, f"origin_{across}_m"), getattr(lay, f"origin_{down}_m"),
        )  # fmt: skip

    @property
    def layouts(self) -> Sequence[Layout]:
        """Every layout that the headers name; in a subset, some may have no model."""
        return tuple(_distinct(self._reader.headers()))

    @property
    def layouts_in_use(self) -> Sequence[Layout]:
        """The layouts that some model has; reads records if there are several."""
        known = self.layouts
        if len(known) < 2:
            return known
        return tuple(dict.fromkeys(stored_layout(self._reader, n) for n in range(len(self))))

    def _has_layouts(self, numbers: Sequence[int]) -> bool:
        """Whether these models may have several layouts; looks only at their headers."""
        heads = {self._reader.header_number(number): number for number in numbers}
        return len(_distinct([self._reader.header_of(number) for number in heads.values()])) > 1

    @property
    def fields(self) -> Mapping[str, NDArray[Any]]:
        """Columns of metadata by name, (n,) each: numbers, or texts as objects. A missing value is
        NaN or an empty text.
        """
        return self._reader.fields

    def metadata(self, which: Number) -> dict[str, Any]:
        """The fields of one model."""
        fields = self._reader.fields_of([self.index(which)])[0]
        return {
            name: value.item() if hasattr(value, "item") else value
            for name, value in fields.items()
        }

    def info(self) -> dict[str, Any]:
        """Everything known without decoding; JSON-able."""
        return info_of(self._reader, self.layouts)

    @property
    def quality(self) -> Sequence[StoredQuality] | None:
        """The quality of every model, measured when the archive was made; None if not measured."""
        return self._reader.quality

    @property
    def record_bytes(self) -> Sequence[int]:
        """Bytes of each model's record, with its length and checksum."""
        sizes: list[int] = entry_bytes(self._reader.lengths).tolist()
        return sizes

    # Models

    def __getitem__(self, which: Number | slice | Sequence[Number] | NDArray[Any]) -> Any:
        """A model at its native grid, (nz, nx); a list of models for a slice, a list or array of
        numbers or keys, or a boolean mask over all models. Raises as `decode`.
        """
        if isinstance(which, slice | Sequence | np.ndarray) and not isinstance(which, str):
            numbers = self.select(which)
            self._check_total(numbers, None, "none", False)
            return list(self._arrays(numbers))
        return self.decode(which)

    def select(self, which: Selection) -> Sequence[int]:
        """Numbers of the models that a slice, numbers, keys or a boolean mask select, in order.

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
            selected: list[int] = np.flatnonzero(np.asarray(rows)).tolist()
            return selected
        return [self.index(row) for row in rows]

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        """Every model at its native grid, in order."""
        return self._arrays(range(len(self)))

    def blocks(self, res: Resolution | None = None) -> Iterator[range]:
        """Ranges of consecutive models that stack, for `decode`: all models in order, a bounded
        number of samples each at `res` (N or (nz, nx)) or at the native grid.
        """
        grid = check_resolution(res, 0, True)
        mixed = len(self.layouts) > 1
        only = None if mixed else self.layouts[0]
        first, last = 0, None
        for number in range(len(self)):
            layout = only or self.layout(number)
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
        """Render one model (nz, nx), or several (n, nz, nx), in the user's axis order. Volumes are
        (nz, ny, nx); `box` gives parts of them.

        `res` is N for N x N samples or (nz, nx), or (nz, ny, nx) of volumes, over the same extent;
        by default the native grid.
        With `device` the result is a tensor, computed and kept there. A model stored as samples
        returns these at the native grid, and the field between them at other grids. `average` is
        none for the field at the centres of the grid's cells, cell for its mean over each cell, or
        slowness for the velocity of the mean slowness over each. A sample whose nearest one at the
        native grid is absent has the no-data value of the model's layout.

        Raises ResolutionError (below 1, or, without `allow_large`, more than 100 million samples in
        all, in one model, or to average, at the native grid too), MixedShapesError (different
        native grids, dtypes, units or orders), MissingDecoderError, SamplerError, CorruptError,
        ModelNumberError, KeyNotFoundError, OptionError (neither number nor key, unknown average, or
        mean slowness of velocities that are not positive).
        """
        one = isinstance(which, str) or not np.iterable(which)
        wanted = cast("Sequence[Number]", [which] if one else which)
        numbers = [self.index(i) for i in wanted]
        volumes = [number for number in numbers if self._is_volume(number)]
        if volumes:
            if device is not None:
                raise VolumeError(
                    f"{self._place(volumes[0])}: a volume, which is decoded to arrays alone"
                )
            if len(volumes) < len(numbers):
                check_stackable([self.layout(number) for number in numbers], True)
            arrays = self._volumes(volumes, res, average, allow_large)
            return arrays[0] if one else _stacked(arrays)
        grid = check_resolution(res, len(numbers), allow_large)
        kind = check_average(average)
        if not numbers:
            raise ModelNumberError("models: found none asked for, expected one at least")
        if len(numbers) > 1 and self._has_layouts(numbers):
            check_stackable([self.layout(number) for number in numbers], grid is None)
        self._check_total(numbers, grid, kind, allow_large)
        if device is None:
            arrays = list(self._arrays(numbers, grid, kind, allow_large))
            return arrays[0] if one else _stacked(arrays)
        import torch

        tensors = [
            put_no_data_in_tensor(
                output.to_tensor(values, model.layout)
                if samples is None
                else output.array_to_tensor(samples, device),
                model.layout,
                model.absent,
            )
            for model, samples, values in self._rendered(numbers, grid, device, kind, allow_large)
        ]
        return tensors[0] if one else torch.stack(tensors)

    def sample(self, which: Number, points: ArrayLike) -> Float64:
        """Velocity (P,), float64, at points (x, z) in metres, shape (P, 2), anywhere in the extent;
        of a volume at points (x, y, z), (P, 3).

        It is in the units of the archive, m/s or km/s, as `decode` gives them, and not a number at
        points whose nearest sample is absent. Raises
        PointsOutsideError, InputShapeError, InputDtypeError, NonFiniteError.
        """
        if self._is_volume(self.index(which)):
            with self._named(self.index(which)):
                volume = open_volume(self._reader, self.index(which))
                return volume.points(volume_cells(self.layout(which), points))
        model, header = self._model(which), self.header_of(which)
        cells = self.geometry(which).to_cells(points)
        with self._named(self.index(which)):
            values = output.sample(lambda: self._evaluators.evaluator(header), model, cells)
        return _without_absent(values, model, cells)

    def gradient(self, which: Number, points: ArrayLike) -> Float64:
        """Velocity gradient (P, 2), d/dx and d/dz at points as for `sample`, in m/s per metre, or
        km/s per metre where the archive is in km/s; of a volume (P, 3), d/dx, d/dy and d/dz.

        It is the analytic derivative of the field: zero where the field is clamped to the model's
        minimum or maximum, and NaN at points whose nearest sample is absent.
        """
        if self._is_volume(self.index(which)):
            layout = self.layout(which)
            with self._named(self.index(which)):
                volume = open_volume(self._reader, self.index(which))
                slopes = volume.gradient(volume_cells(layout, points))
            return slopes / np.array([layout.dx_m, layout.dy_m, layout.dz_m])
        model, header = self._model(which), self.header_of(which)
        ground = self.geometry(which)
        cells = ground.to_cells(points)
        with self._named(self.index(which)):
            per_cell = output.gradient(lambda: self._evaluators.decoder(header), model, cells)
        return _without_absent(per_cell, model, cells) / np.array([ground.dx_m, ground.dz_m])

    def latent(self, which: Number, *, effort: int = DEFAULT_EFFORT) -> ModelLatent:
        """The latent of a model: the stored one or, if only samples are stored, one fitted to them,
        not quantised, and cached. `effort` is that of `velcodec.compress`.

        Raises MissingDecoderError, OptionError, and as `decode`.
        """
        from velcodec.encode.fitting import make_fitter
        from velcodec.encode.latents import fitted_latent, stored_latent

        number = self.index(which)
        model, decoder = self._model(number), self._evaluators.decoder(self.header_of(number))
        if model.has_latent:
            return stored_latent(decoder, model)
        if (number, effort) not in self._fitted:
            fitter = make_fitter(decoder, effort)
            self._fitted[number, effort] = fitted_latent(fitter, model)
        return self._fitted[number, effort]

    def between(
        self,
        first: Number,
        second: Number,
        share: float,
        res: Resolution | None = None,
        *,
        effort: int = DEFAULT_EFFORT,
    ) -> NDArray[np.generic]:
        """A model between two others, (nz, nx) in the first one's dtype, units and axis order: the
        rendering of (1 - share) of the first latent plus `share` of the second.

        Latents are those of `latent`, so the ends approximate the two models. Samples are absent
        where the first model's are. Raises OptionError if `share` is not finite, MixedShapesError
        for models of different decoders or tilings, and what `latent` raises.
        """
        if not np.isfinite(share):
            raise OptionError(f"share: found {share}, expected a finite number, 0 to 1 as a rule")
        numbers = self.index(first), self.index(second)
        hashes = {self.header_of(number).decoder_hash for number in numbers}
        if len(hashes) > 1:
            raise MixedShapesError(f"{self._reader.name}: models {numbers}: of different decoders")
        grid = check_resolution(res, 1, False)
        ends = [self.latent(number, effort=effort) for number in numbers]
        mixed = ends[0].mixed(ends[1], share)
        decoder = self._evaluators.decoder(self.header_of(numbers[0]))
        model = self._model(numbers[0])
        values = output.to_array(mixed.render(decoder, grid), model.layout)
        return put_no_data(values, model.layout, model.absent)

    def decoder(self, which: Number | None = None) -> Decoder:
        """Load the decoder of a model, or of the archive's first ones. Raises MissingDecoderError,
        and as `index`.
        """
        header = self.header if which is None else self.header_of(which)
        return self._evaluators.decoder(header)

    def _tables(self, header: Header) -> LatentTables:
        return self._evaluators.tables(header)

    def _models(self, numbers: Sequence[int]) -> list[StoredModel]:
        return read_models(self._reader, self._tables, numbers)

    def stored(self, which: Sequence[Number]) -> list[StoredModel]:
        """Models as stored, entropy-decoded but not rendered, for tools that render parts of them.

        Raises as `decode`.
        """
        numbers = [self.index(each) for each in which]
        for number in numbers:
            self._check_size(number, False)
        return self._models(numbers)

    def thumbnails(self, which: Sequence[Number], pixels: int) -> Iterator[Thumbnail]:
        """Small pictures of models, `pixels` along the longer side, with equal axes; of a volume,
        of the section through its middle y. Raises as `decode`.
        """
        numbers = [self.index(each) for each in which]
        volumes = {number for number in numbers if self._is_volume(number)}
        stored = iter(self.stored([number for number in numbers if number not in volumes]))
        for number in numbers:
            ground = self.geometry(number)
            if number in volumes:
                yield volume_thumbnail(open_volume(self._reader, number), ground, pixels)
            else:
                yield thumbnail(next(stored), ground, pixels, partial(self.evaluator, number))

    def evaluator(self, which: Number) -> Decoder | FrozenMixture:
        """What renders a model's latent: without torch on a CPU, if its decoder allows. Raises
        MissingDecoderError.
        """
        return self._evaluators.evaluator(self.header_of(which))

    def decoder_file(self, which: Number) -> DecoderFile:
        """The file of a model's decoder, for those who read it themselves. Raises
        MissingDecoderError, DecoderFileError.
        """
        return self._evaluators.file(self.header_of(which))

    def _model(self, which: Number) -> StoredModel:
        return self.stored([which])[0]

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
            for number in block:
                self._check_size(number, allow_large)
            models = self._models(block)
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
                places = [self._place(block[row]) for row in rows]
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
        place = self._place(number)
        with self._named(number):
            native = average == "none" and model.is_native(res)
            if native or device is None or is_cpu(device) or model.samples is None:
                return output.render_samples(model, res, average, place)
            return output.render_samples_on(
                model, model.grid(res), average, place, pick_device(device)
            )

    @contextmanager
    def _named(self, number: int) -> Iterator[None]:
        """Name the model in the error for a missing sampler."""
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
        """Models in order; volumes whole, one at a time."""
        for volumes, some in groupby(numbers, self._is_volume):
            if volumes:
                for number in some:
                    yield self._volumes([number], res, average, allow_large)[0]
                continue
            for model, samples, values in self._rendered(some, res, None, average, allow_large):
                array = output.to_array(values, model.layout) if samples is None else samples
                yield put_no_data(array, model.layout, model.absent)

    # Volumes

    def _is_volume(self, number: int) -> bool:
        if not self._reader.header_of(number).has_volumes:
            return False
        return stored_layout(self._reader, number).is_volume

    def _volumes(
        self, numbers: Sequence[int], res: Any, average: str, allow_large: bool
    ) -> list[NDArray[np.generic]]:
        """Whole volumes, at their own grids or at `res`. Raises as `decode`."""
        if average != "none":
            raise VolumeError(
                f"{self._place(numbers[0])}: average: found {average!r} for a volume, expected none"
            )
        for number in numbers:
            self._check_size(number, allow_large)
        if len(numbers) > 1:
            check_stackable([self.layout(number) for number in numbers], res is None)
        every = [slice(None)] * 3
        return [self.box(number, every, res, allow_large=allow_large) for number in numbers]

    def box(
        self,
        which: Number,
        box: Sequence[slice | tuple[int, int]],
        res: int | Sequence[int] | None = None,
        *,
        allow_large: bool = False,
    ) -> NDArray[np.generic]:
        """The samples of a box of a volume, in its axis order: only the bricks that hold them are
        read and decoded. `box` has three ranges of samples, along z, y and x: slices or (start,
        stop). With `res`, N or (nz, ny, nx), the field at that many cells over the box's extent.

        Raises VolumeError for a section, OptionError for a box that is not within the volume,
        ResolutionError for more than 100 million samples without `allow_large`, SamplerError,
        CorruptError.
        """
        number = self.index(which)
        volume = open_volume(self._reader, number)
        part = checked_box(box, volume.layout, self._place(number))
        sizes = [each.stop - each.start for each in part]
        check_native(sizes, f"{self._place(number)}: box", allow_large)
        if res is None:
            return own_order(volume.read(part), volume.layout)
        grid = check_volume_resolution(res, self._place(number), allow_large)
        with self._named(number):
            return own_order(volume.render(part, grid), volume.layout)

    def section(
        self, which: Number, *, z: int | None = None, y: int | None = None, x: int | None = None
    ) -> NDArray[np.generic]:
        """The section of a volume through sample `z`, `y` or `x`, of which one is given: (ny, nx),
        (nz, nx) or (nz, ny). Negative samples count from the end.

        Raises VolumeError for a section, OptionError, CorruptError.
        """
        number = self.index(which)
        given = {axis: at for axis, at in (("z", z), ("y", y), ("x", x)) if at is not None}
        place = f"{self._place(number)}: section"
        if len(given) != 1:
            raise OptionError(f"{place}: found {len(given)} of z, y and x, expected one of them")
        ((axis, at),) = given.items()
        volume = open_volume(self._reader, number)
        place_of_axis = "zyx".index(axis)
        size = volume.layout.shape[place_of_axis]
        if not isinstance(at, int | np.integer) or not -size <= at < size:
            raise OptionError(
                f"{place}: {axis}: found {at!r}, expected a sample from {-size} to {size - 1}"
            )
        part = list(whole(volume.layout))
        part[place_of_axis] = slice(at % size, at % size + 1)
        return volume.read((part[0], part[1], part[2])).squeeze(place_of_axis)

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

    def _place(self, number: int) -> str:
        """The name of a model in errors."""
        return f"{self._reader.name}: model {number}"

    def _check_total(
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
                check_native((nz * kz, nx * kx), f"{self._place(number)}: its means", False)

    def _check_size(self, number: int, allow_large: bool) -> None:
        if self._reader.header_of(number).most_samples > LARGE_CELLS:
            check_native(self.layout(number).shape, self._place(number), allow_large)

    def plot(
        self,
        which: Number,
        res: Resolution | None = None,
        *,
        cmap: str = "viridis",
        low: float | None = None,
        high: float | None = None,
        axes: Any = None,
        at: Sequence[float] | None = None,
    ) -> Picture:
        """Draw a model with matplotlib: equal axes in metres, a colour bar in its units.

        `res` is that of `decode`; other arguments are those of `velcodec.plot.velocity`. Of a
        volume, the sections through the samples nearest to the point `at`, (x, y, z) in metres, by
        default its middle; it takes neither `res` nor `axes`, and models of two axes take no `at`.
        Raises MissingExtraError without matplotlib, PointsOutsideError, and as `decode`.
        """
        from velcodec.plot import sections, velocity

        number = self.index(which)
        layout = self.layout(number)
        if not layout.is_volume and at is not None:
            raise OptionError(f"{self._place(number)}: at: expected none, as it is no volume")
        if layout.is_volume:
            if res is not None or axes is not None:
                raise VolumeError(
                    f"{self._place(number)}: a volume, whose sections are drawn at its own samples "
                    "in a figure of their own: expected neither res nor axes"
                )
            samples = self._samples_at(number, at)
            origins = {axis: getattr(layout, f"origin_{axis}_m") for axis in samples}
            steps = {axis: getattr(layout, f"d{axis}_m") for axis in samples}
            return sections(
                {axis: self.section(number, **{axis: sample}) for axis, sample in samples.items()},
                {axis: self.geometry(number, axis) for axis in samples},
                {axis: origins[axis] + sample * steps[axis] for axis, sample in samples.items()},
                units=layout.units, title=str(self.keys[number]), cmap=cmap, low=low, high=high,
            )  # fmt: skip
        values = self.decode(number, res)
        values = values.T if layout.axes.endswith("xz") else values
        if layout.no_data is not None:
            values = np.where(find_absent(values, layout.no_data), np.nan, values.astype(float))
        return velocity(
            values, self.geometry(number), units=layout.units, title=str(self.keys[number]),
            cmap=cmap, low=low, high=high, axes=axes,
        )  # fmt: skip

    def _samples_at(self, number: int, at: Sequence[float] | None) -> dict[str, int]:
        """The samples (z, y, x) of a volume that are nearest to a point (x, y, z) in metres, or its
        middle.
        """
        layout = self.layout(number)
        if at is None:
            samples = [size // 2 for size in layout.shape]
        else:
            cells = volume_cells(layout, [list(at)])[0, ::-1]
            samples = [
                min(int(cell), size - 1) for cell, size in zip(cells, layout.shape, strict=True)
            ]
        return dict(zip("zyx", samples, strict=True))

    def close(self) -> None:
        """Close the file; decoded arrays stay valid."""
        self._reader.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<velcodec archive of {len(self)} models, decoder {self.header.decoder_name!r}>"

    def _repr_html_(self) -> str | None:
        """For notebooks: facts, and pictures of the first models."""
        from velcodec.archive.notebook import PICTURES, PIXELS, html_of

        pictures, note = [], ""
        try:
            numbers = range(min(PICTURES, len(self)))
            for number, small in zip(numbers, self.thumbnails(numbers, PIXELS), strict=True):
                pictures.append((self.keys[number], small))
        except VelcodecError as error:
            note = str(error)
        return html_of(self.info(), pictures, note)


def _without_absent(values: Float64, model: StoredModel, cells: Float64) -> Float64:
    """Set values at cell coordinates to NaN where the model is absent."""
    if model.absent is not None:
        values[at_cells(model.absent, cells)] = np.nan
    return values


def _distinct(headers: Iterable[Header]) -> dict[Layout, None]:
    """The distinct layouts of headers; a list of layouts that headers share is read once."""
    lists = {id(header.layouts): header.layouts for header in headers}
    return dict.fromkeys(layout for layouts in lists.values() for layout in layouts)


def block_size(layout: Layout, grid: tuple[int, int] | None) -> int:
    """How many models of a layout to decode together in bounded memory."""
    samples = layout.samples if grid is None else grid[0] * grid[1]
    return max(1, min(MODELS_AT_ONCE, SAMPLES_AT_ONCE // samples))


def _stacked(arrays: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    return np.stack(arrays).astype(arrays[0].dtype, copy=False)  # np.stack drops the byte order
