"""xarray's engine `velcodec`: an archive as a data set that decodes on access.

    xarray.open_dataset("models.vlat", engine="velcodec", chunks={}, res=140)

One variable, `velocity`, with dimensions (model, z, x) whatever the axis order of the input, and
positions in metres. Opening decodes nothing; part of a model costs as much as the whole. Volumes
are (model, z, y, x), and read or rendered brick by brick.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.facts import facts_of
from velcodec.decode.stored import x_first
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.extras import from_extra
from velcodec.formats.facts import Facts
from velcodec.formats.files.facts import CONVENTIONS, GRID_MAPPING, global_attributes
from velcodec.formats.no_data import NAN, no_data_value
from velcodec.interop.coordinates import with_facts
from velcodec.interop.positions import positions
from velcodec.interop.shared import SharedArchive, model_fields, one_kind
from velcodec.interop.xarray_volumes import (
    VOLUME_DIMS,
    LazyVolumes,
    brick_shape,
    has_volumes,
    one_kind_of_volumes,
)
from velcodec.resolution import Resolution
from velcodec.sampler.cell_average import Average, check_average

with from_extra("xarray"):
    import xarray as xr
    from xarray.backends import BackendArray, BackendEntrypoint
    from xarray.core import indexing

if TYPE_CHECKING:
    from velcodec.decoder import Decoder

DIMS = ("model", "z", "x")
MODELS_PER_CHUNK = 256
SAMPLES_PER_CHUNK = 1 << 24
"""A chunk has at most that many models and samples, and at least one model."""

OuterKey = tuple[int | slice | NDArray[np.integer[Any]], ...]


class VelcodecBackend(BackendEntrypoint):
    """Opens `.vlat` archives for `xarray.open_dataset`."""

    description: ClassVar[str] = "Open .vlat archives of seismic velocity models"
    open_dataset_parameters: ClassVar[tuple[str, ...] | None] = (
        "filename_or_obj",
        "drop_variables",
        "res",
        "decoder",
        "device",
        "average",
        "allow_large",
    )

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        res: Resolution | tuple[int, int, int] | None = None,
        decoder: str | Path | Decoder | None = None,
        device: str = "cpu",
        average: str = "none",
        allow_large: bool = False,
    ) -> xr.Dataset:
        """A lazy data set; options as for `velcodec.open` and `Archive.decode`.

        `allow_large` applies to a single model; volumes may have any size. Raises what those raise;
        MixedShapesError for models of different shapes without `res`.
        """
        shared = SharedArchive(filename_or_obj, decoder, device)
        with shared.reading() as archive:
            kind = check_average(average)
            array: LazyModels | LazyVolumes
            dims: tuple[str, ...]
            chunks: tuple[int, ...]
            if has_volumes(archive):
                layout, sizes = one_kind_of_volumes(archive, res)
                rendered = res is not None or kind != "none"
                array = LazyVolumes(shared, layout, len(archive), sizes, rendered, kind)
                dims, chunks = VOLUME_DIMS, brick_shape(archive, sizes)
                coordinates = positions(archive, sizes)
            else:
                layout, grid = one_kind(archive, res, allow_large)
                # Any explicit resolution, even the models' own, is passed on to `decode`.
                shape, at = (len(archive), *grid), None if res is None else grid
                array, dims = LazyModels(shared, layout, shape, at, kind), DIMS
                chunks, coordinates = chunk_shape(array.shape), positions(archive, grid)
            models = xr.Variable(dims, indexing.LazilyIndexedArray(array))
            models.attrs = {"long_name": "velocity", "units": layout.units}
            models.attrs |= _fill_value(archive, array.dtype)
            models.encoding = {"preferred_chunks": dict(zip(dims, chunks, strict=True))}
            coordinates |= _columns(archive)
            facts = facts_of(archive.reader)
            attributes = _attributes(archive, facts)
            coordinates = with_facts(coordinates, facts)
            if facts.crs:
                models.attrs["grid_mapping"] = GRID_MAPPING
            if facts.vertical:
                models.attrs["vertical_domain"] = facts.vertical
        dataset = xr.Dataset({"velocity": models}, coordinates, attributes)
        unwanted = [drop_variables] if isinstance(drop_variables, str) else drop_variables
        dataset = dataset.drop_vars(list(unwanted or ()), errors="ignore")
        dataset.set_close(shared.close)
        return dataset

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        if not _is_path(filename_or_obj):
            return False
        return Path(filename_or_obj).suffix.lower() == ".vlat"


class LazyModels(BackendArray):
    """All models of an archive as an array (model, z, x), decoded when indexed."""

    def __init__(
        self,
        shared: SharedArchive,
        layout: Layout,
        shape: tuple[int, int, int],
        res: tuple[int, int] | None,
        average: Average,
    ) -> None:
        self.shape = shape
        self.dtype = np.dtype(layout.dtype)
        self._shared, self._res, self._average = shared, res, average
        self._x_first = x_first(layout)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[np.generic]:
        support = indexing.IndexingSupport.OUTER
        selected: NDArray[np.generic] = indexing.explicit_indexing_adapter(
            key, self.shape, support, self._outer
        )
        return selected

    def _outer(self, key: OuterKey) -> NDArray[np.generic]:
        """Index each axis independently by a number, a slice or a list of numbers."""
        which, rows, columns = (
            np.arange(size)[one] for size, one in zip(self.shape, key, strict=True)
        )
        numbers = np.atleast_1d(which)
        values = np.empty((len(numbers), *rows.shape, *columns.shape), self.dtype)
        at = 0
        for models in self._decoded(numbers):
            # One axis at a time: NumPy would pair two lists in one index.
            values[at : at + len(models)] = models[:, rows][..., columns]
            at += len(models)
        return values if which.ndim else values[0]

    def _decoded(self, numbers: NDArray[np.integer[Any]]) -> Iterator[NDArray[np.generic]]:
        """Models (n, z, x), at most a chunk at a time."""
        step = chunk_shape(self.shape)[0]
        for first in range(0, len(numbers), step):
            block = numbers[first : first + step].tolist()
            with self._shared.reading() as archive:
                models = archive.decode(block, self._res, average=self._average, allow_large=True)
            yield models.swapaxes(1, 2) if self._x_first else models


def chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A size that decodes efficiently: some hundred models, or fewer large ones."""
    models, nz, nx = shape
    most = max(1, SAMPLES_PER_CHUNK // (nz * nx))
    return min(models, MODELS_PER_CHUNK, most), nz, nx


def _columns(archive: Archive) -> dict[str, Any]:
    """One value per model: its key (or number, without keys) and its fields."""
    keys = archive.keys
    numbered = all(key == str(number) for number, key in enumerate(keys))
    models = np.arange(len(archive)) if numbered else np.array(keys)
    fields = {name: ("model", values) for name, values in model_fields(archive).items()}
    taken = {*VOLUME_DIMS, "velocity"}
    return {"model": ("model", models)} | {n: v for n, v in fields.items() if n not in taken}


def _fill_value(archive: Archive, dtype: np.dtype[Any]) -> dict[str, Any]:
    """The attribute that names the value of absent samples, if there is one other than NaN."""
    stated = (layout.no_data for layout in archive.layouts_in_use)
    values = {value for value in stated if value is not None and value != NAN}
    return {"_FillValue": no_data_value(values.pop(), dtype)} if len(values) == 1 else {}


def _attributes(archive: Archive, facts: Facts) -> dict[str, str]:
    """Descriptions in the archive's headers, without duplicates; empty ones are left out. Facts
    have the names that CF and ACDD give them.
    """
    headers = [
        {
            "decoder": "" if _no_latents(header) else header.decoder_name,
            "decoder_hash": "" if _no_latents(header) else header.decoder_hash.hex(),
            "source_sha256": (header.source.sha256 or b"").hex(),
        }
        for header in archive.reader.headers()
    ]
    texts = {name: dict.fromkeys(one[name] for one in headers if one[name]) for name in headers[0]}
    about = {name: "; ".join(each) for name, each in texts.items() if each}
    return {"Conventions": CONVENTIONS, **global_attributes(facts), **about}


def _no_latents(header: Header) -> bool:
    """Whether a header is of volumes alone, which no decoder renders."""
    return all(layout.is_volume for layout in header.layouts)


def _is_path(source: object) -> bool:
    return isinstance(source, (str, os.PathLike))
