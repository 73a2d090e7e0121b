"""Compressing on many processes or machines: a folder of shards, one at a time on each worker.

Workers are those of a dask client; each needs velcodec, and sees the files and the folder under the
same paths. A worker that dies costs its unfinished shard's last block: another one goes on with it.
The manifest, which makes the folder an archive, is written last. Where the folder holds something
that is to be replaced, shards are made in `FOLDER.part` beside it, which replaces it in the end.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from velcodec.archive.edit import MODELS_PER_SHARD
from velcodec.encode.target import Target
from velcodec.files.compress import Job, compress_job, finished
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
    MissingExtraError,
    OptionError,
    OutputExistsError,
    VelcodecError,
    WorkerError,
)
from velcodec.formats.files import Models, open_models
from velcodec.formats.storage.atomic import (
    atomic_write,
    check_regular,
    exchange_folder,
    led_to,
    make_folder,
)
from velcodec.progress import Progress, no_progress

if TYPE_CHECKING:
    from velcodec.api import Description
    from velcodec.decoder import Decoder
    from velcodec.encode.encode import Summary

PLAN = "shards.plan"
"""The file beside unfinished shards that says what they were begun with."""

RETRIES = 3
LOCK_TRIALS = 30


@dataclass(frozen=True)
class Sharded:
    """What a distributed compression made: its shards, those that were there already, and the
    summary of the others.
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
    fit: str = "lm",
    decoder: str | Path | Decoder | None = None,
    device: str = "auto",
    embed_decoder: bool = False,
    on_progress: Progress = no_progress,
) -> Sharded:
    """Compress files of models on the workers of a `dask.distributed.Client`.

    `source` is what `velcodec.formats.files.open_models` takes, or gives; `target` a folder; how
    models are coded is said as to `velcodec.compress`. A shard that fails is tried again, `retries`
    times; where it fails for good the others are finished and kept before its error is raised.
    After that or an interruption `resume` keeps the shards that are finished: the models, every
    file's content and the options must be the same. With `force` what the folder holds is replaced
    when the new archive is whole. Raises what `velcodec.compress` does, WorkerError,
    OutputExistsError, InterruptedJobError.
    """
    from velcodec.api import Coding, Description

    promised = Target(psnr, max_error, lossless, bytes_per_model, keep_latent, latent_only)
    coding = Coding(promised, fit, decoder, device, embed_decoder)
    about = description or Description()
    models = source if isinstance(source, Models) else open_models(source, no_data=about.mask)
    job = Job(models, about, coding)
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
    """As `compress`, for a job; `threads` are those of each worker."""
    if models_per_shard < 1:
        raise OptionError(f"models per shard: found {models_per_shard}, expected 1 or more")
    _check_keys(job)
    target = target.absolute()
    work = _work_folder(target, force=force, resume=resume)
    job = replace(job, models=_absolute(job.models))
    job = replace(job, hashes=_hashes(job, client))
    plan = job.plan(models_per_shard=models_per_shard)
    ends = [*range(models_per_shard, len(job), models_per_shard), len(job)]
    ranges = list(zip([0, *ends[:-1]], ends, strict=True))
    paths = [work / shard_name(number) for number in range(len(ranges))]
    touched = [job.parts_of(range(a, b)) for a, b in ranges]
    _begin(work, plan, dict(zip(paths, touched, strict=True)), resume=resume)
    done: dict[int, tuple[Shard, Summary | None]] = {}
    for number, (path, (a, b)) in enumerate(zip(paths, ranges, strict=True)):
        if resume and path.exists():
            done[number] = _finished(path, b - a), None
    kept = len(done)
    futures = {
        client.submit(
            write_shard, job.slice(*ranges[number]), paths[number], threads,
            pure=False, retries=retries, key=f"velcodec-{paths[number]}-{id(job)}",
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
            "with --resume goes on"
        ) from stop
    finally:
        client.cancel(list(futures), force=True)
    if failed:
        failed[0].add_note(f"{len(failed)} of {len(ranges)} shards failed; the others are kept")
        raise failed[0]
    shards = tuple(done[number][0] for number in range(len(ranges)))
    write_manifest(work, shards, force=True)
    if work != target:
        exchange_folder(work, target, _is_own)
    (target / PLAN).unlink()
    return Sharded(shards, kept, _joined([done[number][1] for number in range(len(ranges))]))


def _check_keys(job: Job) -> None:
    """Raise OptionError where a key would be in two shards, or in one twice."""
    known: set[str] = set()  # of the texts that the job holds already
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
    """Each shard's result as it comes, or why no worker could finish it."""
    for future in _dask().as_completed(list(futures)):
        number = futures[future]
        try:
            yield number, future.result()
        except VelcodecError as error:
            yield number, error
        except Exception as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            yield number, WorkerError(f"{shard_name(number)}: {first}")


def write_shard(job: Job, path: Path, threads: int | None) -> tuple[Shard, Summary]:
    """Runs on a worker: one shard, gone on with where another worker left it."""
    from velcodec.parallel import set_threads

    set_threads(threads or 1)
    coding = replace(job.coding, device=device_here(job.coding.device))
    job = replace(job, coding=coding)
    for trial in range(LOCK_TRIALS):
        try:
            summary = compress_job(job, path, force=True, resume=True)
            return Shard(path.name, summary.models, summary.bytes), summary
        except LockedError:  # a worker that was given up is still at it
            if trial == LOCK_TRIALS - 1:
                raise
            time.sleep(1.0)
    raise AssertionError("no trial")


def device_here(device: str) -> str:
    """With `auto` and several GPUs, the one whose number is in this worker's name."""
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
                f"{path}: found {len(reader)} models, expected {models}: it was put there by "
                "something else; --force begins anew"
            )
        return Shard(path.name, models, reader.size)


def _work_folder(target: Path, *, force: bool, resume: bool) -> Path:
    """The folder to make shards in: the target, or the one beside it that takes its place.

    Raises OutputExistsError, OutputPathError.
    """
    check_regular(target)
    part = part_of(led_to(target))
    archive, begun = (target / MANIFEST).exists(), part.is_dir() and any(part.iterdir())
    if archive and not force:
        if resume and begun:
            raise OutputExistsError(
                f"{target}: holds an archive already, which {part} is to replace; go on with "
                "--resume --force"
            )
        if resume:
            raise finished(target)
        raise OutputExistsError(f"{target}: holds an archive already; replace it with --force")
    if resume and begun:
        return part
    filled = target.is_dir() and any(target.iterdir())
    if (filled or begun) and not (force or resume):
        raise OutputExistsError(
            f"{target if filled else part}: holds files already; go on with --resume, or replace "
            "them with --force"
        )
    # What is there stays until the new archive is whole.
    unfinished = resume and not archive and (target / PLAN).exists()
    return part if force and filled and not unfinished else target


def _begin(work: Path, plan: Plan, shards: Mapping[Path, range], *, resume: bool) -> None:
    """Make the folder and its plan, or see that what is there was begun with the same; `shards` are
    those to come, with the numbers of the files that each is of.

    Raises OptionError, OutputPathError.
    """
    make_folder(work)
    there = sorted(path for path in work.glob("shard-*") if _is_own(path.name))
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
    elif resume and there:
        raise OptionError(
            f"{work}: found shards without the plan that they were begun with ({PLAN}); --force "
            "begins anew"
        )
    else:
        for old in there:
            old.unlink()
        (work / MANIFEST).unlink(missing_ok=True)
    with atomic_write(work / PLAN, force=True) as stream:
        stream.write(pack_plan(plan))


def _is_own(name: str) -> bool:
    """Whether a file in a folder of shards is part of an archive, finished or not."""
    shard = re.fullmatch(r"shard-[0-9]+\.vlat(\.part)?", name)
    return name in (MANIFEST, PLAN) or shard is not None


def _hashes(job: Job, client: Any) -> Hashes:
    """The SHA-256 of every file, read by the workers. Raises InputFileError, WorkerError."""
    parts = list({part.path: part for part in job.models.parts}.values())
    futures = client.map(sha256_of, parts, pure=False)
    try:
        found = client.gather(futures)
    except VelcodecError:
        raise
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise WorkerError(f"files: {first}") from error
    return {part.path: digest for part, digest in zip(parts, found, strict=True)}


def _absolute(models: Models) -> Models:
    parts = tuple(replace(part, path=part.path.absolute()) for part in models.parts)
    return replace(models, parts=parts)


def _dask() -> Any:
    """The package `distributed`."""
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise MissingExtraError(
            "dask.distributed is not installed: pip install 'velcodec[dask]'"
        ) from error


@contextmanager
def connected(address: str, workers: int | None = None) -> Iterator[Any]:
    """A client of the scheduler at `address`; for `local`, of as many processes as there are GPUs,
    or cores, or `workers`, each with one thread. Raises MissingExtraError, WorkerError.
    """
    distributed = _dask()
    if address != "local":
        try:
            client = distributed.Client(address, timeout=20)
        except (OSError, ValueError) as error:
            raise WorkerError(f"{address}: no scheduler answers: {error}") from error
        with client:
            yield client
        return
    import torch

    count = workers or torch.cuda.device_count() or distributed.system.CPU_COUNT
    with (
        distributed.LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, silence_logs=40,
            dashboard_address=":0",  # any free port: None would bind 8787 all the same
        ) as cluster,
        distributed.Client(cluster) as client,
    ):  # fmt: skip
        yield client
