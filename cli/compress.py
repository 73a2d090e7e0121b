"""`velcodec compress` and `append`: files of models to a `.vlat` archive."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.encoding import job_of
from velcodec.cli.failures import note_file
from velcodec.cli.info import stored_text
from velcodec.cli.outputs import WritesArchive
from velcodec.cli.progress import progress
from velcodec.cli.report import count, say, show_json
from velcodec.cli.sources import check_output, is_piped, named, on_disk, short_name, writable

if TYPE_CHECKING:
    from velcodec.encode.encode import Summary
    from velcodec.files.distributed import Sharded
    from velcodec.files.job import Job

input_options = options.together(
    options.source,
    options.files,
    options.geometry,
    options.volume,
    options.mask,
    options.coding,
    options.decoder,
    click.option(
        "--keys",
        type=options.PATH,
        metavar="FILE",
        help="Text file with a key for each model, one a line.  [default: the keys in the files, "
        "or numbers]",
    ),
    click.option("--key-prefix", metavar="TEXT", help="Name the models TEXT0, TEXT1, ..."),
    click.option("--family", metavar="TEXT", help="Kind of geology, kept as the field family."),
    click.option(
        "--field",
        multiple=True,
        callback=options.assignments,
        metavar="NAME=VALUE",
        help="Another field for all models; may be repeated.",
    ),
    options.facts,
    click.option(
        "--embed-decoder",
        is_flag=True,
        help="Put the decoder (about 1 MB) into the archive, which then needs only a reader.",
    ),
    options.device,
    options.as_json,
)
"""What to compress, and how: the options that `compress` and `append` share."""


@click.command(cls=WritesArchive, short_help="Compress files of models.")
@click.argument("sources", metavar="IN...", type=options.PATH, nargs=-1, required=True)
@click.argument("target", metavar="OUT.VLAT", type=options.PATH, is_eager=True)
@input_options
@click.option("--resume", is_flag=True, help="Continue after an interruption.")
@click.option(
    "--dask",
    metavar="ADDRESS|local",
    help="Compress to a folder of shards, on the workers of this dask scheduler or on all cores or "
    "GPUs of this machine.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --dask local: number of processes.",
)
@click.option(
    "--models-per-shard",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --dask: models in each shard.  [default: 5000]",
)
@options.force
def compress(
    sources: tuple[Path, ...],
    target: Path,
    force: bool,
    resume: bool,
    as_json: bool,
    dask: str | None,
    workers: int | None,
    models_per_shard: int | None,
    **settings: Any,
) -> None:
    """Compress the velocity models of IN to the archive OUT.VLAT (- is the standard output).

    IN is a file, a folder of files or a pattern, or several of these: .npy, .npz, HDF5, NetCDF,
    Zarr, SEG-Y, RSF or raw; - is one file from the standard input. Arrays are (nz,nx), (n,nz,nx) or
    (n,1,nz,nx) of float32, float64 or integers, or volumes (--volume). Promise a PSNR (by default
    35 dB, or more where layers hardly differ), an error bound, every bit, or a size; each model
    takes the bytes that this needs. Every model is read back and measured. After an interruption,
    --resume continues.

    \b
    Example:
      velcodec compress models.npy models.vlat --dx 10 --dz 10
      velcodec compress models.npy better.vlat --psnr 40
      velcodec compress models.npy small.vlat --bytes-per-model 64
      velcodec compress models.npy same.vlat --lossless
      velcodec compress FlatFault_A/ faults.vlat --family flatfault_a
      velcodec compress km.npy km.vlat --units km/s --order xz --licence "CC BY 4.0"
      velcodec compress FlatVel_A/ flatvel/ --dask local
      velcodec compress volume.npy volume.vlat --volume --dy 25 --max-error 5
      velcodec compress vp.npy vp.vlat --crs EPSG:32631 --doi 10.5281/zenodo.1234567
    """
    if dask is None and (workers or models_per_shard):
        raise click.UsageError("--workers and --models-per-shard go with --dask")
    if dask is not None and any(map(is_piped, sources)):
        raise click.UsageError("--dask reads files, not the standard input")
    check_output(target)
    from velcodec.files.compress import compress_job

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # batch queues end jobs so
    started = time.perf_counter()
    with (
        note_file(*map(named, sources), target),
        on_disk(sources) as files,
        progress(short_name(sources[0])) as update,
    ):
        job = job_of(files, settings)
        if dask is not None:
            shards = (models_per_shard, workers, settings["threads"])
            sharded = compress_on(dask, job, target, shards, force, resume, update)
            seconds = time.perf_counter() - started
            show_shards(sources, target, job, sharded, seconds, as_json)
            return
        summary = compress_job(
            job, writable(target), force=force, resume=resume, on_progress=update
        )
    seconds = time.perf_counter() - started
    show_summary(sources, target, job, summary, seconds, as_json)


def compress_on(
    address: str,
    job: Job,
    target: Path,
    shards: tuple[int | None, int | None, int | None],
    force: bool,
    resume: bool,
    update: Callable[[int, int, str], None],
) -> Sharded:
    """Compress on dask workers; `shards` is (models per shard, processes, threads of each)."""
    from velcodec.archive.edit import MODELS_PER_SHARD
    from velcodec.files.distributed import compress_shards, connected

    models, workers, threads = shards
    with connected(address, workers) as client:
        return compress_shards(
            job,
            target,
            client=client,
            models_per_shard=models or MODELS_PER_SHARD,
            force=force,
            resume=resume,
            threads=threads,
            on_progress=update,
        )


def show_shards(
    sources: tuple[Path, ...],
    target: Path,
    job: Job,
    sharded: Sharded,
    seconds: float,
    as_json: bool,
) -> None:
    """Print what was written to a folder of shards."""
    kept = f", {sharded.kept} of them from before" if sharded.kept else ""
    if not as_json:
        say(f"{target}: {count(len(sharded.shards), 'shard')}{kept}")
    if sharded.summary is not None:
        show_summary(sources, target, job, sharded.summary, seconds, as_json)


@click.command(cls=WritesArchive, short_help="Add models to an archive.")
@click.argument("sources", metavar="IN...", type=options.PATH, nargs=-1, required=True)
@click.argument("target", metavar="ARCHIVE.VLAT", type=options.PATH, is_eager=True)
@input_options
@options.ignore_rest
def append(
    sources: tuple[Path, ...], target: Path, ignore_rest: bool, as_json: bool, **settings: Any
) -> None:
    """Add the models of IN to ARCHIVE.VLAT, without rewriting it.

    Options are those of compress. Spacing and origin that neither files nor options state are those
    of the archive, if all its models have the same. An interruption leaves the archive unchanged.

    \b
    Example:
      velcodec append more.npy models.vlat
      velcodec append FlatFault_A/ models.vlat --family flatfault_a --psnr 40
    """
    from velcodec.files.compress import append_job

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.perf_counter()
    with (
        note_file(*map(named, sources), target),
        on_disk(sources) as files,
        progress(short_name(sources[0])) as update,
    ):
        job = job_of(files, settings)
        summary = append_job(job, target, ignore_rest=ignore_rest, on_progress=update)
    seconds = time.perf_counter() - started
    show_summary(sources, target, job, summary, seconds, as_json, "added to ")


def show_summary(
    sources: tuple[Path, ...],
    target: Path,
    job: Job,
    summary: Summary,
    seconds: float,
    as_json: bool,
    before: str = "",
) -> None:
    """Print size and measured quality; on stderr if the archive goes to stdout."""
    aside = is_piped(target)
    if as_json:
        source = sources[0] if len(sources) == 1 else list(map(str, sources))
        asked = {"source": source, "archive": target, "asked": job.coding.target.text}
        figures = {**asked, **summary.to_dict(), "seconds": seconds}
        show_json(figures, err=aside)
        return
    say(
        f"{before}{target}: {models_text(job, summary.models)} in {summary.bytes:,} bytes, "
        f"{summary.bytes_per_model:,.1f} per model, "
        f"{size_text(summary.input_bytes, summary.bytes)}",
        err=aside,
    )
    stored = stored_text(summary.to_dict()["representations"])
    say(f"stored {stored}" if stored[0].isdigit() else f"stored as {stored}", err=aside)
    say(
        f"PSNR {summary.mean_psnr:.2f} dB on average, {summary.worst_psnr:.2f} dB at the worst "
        f"(model {summary.worst_model}), greatest error {summary.max_error_m_s:g} m/s, measured on "
        f"what was read back; asked for {job.coding.target.text}; {seconds:.1f} s",
        err=aside,
    )


def models_text(job: Job, models: int) -> str:
    """`40 models of 70 x 70`, `1 volume of 20 x 25 x 30`, or the number alone if sizes differ."""
    forms = [part.form for part in job.models.parts]
    kind = "volume" if all(form.ny is not None for form in forms) else "model"
    sizes = {form.sizes for form in forms}
    text = count(models, kind)
    return f"{text} of {' x '.join(map(str, sizes.pop()))}" if len(sizes) == 1 else text


def size_text(before: int, after: int) -> str:
    """`47 times smaller`, `1.3 times smaller`, or a note that the archive is larger."""
    if after > before:
        return f"which is more than the {before:,} bytes of the models"
    ratio = before / after
    return f"{ratio:,.{0 if ratio >= 10 else 1}f} times smaller"
