"""Writing a box of a volume to a file of any format that holds volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from velcodec.archive.archive import Archive
from velcodec.archive.numbers import Number
from velcodec.decode.volumes import checked_box, open_volume
from velcodec.files.decompress import Decompression, form_of
from velcodec.formats.files import ARRAY, open_sink
from velcodec.formats.files.base import depth_first
from velcodec.formats.storage.atomic import naming
from velcodec.resolution import check_volume_resolution


def decompress_box(
    archive: Archive,
    which: Number,
    box: Sequence[slice | tuple[int, int]],
    target: str | Path,
    res: int | Sequence[int] | None = None,
    options: Decompression | None = None,
    *,
    force: bool = False,
) -> tuple[int, ...]:
    """Write the samples of a box (z, y, x) of a volume, or its field at `res` as for `Archive.box`,
    to one file, whose origin is that of the box; return the shape of its array.

    Raises what `Archive.box` raises, OutputExistsError unless `force`, OutputPathError,
    MissingExtraError.
    """
    options, target = options or Decompression(), Path(target)
    number = archive.index(which)
    layout = open_volume(archive.reader, number).layout
    part = checked_box(box, layout, f"{archive.reader.name}: model {number}")
    sizes = [each.stop - each.start for each in part]
    form = form_of(archive, [number], None)
    grid = sizes
    if res is not None:
        grid = list(check_volume_resolution(res, archive.reader.name, options.allow_large))
    moved = {}
    for axis, each, size, count in zip("zyx", part, sizes, grid, strict=True):
        step, origin = (getattr(form.ground, name) for name in (f"d{axis}_m", f"origin_{axis}_m"))
        finer = step * size / count
        moved[f"d{axis}_m"] = finer
        moved[f"origin_{axis}_m"] = origin + each.start * step + (finer - step) / 2
    form = replace(
        form, nz=grid[0], ny=grid[1], nx=grid[2], axes=form.order,
        ground=replace(form.ground, **moved),
    )  # fmt: skip
    samples = archive.box(
        number, part, res, average=options.average, allow_large=options.allow_large
    )
    name = options.format_of(target)
    array = options.array or ARRAY
    with open_sink(target, form, format=name, array=array, force=force) as sink, naming(target):
        sink.add(np.ascontiguousarray(depth_first(samples, form.axes)))
    return form.shape
