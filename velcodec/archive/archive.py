"""Read `.vlat` archives: by number, by key, at any resolution, at any point.

Opening reads the header and the index; models are decoded on demand. Torch is imported only when a
decoding needs it. Nothing here changes an archive.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from velcodec.archive.info import info_of
from velcodec.archive.latents import Latents
from velcodec.archive.layouts import layout_of, layouts_in_use, layouts_named, may_differ, place_of
from velcodec.archive.numbers import Number, Selection, blocks_of, number_of, numbers_of
from velcodec.archive.sections import Sections
from velcodec.archive.volumes import Part, Volumes
from velcodec.decode.decoders import Evaluators
from velcodec.decode.stored import (
    StoredModel,
    check_stackable,
    read_models,
)
from velcodec.decode.thumbnail import Thumbnail, thumbnail, volume_thumbnail
from velcodec.decode.volumes import open_volume
from velcodec.effort import DEFAULT_EFFORT
from velcodec.formats.arrays import Float64
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.container.shards import open_reader
from velcodec.formats.errors import (
    KeyNotFoundError,
    ModelNumberError,
    OptionError,
    VelcodecError,
    VolumeError,
)
from velcodec.formats.extras import need_torch
from velcodec.formats.no_data import find_absent
from velcodec.geometry import Geometry
from velcodec.resolution import (
    Resolution,
    check_resolution,
)
from velcodec.sampler.cell_average import Average, check_average

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
        self._sections = Sections(self._reader, self._evaluators, self._models)
        self._volumes = Volumes(self._reader)
        self._latents = Latents(self._reader, self._evaluators, self._sections.stored)
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
        return number_of(self._reader, which)

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
        return layout_of(self._reader, self.index(which))

    def geometry(self, which: Number = 0) -> Geometry:
        """Where the samples of a model lie."""
        lay, facts = self.layout(which), self.header_of(which).facts
        return Geometry(
            lay.nz, lay.nx, lay.dx_m, lay.dz_m, lay.origin_x_m, lay.origin_z_m,
            lay.ny, lay.dy_m, lay.origin_y_m, facts.z_name, facts.z_units,
        )  # fmt: skip

    @property
    def layouts(self) -> Sequence[Layout]:
        """Every layout that the headers name; in a subset, some may have no model."""
        return layouts_named(self._reader)

    @property
    def layouts_in_use(self) -> Sequence[Layout]:
        """The layouts that some model has; reads records if there are several."""
        return layouts_in_use(self._reader)

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
        return info_of(self._reader)

    @property
    def quality(self) -> Sequence[StoredQuality] | None:
        """The quality of every model, measured when the archive was made; None if not measured."""
        return self._reader.quality

    @property
    def record_bytes(self) -> Sequence[int]:
        """Bytes of each model's record, without what records share."""
        sizes: list[int] = self._reader.lengths.tolist()
        return sizes

    # Models

    def __getitem__(self, which: Number | slice | Sequence[Number] | NDArray[Any]) -> Any:
        """A model at its native grid, (nz, nx); a list of models for a slice, a list or array of
        numbers or keys, or a boolean mask over all models. Raises as `decode`.
        """
        if isinstance(which, slice | Sequence | np.ndarray) and not isinstance(which, str):
            numbers = self.select(which)
            self._sections.check_total(numbers, None, "none", False)
            return list(self._arrays(numbers))
        return self.decode(which)

    def select(self, which: Selection) -> Sequence[int]:
        """Numbers of the models that a slice, numbers, keys or a boolean mask select, in order.

        Raises OptionError for a mask of another length, and as `index`.
        """
        return numbers_of(self._reader, which)

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        """Every model at its native grid, in order."""
        return self._arrays(range(len(self)))

    def blocks(self, res: Resolution | None = None) -> Iterator[range]:
        """Ranges of consecutive models that stack, for `decode`: all models in order, a bounded
        number of samples each at `res` (N or (nz, nx)) or at the native grid.
        """
        return blocks_of(self._reader, check_resolution(res, 0, True))

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
        volumes = [number for number in numbers if self._volumes.has(number)]
        if volumes:
            if device is not None:
                place = place_of(self._reader, volumes[0])
                raise VolumeError(f"{place}: a volume, which is decoded to arrays alone")
            if len(volumes) < len(numbers):
                check_stackable([self.layout(number) for number in numbers], True)
            arrays = self._volumes.decode(volumes, res, average, allow_large)
            return arrays[0] if one else _stacked(arrays)
        grid = check_resolution(res, len(numbers), allow_large)
        kind = check_average(average)
        if not numbers:
            raise ModelNumberError("models: found none asked for, expected one at least")
        if len(numbers) > 1 and may_differ(self._reader, numbers):
            check_stackable([self.layout(number) for number in numbers], grid is None)
        self._sections.check_total(numbers, grid, kind, allow_large)
        if device is None:
            arrays = list(self._arrays(numbers, grid, kind, allow_large))
            return arrays[0] if one else _stacked(arrays)
        need_torch("Archive.decode(device=...)")
        import torch

        tensors = list(self._sections.tensors(numbers, grid, device, kind, allow_large))
        return tensors[0] if one else torch.stack(tensors)

    def sample(self, which: Number, points: ArrayLike) -> Float64:
        """Velocity (P,), float64, at points (x, z) in metres, shape (P, 2), anywhere in the extent;
        of a volume at points (x, y, z), (P, 3).

        It is in the units of the archive, m/s or km/s, as `decode` gives them, and not a number at
        points whose nearest sample is absent. Raises
        PointsOutsideError, InputShapeError, InputDtypeError, NonFiniteError.
        """
        number = self.index(which)
        if self._volumes.has(number):
            return self._volumes.sample(number, self.geometry(number), points)
        return self._sections.sample(number, self.geometry(number), points)

    def gradient(self, which: Number, points: ArrayLike) -> Float64:
        """Velocity gradient (P, 2), d/dx and d/dz at points as for `sample`, in m/s per metre, or
        km/s per metre where the archive is in km/s; of a volume (P, 3), d/dx, d/dy and d/dz.

        It is the analytic derivative of the field: zero where the field is clamped to the model's
        minimum or maximum, and NaN at points whose nearest sample is absent.
        """
        need_torch("Archive.gradient")
        number = self.index(which)
        if self._volumes.has(number):
            return self._volumes.gradient(number, self.geometry(number), points)
        return self._sections.gradient(number, self.geometry(number), points)

    def latent(self, which: Number, *, effort: int = DEFAULT_EFFORT) -> ModelLatent:
        """The latent of a model: the stored one or, if only samples are stored, one fitted to them,
        not quantised, and cached. `effort` is that of `velcodec.compress`.

        Raises MissingDecoderError, OptionError, and as `decode`.
        """
        need_torch("Archive.latent")
        return self._latents.latent(self.index(which), effort)

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
        need_torch("Archive.between")
        return self._latents.between((self.index(first), self.index(second)), share, res, effort)

    def decoder(self, which: Number | None = None) -> Decoder:
        """Load the decoder of a model, or of the archive's first ones. Raises MissingDecoderError,
        and as `index`.
        """
        need_torch("Archive.decoder")
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
        return self._sections.stored([self.index(each) for each in which])

    def thumbnails(self, which: Sequence[Number], pixels: int) -> Iterator[Thumbnail]:
        """Small pictures of models, `pixels` along the longer side, with equal axes; of a volume,
        of the section through its middle y. Raises as `decode`.
        """
        numbers = [self.index(each) for each in which]
        volumes = {number for number in numbers if self.layout(number).is_volume}
        stored = iter(self.stored([number for number in numbers if number not in volumes]))
        for number in numbers:
            ground = self.geometry(number)
            if number in volumes:
                yield volume_thumbnail(
                    open_volume(self._reader, number), ground.section("y"), pixels
                )
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

    def _arrays(
        self,
        numbers: Iterable[int],
        res: tuple[int, int] | None = None,
        average: Average = "none",
        allow_large: bool = False,
    ) -> Iterator[NDArray[np.generic]]:
        """Models in order; volumes whole, one at a time."""
        for volumes, some in groupby(numbers, self._volumes.has):
            if not volumes:
                yield from self._sections.arrays(some, res, average, allow_large)
                continue
            for number in some:
                yield self._volumes.decode([number], res, average, allow_large)[0]

    # Volumes

    def box(
        self,
        which: Number,
        box: Sequence[slice | tuple[int, int]],
        res: int | Sequence[int] | None = None,
        *,
        average: str = "none",
        allow_large: bool = False,
    ) -> NDArray[np.generic]:
        """The samples of a box of a volume, in its axis order: only the bricks that hold them are
        read and decoded. `box` has three ranges of samples, along z, y and x: slices or (start,
        stop), from sample start on, without sample stop, never metres. With `res`, N or
        (nz, ny, nx), the field at that many cells over the box's extent;
        `average` is that of `decode`.

        Raises VolumeError for a section, OptionError for a box that is not within the volume,
        ResolutionError for more than 100 million samples, or points to average, without
        `allow_large`, SamplerError, CorruptError.
        """
        return self._volumes.box(self.index(which), box, res, average, allow_large)

    def box_in_parts(
        self,
        which: Number,
        box: Sequence[slice | tuple[int, int]],
        res: int | Sequence[int] | None = None,
        *,
        average: str = "none",
        allow_large: bool = False,
    ) -> Part:
        """A box of a volume as for `box`, for tools that read it part by part, depth first. Raises
        as `box`.
        """
        return self._volumes.part(self.index(which), box, res, average, allow_large)

    def section(
        self,
        which: Number,
        *,
        z: int | None = None,
        y: int | None = None,
        x: int | None = None,
        res: Resolution | None = None,
        average: str = "none",
        allow_large: bool = False,
    ) -> NDArray[np.generic]:
        """The section of a volume through sample `z`, `y` or `x`, of which one is given: (ny, nx),
        (nz, nx) or (nz, ny). Negative samples count from the end. With `res`, N or two sizes, the
        field in that plane at so many cells; with `average`, means over cells one sample thick.

        Raises VolumeError for a section, OptionError, ResolutionError, SamplerError, CorruptError.
        """
        places = {"z": z, "y": y, "x": x}
        return self._volumes.section(self.index(which), places, res, average, allow_large)

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
            raise OptionError(
                f"{place_of(self._reader, number)}: at: expected none, as it is no volume"
            )
        if layout.is_volume:
            if res is not None or axes is not None:
                raise VolumeError(
                    f"{place_of(self._reader, number)}: a volume, whose sections are drawn at its "
                    "own samples in a figure of their own: expected neither res nor axes"
                )
            samples, ground = self._samples_at(number, at), self.geometry(number)
            places = {
                axis: getattr(layout, f"origin_{axis}_m") + at * getattr(layout, f"d{axis}_m")
                for axis, at in samples.items()
            }
            through: dict[str, NDArray[Any]] = {
                axis: self.section(
                    number,
                    z=at if axis == "z" else None,
                    y=at if axis == "y" else None,
                    x=at if axis == "x" else None,
                )
                for axis, at in samples.items()
            }
            return sections(
                {axis: _blank_where_absent(each, layout) for axis, each in through.items()},
                {axis: ground.section(axis) for axis in samples},
                places, units=layout.units, title=str(self.keys[number]), cmap=cmap, low=low,
                high=high,
            )  # fmt: skip
        values = self.decode(number, res)
        values = values.T if layout.axes.endswith("xz") else values
        return velocity(
            _blank_where_absent(values, layout), self.geometry(number), units=layout.units,
            title=str(self.keys[number]), cmap=cmap, low=low, high=high, axes=axes,
        )  # fmt: skip

    def _samples_at(self, number: int, at: Sequence[float] | None) -> dict[str, int]:
        """The samples (z, y, x) of a volume that are nearest to a point (x, y, z) in metres, or its
        middle.
        """
        layout = self.layout(number)
        if at is None:
            samples = [size // 2 for size in layout.shape]
        else:
            cells = self.geometry(number).to_cells([list(at)])[0, ::-1]
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


def _stacked(arrays: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    return np.stack(arrays).astype(arrays[0].dtype, copy=False)  # np.stack drops the byte order


def _blank_where_absent(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Values to be drawn, NaN where a sample is absent."""
    if layout.no_data is None:
        return values
    return np.where(find_absent(values, layout.no_data), np.nan, values.astype(float))
