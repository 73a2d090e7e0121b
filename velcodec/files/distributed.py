"""Compress on many processes or machines, to a folder of shards; each worker writes one at a time.

The workers are those of a dask client. Each has velcodec installed and sees the files and the
folder under the same paths. If a worker dies, another resumes its shard, at the cost of the last
block. The manifest, which makes the folder an archive, is written last. To replace a folder, shards
are made in `FOLDER.part` beside it, which takes its place at the end.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from velcodec.archive.edit import MODELS_PER_SHARD
from velcodec.effort import DEFAULT_EFFORT
from velcodec.encode.describe import warn_of_unused_mask
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target
from velcodec.files.compress import compress_part, finished
from velcodec.files.job import Job, models_of
from velcodec.files.plans import (
    Hashes,
    Plan,
    changed_files,
    check_same,
    pack_plan,
    sha256_of,
    unpack_plan,
)
from velcodec.formats.container.journal import part_of
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.shards import MANIFEST, Shard, shard_name, write_manifest
from velcodec.formats.errors import (
    InterruptedJobError,
    LockedError,
    OptionError,
    OutputExistsError,
    VelcodecError,
    WorkerError,
)
from velcodec.formats.extras import need_torch, needed
from velcodec.formats.files import Models
from velcodec.formats.storage.atomic import (
    atomic_write,
    check_regular,
    exchange_folder,
    led_to,
    make_folder,
)
from velcodec.formats.storage.file_locks import CAN_LOCK, lock_file
from velcodec.parallel import cores, set_threads
from velcodec.progress import Progress, no_progress

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.encode.encode import Summary

log = logging.getLogger(__name__)

PLAN = "shards.plan"
"""The file, beside unfinished shards, with their plan."""

RETRIES = 3
LOCK_TRIALS = 30


@dataclass(frozen=True)
class Sharded:
    """The result of a distributed compression: all shards, how many of them were kept from an
    earlier run, and the summary of the others.
    """

    shards: tuple[Shard, ...]
    kept: int
    summary: Summary | None


def compress(
    source: Any,
    target: str | Path,
    *,
    client: Any,
    models_per_shard: int = MODELS_PER_SHARD,
    force: bool = False,
    resume: bool = False,
    retries: int = RETRIES,
    description: Description | None = None,
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
    on_progress: Progress = no_progress,
) -> Sharded:
    """Compress files of models on the workers of a `dask.distributed.Client`.

    `source` is what `velcodec.open_models` takes or gives, `target` a folder; the coding options
    are those of `velcodec.compress`. A shard that fails is retried `retries` times; if it still
    fails, the other shards are finished and kept before its error is raised. `resume` then keeps
    the finished shards, also after an interruption; it needs the same models, content of every file
    and options. `force` replaces the content of the folder when the new archive is whole. Raises
    what `velcodec.compress` raises, WorkerError, OutputExistsError, InterruptedJobError.
    """
    need_torch("velcodec.distributed.compress")
    promised = Target(psnr, max_error, lossless, bytes_per_model, keep_latent, latent_only)
    coding = Coding(promised, effort, decoder, device, embed_decoder)
    description = description or Description()
    job = Job(models_of(source, description), description, coding)
    return compress_shards(
        job,
        Path(target),
        client=client,
        models_per_shard=models_per_shard,
        force=force,
        resume=resume,
        retries=retries,
        on_progress=on_progress,
    )


def compress_shards(
    job: Job,
    target: Path,
    *,
    client: Any,
    models_per_shard: int = MODELS_PER_SHARD,
    force: bool = False,
    resume: bool = False,
    retries: int = RETRIES,
    threads: int | None = None,
    on_progress: Progress = no_progress,
) -> Sharded:
    """As `compress`, for a job, with this number of `threads` on each worker."""
    if models_per_shard < 1:
        raise OptionError(f"models per shard: found {models_per_shard}, expected 1 or more")
    _check_keys(job)
    target = target.absolute()
    work = _work_folder(target, force=force, resume=resume)
    is_new = not work.exists()
    make_folder(work)
    with _locked(target, work):
        if _work_folder(target, force=force, resume=resume) != work:
            raise LockedError(f"{target}: another process wrote it meanwhile")
        job = replace(job, models=_absolute(job.models))
        run = _Run(work, is_new, models_per_shard, resume, retries, threads)
        sharded = _make_shards(job, run, client, on_progress)
        if work != target:
            exchange_folder(work, target, _is_part_of_archive)
        (target / PLAN).unlink()
    return sharded


@dataclass(frozen=True)
class _Run:
    """The folder in which shards are made, whether it is new, and how they are made."""

    folder: Path
    is_new: bool
    models_per_shard: int
    resume: bool
    retries: int
    threads: int | None


def _make_shards(job: Job, run: _Run, client: Any, on_progress: Progress) -> Sharded:
    """Make every shard and the manifest. Raises as `compress`."""
    work, models_per_shard, resume = run.folder, run.models_per_shard, run.resume
    try:
        job = replace(job, hashes=_hashes(job, client))
    except VelcodecError:
        _remove_unused(run)
        raise
    plan = job.plan(models_per_shard=models_per_shard)
    ends = [*range(models_per_shard, len(job), models_per_shard), len(job)]
    ranges = list(zip([0, *ends[:-1]], ends, strict=True))
    paths = [work / shard_name(number) for number in range(len(ranges))]
    parts = [job.parts_of(range(a, b)) for a, b in ranges]
    _begin(work, plan, dict(zip(paths, parts, strict=True)), resume=resume)
    done: dict[int, tuple[Shard, Summary | None]] = {}
    for number, (path, (a, b)) in enumerate(zip(paths, ranges, strict=True)):
        if resume and path.exists():
            done[number] = _finished(path, b - a), None
    kept = len(done)
    futures = {
        client.submit(
            write_shard, job.slice(*ranges[number]), paths[number], run.threads,
            pure=False, retries=run.retries, key=f"velcodec-{paths[number]}-{id(job)}",
        ): number
        for number in range(len(ranges)) if number not in done
    }  # fmt: skip
    failed: list[VelcodecError] = []
    models = sum(b - a for number, (a, b) in enumerate(ranges) if number in done)
    try:
        for number, result in _results(futures):
            if isinstance(result, VelcodecError):
                failed.append(result)
                continue
            shard, summary = result
            done[number] = (
                shard,
                summary if job.has_keys else summary.from_number(ranges[number][0]),
            )
            models += shard.models
            on_progress(models, len(job), f"{len(done):,} of {len(ranges):,} shards")
    except KeyboardInterrupt as stop:
        raise InterruptedJobError(
            f"interrupted: {len(done)} of {len(ranges)} shards are in {work}; the same command "
            "with --resume continues"
        ) from stop
    finally:
        client.cancel(list(futures), force=True)
    if failed:
        _remove_unused(run)
        failed[0].add_note(f"{len(failed)} of {len(ranges)} shards failed; the others are kept")
        raise failed[0]
    shards = tuple(done[number][0] for number in range(len(ranges)))
    write_manifest(work, shards, force=True)
    whole = _joined([done[number][1] for number in range(len(ranges))])
    if whole is not None and not kept:  # shards that were kept may have had absent samples
        warn_of_unused_mask(job.description.mask, whole.masked, job.place)
    return Sharded(shards, kept, whole)


def _remove_unused(run: _Run) -> None:
    """Remove a new folder that holds nothing to resume."""
    names = {path.name for path in run.folder.iterdir()}
    if run.is_new and names <= {PLAN}:
        (run.folder / PLAN).unlink(missing_ok=True)
        led_to(run.folder).rmdir()


@contextmanager
def _locked(*folders: Path) -> Iterator[None]:
    """Keep other processes from making shards in these folders, where the system can. Raises
    LockedError.
    """
    with ExitStack() as held:
        for folder in dict.fromkeys(led_to(folder) for folder in folders):
            if not CAN_LOCK or not folder.is_dir():
                continue
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            held.callback(os.close, handle)
            try:
                lock_file(handle)
            except BlockingIOError as error:
                raise LockedError(f"{folder}: another process is making shards in it") from error
            except OSError as error:  # the file system cannot lock folders
                log.debug("%s: %s", folder, error)
        yield


def _check_keys(job: Job) -> None:
    """Raise OptionError if a key occurs twice, in one shard or in two."""
    known: set[str] = set()  # holds references to the job's strings, no copies
    for file, keys in job.keys_by_file():
        for key in keys:
            if key in known:
                where = f"{file}: " if file else ""
                raise OptionError(f"{where}key {key!r}: found it twice, expected each key once")
            known.add(key)


def _joined(summaries: list[Summary | None]) -> Summary | None:
    whole: Summary | None = None
    for summary in summaries:
        if summary is not None:
            whole = summary if whole is None else whole.joined(summary)
    return whole


def _results(
    futures: dict[Any, int],
) -> Iterator[tuple[int, tuple[Shard, Summary] | VelcodecError]]:
    """The result of each shard as it arrives, or the error that ended it."""
    for future in needed("distributed", "dask").as_completed(list(futures)):
        number = futures[future]
        try:
            yield number, future.result()
        except VelcodecError as error:
            yield number, error
        except Exception as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            yield number, WorkerError(f"{shard_name(number)}: {first}")


def write_shard(job: Job, path: Path, threads: int | None) -> tuple[Shard, Summary]:
    """Runs on a worker: write one shard, or resume one that another worker left."""
    set_threads(threads or 1)
    coding = replace(job.coding, device=device_here(job.coding.device))
    job = replace(job, coding=coding)
    for trial in range(LOCK_TRIALS):
        try:
            summary = compress_part(job, path, force=True, resume=True)
            return _finished(path, summary.models), summary
        except LockedError:  # an abandoned worker is still writing
            if trial == LOCK_TRIALS - 1:
                raise
            time.sleep(1.0)
    raise AssertionError("no trial")


def device_here(device: str) -> str:
    """The device of this worker: with `auto` and several GPUs, the one numbered in its name."""
    if device != "auto":
        return device
    import torch
    from distributed import get_worker

    count = torch.cuda.device_count()
    if count < 2:
        return device
    digits = re.findall(r"\d+", str(get_worker().name))
    return f"cuda:{int(digits[-1]) % count if digits else 0}"


def _finished(path: Path, models: int) -> Shard:
    with VlatReader(path) as reader:
        if len(reader) != models:
            raise OptionError(
                f"{path}: found {len(reader)} models, expected {models}: another "
                "program wrote it; --force starts again"
            )
        return Shard(path.name, models, reader.size, reader.stamp.hex())


def _work_folder(target: Path, *, force: bool, resume: bool) -> Path:
    """The folder in which to make shards: the target, or the `.part` that will replace it.

    Raises OutputExistsError, OutputPathError.
    """
    check_regular(target)
    part = part_of(led_to(target))
    archive, begun = (target / MANIFEST).exists(), part.is_dir() and any(part.iterdir())
    if archive and not force:
        if resume and begun:
            raise OutputExistsError(
                f"{target}: holds an archive already, which {part} is to replace; continue "
                "with --resume --force"
            )
        if resume:
            raise finished(target)
        raise OutputExistsError(f"{target}: holds an archive already; replace it with --force")
    if resume and begun:
        return part
    filled = target.is_dir() and any(target.iterdir())
    if (filled or begun) and not (force or resume):
        raise OutputExistsError(
            f"{target if filled else part}: holds files already; continue with --resume, or "
            "replace them with --force"
        )
    # The old content stays until the new archive is whole.
    unfinished = resume and not archive and (target / PLAN).exists()
    return part if force and filled and not unfinished else target


def _begin(work: Path, plan: Plan, shards: Mapping[Path, range], *, resume: bool) -> None:
    """Make the folder and its plan, or check that the existing plan is the same.

    `shards` maps the path of every shard to the numbers of its files. Raises OptionError,
    OutputPathError.
    """
    make_folder(work)
    existing = sorted(path for path in work.glob("shard-*") if _is_part_of_archive(path.name))
    try:
        begun = (work / PLAN).read_bytes() if resume else None
    except FileNotFoundError:
        begun = None
    if begun is not None:
        before = unpack_plan(begun, str(work / PLAN))
        stored = {number for path, files in shards.items() if path.exists() for number in files}
        check_same(before, plan, str(work), stored)
        for changed in changed_files(before, plan):
            for path, files in shards.items():
                if changed in files:
                    part_of(path).unlink(missing_ok=True)
    elif resume and existing:
        raise OptionError(f"{work}: found shards without their plan ({PLAN}); --force starts again")
    else:
        for old in existing:
            old.unlink()
        (work / MANIFEST).unlink(missing_ok=True)
    with atomic_write(work / PLAN, force=True) as stream:
        stream.write(pack_plan(plan))


def _is_part_of_archive(name: str) -> bool:
    """Whether a file in a folder of shards is part of an archive, finished or not."""
    shard = re.fullmatch(r"shard-[0-9]+\.vlat(\.part)?", name)
    return name in (MANIFEST, PLAN) or shard is not None


def _hashes(job: Job, client: Any) -> Hashes:
    """The SHA-256 of every file, computed by the workers. Raises InputFileError, WorkerError."""
    parts = list({part.path: part for part in job.models.parts}.values())
    futures = client.map(sha256_of, parts, pure=False)
    try:
        digests = client.gather(futures)
    except VelcodecError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise WorkerError(f"files: {first}") from error
    return {part.path: digest for part, digest in zip(parts, digests, strict=True)}


def _absolute(models: Models) -> Models:
    parts = tuple(replace(part, path=part.path.absolute()) for part in models.parts)
    return replace(models, parts=parts)


@contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[Any]:
    """A client of the scheduler at `address`. `local` starts one-threaded processes: `workers` of
    them, by default one for each GPU or, without GPUs, each core.

    Raises MissingExtraError, WorkerError.
    """
    distributed = needed("distributed", "dask")
    if address != "local":
        try:
            # As the default, one that failed would stay behind for xarray and others.
            client = distributed.Client(address, timeout=20, set_as_default=False)
        except (OSError, ValueError) as error:
            raise WorkerError(f"{address}: no scheduler answers: {error}") from error
        with client:
            yield client
        return
    import torch

    count = workers or torch.cuda.device_count() or cores()
    with (
        distributed.LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, silence_logs=40,
            dashboard_address=":0",  # any free port; None would bind 8787
        ) as cluster,
        distributed.Client(cluster) as client,
    ):  # fmt: skip
        yield client
