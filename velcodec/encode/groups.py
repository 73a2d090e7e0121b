"""Encoding batches of models into an archive, group by group.

Memory holds one group at a time, whatever the number of models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from velcodec.decode.stored import tables_of
from velcodec.encode.describe import Batch
from velcodec.encode.encode import GROUP_MODELS, GROUP_SAMPLES, Summary, encode_group
from velcodec.encode.fitting import Fitter
from velcodec.encode.pack import RANGE_STEP_M_S, Contents
from velcodec.encode.target import Target
from velcodec.encode.tiles import ModelSet
from velcodec.formats.container.columns import joined
from velcodec.formats.container.framing import START
from velcodec.formats.container.header import Header
from velcodec.formats.container.sections import HEADER, OPENING, pack_section
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.no_data import find_absent
from velcodec.formats.sample_coding.absent_mask import encode_absent
from velcodec.masks import filled

VOLUME_GROUP_SAMPLES = 1 << 24
"""A group of volumes ends with the one that exceeds so many samples."""

LARGEST_NUMBER = 1 << 32
"""No header number takes more bytes than this one."""


def joined_batches(batches: Sequence[Batch]) -> Batch:
    """Several batches as one. Keys are kept only if all batches have them."""
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
        batches[0].facts,
    )


def group_ends(sizes: Sequence[int], most_samples: int = GROUP_SAMPLES) -> list[int]:
    """Ends of the groups that models of these numbers of samples are split into.

    Groups are of nearly equal size: a last group of a few models would have little to share.
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


def _volume_ends(batch: Batch) -> list[int]:
    """Ends of the groups of a batch with volumes: neighbours of one layout, of a bounded number of
    samples.
    """
    ends, samples = [], 0
    for i, model in enumerate(batch.models):
        if i and (batch.layout_of[i] != batch.layout_of[i - 1] or samples > VOLUME_GROUP_SAMPLES):
            ends.append(i)
            samples = 0
        samples += model.size
    return [*ends, len(batch)]


class GroupEncoder:
    """Encodes batches of models and appends their records to an archive.

    `template` is a header without layouts and codings. `writer` continues an archive; without it,
    `begin` makes a writer for the first header.
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
        """Encode a batch group by group. Raises as `encode_group` does; earlier groups stay."""
        start = 0
        volumes = any(layout.is_volume for layout in batch.layouts)
        for end in _volume_ends(batch) if volumes else group_ends([m.size for m in batch.models]):
            self._add_group(batch.part(slice(start, end)))
            start = end

    def _add_group(self, batch: Batch) -> None:
        decoder, first = self.fitter.decoder, 0 if self.writer is None else len(self.writer)
        header = replace(self.template, layouts=batch.layouts)
        contents = Contents(
            header.with_facts(header.facts.or_else(batch.facts)),
            batch.layout_of,
            batch.keys,
            tables_of(decoder),
            RANGE_STEP_M_S,
            first=first,
            fields=batch.fields,
        )
        saved = 0 if self.writer is None else _saved(contents.header, self.writer.header)
        if batch.layouts[0].is_volume:
            from velcodec.encode.volumes import encode_volumes

            group = encode_volumes(
                batch.models, contents, self.target, saved, self.fitter.on_progress
            )
        else:
            source = _filled(batch)
            if source.absent:
                streams = [None if one is None else encode_absent(one) for one in source.absent]
                contents = replace(contents, absent=streams)
            group = encode_group(self.fitter, source, contents, self.target, saved)
            masked = sum(one is not None for one in source.absent)
            group = replace(group, summary=replace(group.summary, masked=masked))
        if self.writer is None:
            self.writer = self.begin(group.packed.header)
        group.packed.write(self.writer)
        summary = group.summary
        self.summary = summary if self.summary is None else self.summary.joined(summary)


def _filled(batch: Batch) -> ModelSet:
    """The models to code, with absent samples filled by values that cost little."""
    models: list[NDArray[np.generic]] = []
    absent: list[NDArray[np.bool_] | None] = []
    for model, number in zip(batch.models, batch.layout_of.tolist(), strict=True):
        no_data = batch.layouts[number].no_data
        mask = None if no_data is None else find_absent(model, no_data)
        mask = mask if mask is not None and mask.any() else None
        models.append(model if mask is None else filled(model, mask))
        absent.append(mask)
    any_absent = any(mask is not None for mask in absent)
    return ModelSet(models, batch.layouts[0].units, absent if any_absent else ())


def _saved(header: Header, first: Header) -> int:
    """The least number of bytes that a later group saves against an archive of its own."""
    whole = len(pack_section(HEADER, bytes(OPENING) + header.to_bytes()))
    later = header.to_bytes(first, LARGEST_NUMBER)
    return len(START) + whole - len(pack_section(HEADER, later))
