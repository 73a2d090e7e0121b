"""Writing a box of a volume to a file of any format that holds volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from velcodec.archive.archive import Archive
from velcodec.archive.numbers import Number
from velcodec.files.decompress import Decompression, form_of
from velcodec.files.lost import warn_of_lost
from velcodec.formats.files import ARRAY, open_sink
from velcodec.formats.storage.atomic import naming


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
    """Write the samples of a box (z, y, x) of a volume, each range without its last number, or its
    field at `res` as for `Archive.box`, to one file, whose origin is that of the box; return the
    shape of its array. Formats that take planes in turn need memory for some planes alone.

    Raises what `Archive.box` raises, OutputExistsError unless `force`, OutputPathError,
    MissingExtraError.
    """
    options, target = options or Decompression(), Path(target)
    number = archive.index(which)
    part = archive.box_in_parts(
        number, box, res, average=options.average, allow_large=options.allow_large
    )
    form = form_of(archive, [number], None)
    moved = {}
    for axis, each, count in zip("zyx", part.box, part.sizes, strict=True):
        step, origin = (getattr(form.ground, name) for name in (f"d{axis}_m", f"origin_{axis}_m"))
        finer = step * (each.stop - each.start) / count
        moved[f"d{axis}_m"] = finer
        moved[f"origin_{axis}_m"] = origin + each.start * step + (finer - step) / 2
    nz, ny, nx = part.sizes
    ground = replace(form.ground, **moved)
    form = replace(form, nz=nz, ny=ny, nx=nx, axes=form.order, ground=ground)
    name, array = options.format_of(target), options.array or ARRAY
    with open_sink(target, form, format=name, array=array, force=force) as sink, naming(target):
        sink.add_volume(part.read, part.edges)
    warn_of_lost(archive, target, [(name, form)])
    return form.shape
