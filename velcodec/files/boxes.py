"""Writing a box of a volume to a file of any format that holds volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from velcodec.archive.archive import Archive, Number
from velcodec.decode.volumes import checked_box, open_volume
from velcodec.files.decompress import Decompression, form_of
from velcodec.formats.files import ARRAY, open_sink
from velcodec.formats.files.base import depth_first
from velcodec.formats.storage.atomic import naming


def decompress_box(
    archive: Archive,
    which: Number,
    box: Sequence[slice | tuple[int, int]],
    target: str | Path,
    options: Decompression | None = None,
    *,
    force: bool = False,
) -> tuple[int, ...]:
    """Write the samples of a box (z, y, x) of a volume to one file, whose origin is that of the
    box; return the shape of its array.

    Raises what `Archive.box` raises, OutputExistsError unless `force`, OutputPathError,
    MissingExtraError.
    """
    options, target = options or Decompression(), Path(target)
    number = archive.index(which)
    layout = open_volume(archive.reader, number).layout
    part = checked_box(box, layout, f"{archive.reader.name}: model {number}")
    sizes = [each.stop - each.start for each in part]
    form = form_of(archive, [number], None)
    ground = form.ground
    starts = {axis: each.start for axis, each in zip("zyx", part, strict=True)}
    moved = {
        f"origin_{axis}_m": getattr(ground, f"origin_{axis}_m")
        + starts[axis] * getattr(ground, f"d{axis}_m")
        for axis in "zyx"
    }
    form = replace(
        form, nz=sizes[0], ny=sizes[1], nx=sizes[2], axes=form.order,
        ground=replace(ground, **moved),
    )  # fmt: skip
    samples = archive.box(number, part, allow_large=options.allow_large)
    name = options.format_of(target)
    array = options.array or ARRAY
    with open_sink(target, form, format=name, array=array, force=force) as sink, naming(target):
        sink.add(np.ascontiguousarray(depth_first(samples, form.axes)))
    return form.shape
