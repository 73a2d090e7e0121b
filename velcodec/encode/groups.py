"""An archive that grows: models come in batches and leave as records, group by group.

Memory holds one group at a time, whatever the number of models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.absent import filled
from velcodec.decode.stored import tables_of
from velcodec.decode.tiling import Int64
from velcodec.encode.encode import GROUP_MODELS, GROUP_SAMPLES, Summary, encode_group
from velcodec.encode.fitting import Fitter
from velcodec.encode.pack import RANGE_STEP_M_S, Contents
from velcodec.encode.target import Target
from velcodec.encode.tiles import ModelSet
from velcodec.formats.container.columns import Column, joined, take_fields
from velcodec.formats.container.framing import START
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.sections import HEADER, OPENING, pack_section
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.no_data import find_absent
from velcodec.formats.sample_coding.absent_mask import encode_absent

LARGEST_NUMBER = 1 << 32
"""No header's number takes more bytes than this one."""


@dataclass(frozen=True)
class Batch:
    """Some models: [z, x] views, all in the units of their layouts, with `layout_of` each of them
    in `layouts`, whose no-data value stands in place of absent samples; keys or None; columns of
    the user's.
    """

    models: Sequence[NDArray[np.generic]]
    layouts: tuple[Layout, ...]
    layout_of: Int64
    keys: Sequence[str] | None = None
    fields: Mapping[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.models)

    def part(self, some: slice) -> Batch:
        """Neighbouring models of this batch, with the layouts that they have."""
        used, layout_of = np.unique(self.layout_of[some], return_inverse=True)
        return Batch(
            self.models[some],
            tuple(self.layouts[int(number)] for number in used),
            layout_of.astype(np.int64),
            None if self.keys is None else self.keys[some],
            take_fields(self.fields, some),
        )


def joined_batches(batches: Sequence[Batch]) -> Batch:
    """Several batches as one; all have keys or none has, and all have the same fields."""
    if len(batches) == 1:
        return batches[0]
    layouts = list(dict.fromkeys(layout for batch in batches for layout in batch.layouts))
    numbers = [
        np.array([layouts.index(layout) for layout in batch.layouts])[batch.layout_of]
        for batch in batches
    ]
    keyed = all(batch.keys is not None for batch in batches)
    return Batch(
        [model for batch in batches for model in batch.models],
        tuple(layouts),
        np.concatenate(numbers).astype(np.int64),
        [key for batch in batches for key in batch.keys or ()] if keyed else None,
        {
            name: joined([(len(batch), batch.fields.get(name)) for batch in batches])
            for name in dict.fromkeys(name for batch in batches for name in batch.fields)
        },
    )


def group_ends(sizes: Sequence[int], most_samples: int = GROUP_SAMPLES) -> list[int]:
    """Where to cut models of these numbers of samples into groups, the last end included.

    Groups are of nearly one size: a last one of a few models would have nothing to share.
    """
    count = -(-len(sizes) // GROUP_MODELS)
    ends, samples = [], 0
    evenly = {len(sizes) * k // count for k in range(1, count + 1)} if sizes else set()
    for i, size in enumerate(sizes):
        if samples and samples + size > most_samples:
            ends.append(i)
            samples = 0
        samples += size
        if i + 1 in evenly:
            ends.append(i + 1)
            samples = 0
    return list(dict.fromkeys(ends))


class GroupEncoder:
    """Encodes batches of models and appends their records to an archive.

    `template` is a header complete but for layouts and codings; `writer` that of an archive which
    goes on, or `begin` makes one for the first header.
    """

    def __init__(
        self,
        fitter: Fitter,
        target: Target,
        template: Header,
        begin: Callable[[Header], VlatWriter],
        writer: VlatWriter | None = None,
    ) -> None:
        self.fitter, self.target, self.template = fitter, target, template
        self.begin, self.writer = begin, writer
        self.summary: Summary | None = None

    def add(self, batch: Batch) -> None:
        """Encode a batch, group by group. Raises as `encode_group`; groups before stay."""
        start = 0
        for end in group_ends([model.size for model in batch.models]):
            self._add_group(batch.part(slice(start, end)))
            start = end

    def _add_group(self, batch: Batch) -> None:
        decoder, first = self.fitter.decoder, 0 if self.writer is None else len(self.writer)
        contents = Contents(
            replace(self.template, layouts=batch.layouts),
            batch.layout_of,
            batch.keys,
            tables_of(decoder),
            RANGE_STEP_M_S,
            first=first,
            fields=batch.fields,
        )
        source = _filled(batch)
        if source.absent:
            streams = [None if one is None else encode_absent(one) for one in source.absent]
            contents = replace(contents, absent=streams)
        saved = 0 if self.writer is None else _saved(contents.header, self.writer.header)
        group = encode_group(self.fitter, source, contents, self.target, saved)
        if self.writer is None:
            self.writer = self.begin(group.packed.header)
        group.packed.write(self.writer)
        summary = group.summary
        self.summary = summary if self.summary is None else self.summary.joined(summary)


def _filled(batch: Batch) -> ModelSet:
    """The models to code: with something that costs little in place of absent samples."""
    models: list[NDArray[np.generic]] = []
    absent: list[NDArray[np.bool_] | None] = []
    for model, number in zip(batch.models, batch.layout_of.tolist(), strict=True):
        no_data = batch.layouts[number].no_data
        gone = None if no_data is None else find_absent(model, no_data)
        gone = gone if gone is not None and gone.any() else None
        models.append(model if gone is None else filled(model, gone))
        absent.append(gone)
    known = any(gone is not None for gone in absent)
    return ModelSet(models, batch.layouts[0].units, absent if known else ())


def _saved(header: Header, first: Header) -> int:
    """Bytes that an archive of one group has and a later group of an archive has not, at least."""
    whole = len(pack_section(HEADER, bytes(OPENING) + header.to_bytes()))
    later = header.to_bytes(first, LARGEST_NUMBER)
    return len(START) + whole - len(pack_section(HEADER, later))
