"""Compress any number of files in bounded memory; resumable.

Models are read, encoded, measured and written some hundreds at a time, to `TARGET.part`. After an
interruption the work resumes from there. The finished part is copied into place with every checksum
verified.
"""

from __future__ import annotations

import logging
import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgpack
import numpy as np
from numpy.typing import NDArray

from velcodec.archive.create import decoder_to_embed, layouts_of
from velcodec.effort import DEFAULT_EFFORT
from velcodec.encode.describe import Description, make_batch
from velcodec.encode.setup import Coding, group_encoder
from velcodec.encode.target import Target
from velcodec.files.origin_fields import ARRAY_FIELD, FILE_FIELD, ROW_FIELD
from velcodec.files.plans import (
    Hashes,
    Plan,
    check_same,
    hashes_of,
    make_plan,
    pack_plan,
    unpack_plan,
)
from velcodec.formats.container.append import append_to
from velcodec.formats.container.columns import is_text
from velcodec.formats.container.copying import copy_records
from velcodec.formats.container.header import Header
from velcodec.formats.container.journal import Journal, open_part, part_of, read_journal
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.sections import PLAN, SUMMARY
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    CorruptError,
    InputFileError,
    InterruptedJobError,
    OptionError,
    OutputExistsError,
    OutputPathError,
    VelcodecError,
)
from velcodec.formats.files import ARRAY, Form, Models, Part, first_of, open_models
from velcodec.formats.files.npy import ModelArray
from velcodec.formats.storage.atomic import atomic_write, check_target, naming
from velcodec.formats.storage.locks import lazy_property
from velcodec.geometry import GROUND_FIELDS
from velcodec.progress import Progress, no_progress

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.encode.describe import Batch
    from velcodec.encode.encode import Summary
    from velcodec.encode.groups import GroupEncoder

log = logging.getLogger(__name__)

MODELS_AT_ONCE = 500
"""Models read, encoded and committed together: the most that an interruption costs."""

MODELS_OF_BUDGET = 1000
"""The same for models that share a size budget."""

SAMPLES_AT_ONCE = 1 << 25


@dataclass(frozen=True)
class Job:
    """Models in files, and how to store them.

    The spacing, origin and units of `description` apply where a file states none. `keys` names all
    models, or None for the keys of the files; `fields` have one value for all models or one for
    each. `hashes` are the known SHA-256 of files.
    """

    models: Models
    description: Description = field(default_factory=Description)
    coding: Coding = field(default_factory=Coding)
    keys: Sequence[str] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    hashes: Hashes | None = None

    def __len__(self) -> int:
        return len(self.models)

    def __post_init__(self) -> None:
        count = len(self)
        if self.keys is not None and len(self.keys) != count:
            raise OptionError(f"keys: found {len(self.keys)}, expected one for each of {count}")
        if self.models.need_names:
            for part in self.models.parts:
                if not is_text(part.file):
                    raise InputFileError(
                        f"{part.path}: name: expected one that UTF-8 can hold: the archive keeps "
                        "the files' names"
                    )
        units = {self._units(part.form) or "m/s" for part in self.models.parts}
        if len(units) > 1:
            raise OptionError(f"units: found {sorted(units)}, expected the same in all files")
        for name, value in self.fields.items():
            if not isinstance(value, str) and np.ndim(value) and len(value) != count:
                raise OptionError(f"field {name!r}: found {len(value)}, expected {count}")

    def _units(self, form: Form) -> str | None:
        return form.units or self.description.units

    def blocks(self, start: int = 0) -> list[tuple[int, int]]:
        """Ranges (start, stop) of models to encode together, from model `start` on, balanced."""
        most = MODELS_AT_ONCE if self.coding.target.bytes_per_model is None else MODELS_OF_BUDGET
        count = -(-len(self) // most)
        ends = {len(self) * k // count for k in range(1, count + 1)}
        blocks, first, samples = [], 0, 0
        for number, size in enumerate(self._sizes()):
            if number > first and samples + size > SAMPLES_AT_ONCE:
                blocks.append((first, number))
                first, samples = number, 0
            samples += size
            if number + 1 in ends:
                blocks.append((first, number + 1))
                first, samples = number + 1, 0
        return [(a, b) for a, b in blocks if a >= start]

    def _sizes(self) -> Iterator[int]:
        for part in self.models.parts:
            yield from (part.form.samples for _ in range(len(part)))

    def batch(self, start: int, stop: int) -> Batch:
        """Models `start` to `stop`, read and checked; volumes are read as they are encoded."""
        from velcodec.encode.groups import joined_batches

        batches = []
        at = start
        for part, values in self.models.read_in_parts(start, stop):
            rows = slice(at, at + len(values))
            keys, fields = self._columns(part, rows)
            description = self._description_of(part)
            dtype, stated = np.dtype(part.form.dtype), description.units is not None
            models = cast("NDArray[Any]", values)  # volumes are asked for parts alone
            array = ModelArray(models, part.form.axes, dtype, description.units or "m/s")
            array = replace(array, name=part.place, units_stated=stated, z_up=part.form.z_up)
            batch = make_batch(
                array, description, keys, fields,
                advise=rows.start == 0, exact=self.coding.target.lossless, first=rows.start,
            )  # fmt: skip
            batches.append(batch)
            at = rows.stop
        return joined_batches(batches)

    def _description_of(self, part: Part) -> Description:
        return replace(
            self.description.on(part.form.ground),
            units=self._units(part.form),
            order=part.form.order,
            volume=part.form.ny is not None,
        )

    def _columns(self, part: Part, rows: slice) -> tuple[Sequence[str] | None, dict[str, Any]]:
        keys = self.keys[rows] if self.keys is not None else None
        if self._files_have_keys:
            first = self._firsts[id(part)]
            keys = (part.form.keys or ())[rows.start - first : rows.stop - first]
        fields = {
            name: value if isinstance(value, str) or not np.ndim(value) else value[rows]
            for name, value in self.fields.items()
        }
        start = rows.start - self._firsts[id(part)]
        stop = start + rows.stop - rows.start
        fields = self._origin(part, start, stop) | fields
        if part.form.grounds is not None:
            for name in GROUND_FIELDS:
                values = [getattr(ground, name) for ground in part.form.grounds[start:stop]]
                column = np.array(values, dtype=float)
                if not np.isnan(column).all():
                    fields.setdefault(name, column)
        return keys, fields

    def _origin(self, part: Part, start: int, stop: int) -> dict[str, Any]:
        """The fields that say where models `start` to `stop` of a part came from."""
        if not self.models.need_names:
            return {}
        first = first_of(part)
        rows = np.arange(first + start, first + stop, dtype="<i4")
        fields: dict[str, Any] = {FILE_FIELD: part.file, ROW_FIELD: rows}
        if self._has_arrays:
            fields[ARRAY_FIELD] = part.array or ""
        return fields

    @lazy_property
    def _has_arrays(self) -> bool:
        """Whether the names of arrays are worth storing."""
        return any(part.array not in (None, ARRAY) for part in self.models.parts) or (
            len({(part.path, part.array) for part in self.models.parts})
            > len({part.path for part in self.models.parts})
        )

    @lazy_property
    def _files_have_keys(self) -> bool:
        """Whether keys come from the files; every file must have them."""
        parts = self.models.parts
        return self.keys is None and all(part.form.keys is not None for part in parts)

    @property
    def has_keys(self) -> bool:
        """Whether models have keys other than their numbers."""
        return self.keys is not None or self._files_have_keys

    def keys_by_file(self) -> Iterator[tuple[str, Sequence[str]]]:
        """The keys of the models, by file; "" is the file of keys given by the user."""
        if self.keys is not None:
            yield "", self.keys
        elif self._files_have_keys:
            for part in self.models.parts:
                yield part.place, part.form.keys or ()

    @lazy_property
    def _firsts(self) -> dict[int, int]:
        """Number of the first model of each part, by the part's `id`."""
        pairs = zip(self.models.parts, self._ends, strict=True)
        return {id(part): end - len(part) for part, end in pairs}

    @lazy_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(part) for part in self.models.parts))

    def slice(self, start: int, stop: int) -> Job:
        """The job for models `start` to `stop` only."""
        fields = {
            name: value if isinstance(value, str) or not np.ndim(value) else value[start:stop]
            for name, value in self.fields.items()
        }
        models = self.models.slice(start, stop)
        origins = [self._origin(part, 0, len(part)) for part in models.parts]
        for name in origins[0]:
            columns = [
                [one[name]] * len(part) if isinstance(one[name], str) else one[name].tolist()
                for one, part in zip(origins, models.parts, strict=True)
            ]
            values = [value for column in columns for value in column]
            fields.setdefault(name, np.array(values, "<i4") if name == ROW_FIELD else values)
        hashes = self.hashes
        if hashes is not None:
            hashes = {part.path: hashes[part.path] for part in models.parts}
        return replace(
            self,
            hashes=hashes,
            models=models if self._files_have_keys else models.without_keys(),
            keys=None if self.keys is None else self.keys[start:stop],
            fields=fields,
        )

    def parts_of(self, models: range) -> range:
        """Numbers of the files and arrays that hold these models."""
        if not models:
            return range(0)
        first = bisect_right(self._ends, models.start)
        return range(first, bisect_left(self._ends, models.stop) + 1)

    def with_hashes(self) -> Job:
        """The job with the SHA-256 of every file; reads each once. Raises InputFileError."""
        known = dict(self.hashes or {})
        paths = {part.path for part in self.models.parts}
        if len(paths) == 1 and self.description.source_sha256 is not None:
            known = dict.fromkeys(paths, self.description.source_sha256) | known
        return replace(self, hashes=hashes_of(self.models, known))

    def plan(self, **more: Any) -> Plan:
        """What must stay the same to resume an unfinished archive; see `make_plan`."""
        job = self if self.hashes is not None else self.with_hashes()
        assert job.hashes is not None
        return make_plan(
            job.models, job.hashes, job.description, job.coding, job.keys, job.fields, **more
        )


def compress_files(
    sources: str | Path | Sequence[str | Path] | Models,
    target: str | Path | BinaryIO,
    *,
    psnr: float | None = None,
    bytes_per_model: float | None = None,
    max_error: float | None = None,
    lossless: bool = False,
    keep_latent: bool = False,
    latent_only: bool = False,
    effort: int = DEFAULT_EFFORT,
    decoder: str | Path | Decoder | None = None,
    device: str = "auto",
    embed_decoder: bool = False,
    description: Description | None = None,
    keys: Sequence[str] | None = None,
    fields: Mapping[str, Any] | None = None,
    force: bool = False,
    resume: bool = False,
    on_progress: Progress | None = None,
) -> Summary:
    """Compress files of models to an archive, in bounded memory.

    `sources` is a file, a folder, a pattern, a list of these, or what `velcodec.open_models` gives
    (with its options, such as the format). Spacing and origin that `description` states go before
    what files state; its units and axis order apply where a file states none.
    `keys` name the models in order, by default those of the files; `fields` have one value for all
    models or one for each. The coding options are those of `velcodec.compress`.

    `target` is a path, written whole or not at all, or a binary stream. After an interruption
    `resume` continues with the same models and options. Raises what `velcodec.compress` and
    `velcodec.open_models` raise, OutputExistsError for an existing file without `force` and for an
    unfinished archive without `resume` or `force`, LockedError while another process writes it,
    InterruptedJobError on Ctrl-C.
    """
    description = description or Description()
    models = models_of(sources, description)
    if len({part.path for part in models.parts}) == 1 and description.source_sha256 is None:
        description = replace(description, source_sha256=models.sha256())
    promised = Target(psnr, max_error, lossless, bytes_per_model, keep_latent, latent_only)
    job = Job(
        models,
        description,
        Coding(promised, effort, decoder, device, embed_decoder),
        description.keys if keys is None else keys,
        {**description.fields, **(fields or {})},
    )
    into = Path(target) if isinstance(target, str | os.PathLike) else target
    return compress_job(
        job, into, force=force, resume=resume, on_progress=on_progress or no_progress
    )


def models_of(
    sources: str | Path | Sequence[str | Path] | Models, description: Description
) -> Models:
    """The models of these sources, opened with what the description states of them unless they are
    open already. Raises what `velcodec.open_models` raises.
    """
    if isinstance(sources, Models):
        return sources
    return open_models(
        sources,
        unstated_order=description.axis_order,
        no_data=description.mask,
        ground=description.stated_ground(),
        volume=description.volume,
    )


def compress_job(
    job: Job,
    target: Path | BinaryIO,
    *,
    force: bool = False,
    resume: bool = False,
    on_progress: Progress = no_progress,
) -> Summary:
    """Compress the models of `job` to an archive; see `compress_files`.

    A path is written as `TARGET.part` until it is whole; a binary stream from front to back.
    `resume` needs the same job and the same content of every file.
    """
    if not isinstance(target, Path):
        return _to_stream(job, target, on_progress)
    sources = [part.path for part in job.models.parts]
    part = part_of(target)
    try:
        for source in dict.fromkeys(sources):
            check_target(target, force=force, source=source)
    except OutputExistsError as error:
        raise (finished(target) if resume and not part.exists() else error) from None
    if part.exists() and not (resume or force):
        raise OutputExistsError(
            f"{part}: found an unfinished archive; continue with --resume, or start again with "
            "--force"
        )
    job = job.with_hashes()
    with open_part(part, resume=resume) as (stream, journal):
        check_target(target, force=force)  # another process may have finished it since
        start = sum(page.count for page in journal.pages)
        try:
            before = _resumed_summary(job, part, journal, start)
        except VelcodecError:
            _keep(stream, part, journal.end, job)
            raise
        encoder = _encoder(job, stream, journal.writer(stream) if journal.end else None)
        if encoder.writer is not None and journal.notes[PLAN] != pack_plan(job.plan()):
            encoder.writer.note(PLAN, pack_plan(job.plan()))
        encoder.summary = before
        safe = journal.end
        try:
            for block in Rate(job.blocks(start), len(job), start, encoder, on_progress):
                batch = job.batch(*block)
                with naming(part):
                    encoder.add(batch)
                    _commit(encoder)
                safe = stream.tell()
        except KeyboardInterrupt as stop:
            raise InterruptedJobError(f"interrupted: {_keep(stream, part, safe, job)}") from stop
        except BaseException:
            kept = _keep(stream, part, safe, job)
            if safe:
                log.warning("%s", kept)
            raise
        assert encoder.writer is not None
        assert encoder.summary is not None
        encoder.writer.close()
        with VlatReader(part) as reader, atomic_write(target, force=force) as out, naming(target):
            final = VlatWriter(out, reader.header)
            copy_records(reader, final)
            final.close()
            size = out.tell()
        part.unlink()
    return replace(encoder.summary, bytes=size)


def finished(target: Path) -> OutputExistsError:
    """The error for a finished output, which leaves nothing to resume."""
    return OutputExistsError(
        f"{target}: the output is finished already (nothing to resume); replace it with --force"
    )


def _commit(encoder: GroupEncoder) -> None:
    """End a page with the summary so far: a later run resumes from here."""
    writer, summary = encoder.writer, encoder.summary
    assert writer is not None
    assert summary is not None
    writer.note(SUMMARY, msgpack.packb(asdict(summary)))
    writer.end_page()


def _keep(stream: BinaryIO, part: Path, safe: int, job: Job) -> str:
    """Make an archive of the first `safe` bytes; return the message for the user."""
    with suppress(OSError, OutputPathError):  # on a full disk the part can still be resumed
        stream.truncate(safe)
        stream.seek(0)
        if safe:
            journal = read_journal(stream, str(part))
            stream.seek(journal.end)
            writer = journal.writer(stream)
            writer.close()
            return (
                f"{part} is an archive of the first {len(writer)} of {len(job)} models; the same "
                "command with --resume continues"
            )
    return f"none of {len(job)} models was finished"


def append_job(
    job: Job, target: Path, *, ignore_rest: bool = False, on_progress: Progress = no_progress
) -> Summary:
    """Add the models of `job` to an existing archive, without rewriting it.

    An interruption leaves the archive unchanged. Spacing and origin that nobody states are those of
    the archive, if all its models have the same. Raises what `compress_job` and `velcodec.append`
    raise.
    """
    with append_to(target, ignore_rest=ignore_rest) as writer:
        job = replace(job, description=job.description.like(layouts_of(writer.headers())))
        encoder = group_encoder(job.description, job.coding, _no_beginning, writer)
        embedded = decoder_to_embed(encoder.fitter.decoder.identity or b"", job.coding)
        if embedded is not None:
            writer.embed(embedded)
        try:
            for block in Rate(job.blocks(), len(job), 0, encoder, on_progress):
                encoder.add(job.batch(*block))
        except KeyboardInterrupt as stop:
            raise InterruptedJobError(f"interrupted: {target} is as it was") from stop
    assert encoder.summary is not None
    return encoder.summary


def _no_beginning(header: Header) -> VlatWriter:
    raise AssertionError("the archive is there already")


def _to_stream(job: Job, stream: BinaryIO, on_progress: Progress) -> Summary:
    counted = _Counted(stream)
    encoder = _encoder(job, counted, None)  # type: ignore[arg-type]
    for block in Rate(job.blocks(), len(job), 0, encoder, on_progress):
        encoder.add(job.batch(*block))
    assert encoder.writer is not None
    assert encoder.summary is not None
    encoder.writer.close()
    return replace(encoder.summary, bytes=counted.written)


def _encoder(job: Job, stream: BinaryIO, writer: VlatWriter | None) -> GroupEncoder:
    journal = not isinstance(stream, _Counted)

    def begin(header: Header) -> VlatWriter:
        embedded = decoder_to_embed(header.decoder_hash, job.coding)
        begun = VlatWriter(stream, header, decoder=embedded, journal=journal)
        if journal:
            begun.note(PLAN, pack_plan(job.plan()))
        return begun

    return group_encoder(job.description, job.coding, begin, writer)


def _resumed_summary(job: Job, part: Path, journal: Journal, models: int) -> Summary | None:
    """The summary of the first `models` models in an unfinished archive; None if it is empty."""
    from velcodec.encode.encode import Summary

    if not journal.end:
        return None
    begun = unpack_plan(journal.notes.get(PLAN, b""), str(part))
    check_same(begun, job.plan(), str(part), job.parts_of(range(models)))
    try:
        return Summary(**msgpack.unpackb(journal.notes[SUMMARY]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"{part}: summary: {error}") from error


class Rate:
    """The blocks of a job in order; adds rate and time left to the progress text."""

    def __init__(
        self,
        blocks: list[tuple[int, int]],
        count: int,
        start: int,
        encoder: GroupEncoder,
        on_progress: Progress,
    ) -> None:
        self.blocks, self.count, self.start = blocks, count, start
        self.encoder, self.on_progress = encoder, on_progress

    def __iter__(self) -> Iterator[tuple[int, int]]:
        began, done = time.monotonic(), self.start
        for block in self.blocks:
            rate = (done - self.start) / max(1e-9, time.monotonic() - began)
            self.encoder.fitter = replace(
                self.encoder.fitter, on_progress=self._progress(done, rate)
            )
            yield block
            done = block[1]

    def _progress(self, done: int, rate: float) -> Progress:
        if len(self.blocks) == 1:
            return self.on_progress
        text = f"{done:,} of {self.count:,} models"
        if rate > 0:
            left = (self.count - done) / rate
            text += f", {rate:.3g}/s, {time_text(left)} left"

        def progress(part: int, parts: int, stage: str) -> None:
            self.on_progress(part, parts, f"{text}; {stage}")

        return progress


def time_text(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Counted:
    """A binary stream that counts the bytes written."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.written = stream, 0

    def write(self, data: bytes) -> int:
        self.written += len(data)
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        raise OSError(f"process {os.getpid()}: a pipe has nothing to sync")
