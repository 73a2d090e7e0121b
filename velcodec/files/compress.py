"""Compress any number of files in bounded memory; resumable.

Models are read, encoded, measured and written some hundreds at a time, to `TARGET.part`. After an
interruption the work resumes from there. The finished part is copied into place with every checksum
verified.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgpack

from velcodec.archive.create import decoder_to_embed, layouts_of
from velcodec.effort import DEFAULT_EFFORT
from velcodec.encode.describe import warn_of_unused_mask
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding, group_encoder
from velcodec.encode.target import Target
from velcodec.files.job import Job, models_of
from velcodec.files.plans import (
    check_same,
    pack_plan,
    unpack_plan,
)
from velcodec.formats.container.append import append_to
from velcodec.formats.container.copying import copy_records
from velcodec.formats.container.header import Header
from velcodec.formats.container.journal import Journal, open_part, part_of, read_journal
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.sections import PLAN, SUMMARY
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    CorruptError,
    InterruptedJobError,
    OutputExistsError,
    OutputPathError,
    VelcodecError,
)
from velcodec.formats.extras import need_torch
from velcodec.formats.files import Models
from velcodec.formats.storage.atomic import atomic_write, check_target, naming
from velcodec.progress import Progress, no_progress

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.encode.encode import Summary
    from velcodec.encode.groups import GroupEncoder

log = logging.getLogger(__name__)


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
    facts: Mapping[str, Any] | None = None,
    force: bool = False,
    resume: bool = False,
    on_progress: Progress | None = None,
) -> Summary:
    """Compress files of models to an archive, in bounded memory.

    `sources` is a file, a folder, a pattern, a list of these, or what `velcodec.open_models` gives
    (with its options, such as the format). Spacing and origin that `description` states go before
    what files state, and so do its facts and those of `facts`; its units and axis order apply where
    a file states none.
    `keys` name the models in order, by default those of the files; `fields` have one value for all
    models or one for each. The coding options are those of `velcodec.compress`.

    `target` is a path, written whole or not at all, or a binary stream. After an interruption
    `resume` continues with the same models and options. Raises what `velcodec.compress` and
    `velcodec.open_models` raise, OutputExistsError for an existing file without `force` and for an
    unfinished archive without `resume` or `force`, LockedError while another process writes it,
    InterruptedJobError on Ctrl-C.
    """
    need_torch("velcodec.compress_files")
    description = description or Description()
    description = replace(description, facts={**description.facts, **(facts or {})})
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
    if isinstance(target, Path):
        summary = compress_part(job, target, force=force, resume=resume, on_progress=on_progress)
    else:
        summary = _to_stream(job, target, on_progress)
    warn_of_unused_mask(job.description.mask, summary.masked, job.place)
    return summary


def compress_part(
    job: Job, target: Path, *, force: bool, resume: bool, on_progress: Progress = no_progress
) -> Summary:
    """As `compress_job` to a path, for models that may be a part of what is compressed: what only
    shows when all are encoded is left to the caller.
    """
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
        found = layouts_of(writer.headers(), job.described.stated_facts())
        job = replace(job, description=job.description.like(found))
        encoder = group_encoder(job.described, job.coding, _no_beginning, writer)
        embedded = decoder_to_embed(encoder.fitter.decoder.identity or b"", job.coding)
        if embedded is not None:
            writer.embed(embedded)
        try:
            for block in Rate(job.blocks(), len(job), 0, encoder, on_progress):
                encoder.add(job.batch(*block))
        except KeyboardInterrupt as stop:
            raise InterruptedJobError(f"interrupted: {target} is as it was") from stop
    assert encoder.summary is not None
    warn_of_unused_mask(job.description.mask, encoder.summary.masked, job.place)
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

    return group_encoder(job.described, job.coding, begin, writer)


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
