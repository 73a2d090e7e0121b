"""`velcodec evaluate`: bytes and quality of a setting, without writing an archive.

`--report` writes every table of the paper, as markdown, JSON and pictures in a folder.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.encoding import coding_of, description_of, job_of, read_npy
from velcodec.cli.failures import note_file
from velcodec.cli.figures import Comparison, compare, merge
from velcodec.cli.picture import need_matplotlib
from velcodec.cli.progress import progress
from velcodec.cli.report import json_text, say, show_json, show_table
from velcodec.cli.sources import Source, is_archive, named, on_disk, readable, short_name

if TYPE_CHECKING:
    from velcodec.report.data import Family
    from velcodec.report.run import Plan

DEFAULT_MODELS = 32
ABSENT_OPTIONS: dict[str, Any] = {
    "keys": None,
    "key_prefix": None,
    "family": None,
    "field": {},
}
"""Options of `compress` that `evaluate` lacks."""

REPORT_ONLY = {
    "models": "--models",
    "families": "--family",
    "ablation_steps": "--ablation-steps",
    "no_picture": "--no-picture",
    "force": "--force",
}


@click.command(short_help="Compress, decode and compare, in memory.")
@click.argument("sources", metavar="[IN...]", type=options.SOURCE, nargs=-1)
@click.option(
    "--fit",
    type=click.Choice(["lm", "adam"]),
    default="lm",
    show_default=True,
    help="How to fit latents: Levenberg-Marquardt, or Adam, the paper's slow baseline.",
)
@click.option("--per-model", is_flag=True, help="Also print the figures of every model.")
@click.option(
    "--report",
    "folder",
    type=options.PATH,
    metavar="FOLDER",
    help="Write report.md, report.json and pictures to FOLDER, for .npy files or, without IN, for "
    "generated models.",
)
@click.option(
    "--models",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Report: number of generated models of each family.  [default: {DEFAULT_MODELS}]",
)
@click.option(
    "--family",
    "families",
    multiple=True,
    metavar="NAME",
    help="Report: a generator family; may be repeated.  [default: the paper's five]",
)
@click.option(
    "--ablation-steps",
    type=click.IntRange(min=0),
    metavar="N",
    help="Report: training steps for the comparison of sine and ReLU; 0 skips it.",
)
@click.option("--no-picture", is_flag=True, help="Report: no pictures (needs no matplotlib).")
@options.source
@options.files
@options.geometry
@options.volume
@options.mask
@options.coding
@options.decoder
@options.device
@options.force
@options.as_json
def evaluate(
    sources: tuple[Source, ...],
    per_model: bool,
    folder: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Compress, decode and compare: bytes, PSNR, SSIM and MAE per IN and in total.

    IN is what compress takes, or an archive (a .vlat file, a folder of shards, a URL), which is
    decoded first. Bytes are those that `compress` would write. PSNR and SSIM use a fixed range of
    3000 m/s; volumes have bits a sample instead of SSIM. Means are over models; max is the largest
    error of all. "check s" is the time for decoding and comparing. With --report, every table of
    the paper goes to a folder instead.

    \b
    Example:
      velcodec evaluate models.npy
      velcodec evaluate a.npy b.npy --bytes-per-model 64 --json
      velcodec evaluate volume.npy --volume --max-error 10
      velcodec evaluate --report report
    """
    if folder is not None:
        write_report(folder, [Path(source) for source in sources], settings, as_json)
        return
    if not sources:
        raise click.UsageError("Missing argument 'IN...', which only --report can do without.")
    for name, option in REPORT_ONLY.items():
        if settings[name] is not None and settings[name] is not False and settings[name] != ():
            raise click.UsageError(f"{option} needs --report FOLDER")
    results: dict[str, Comparison] = {}
    seconds: dict[str, tuple[float, float]] = {}
    failure: Exception | None = None
    for source in sources:
        try:
            with note_file(named(source)):
                results[named(source)], seconds[named(source)] = evaluate_one(source, settings)
        except Exception as error:
            failure = error
            break
    if results:
        show(results, seconds, per_model, as_json)
    if failure is not None:
        raise failure


def show(
    results: dict[str, Comparison],
    seconds: dict[str, tuple[float, float]],
    per_model: bool,
    as_json: bool,
) -> None:
    """Print the figures of each file and the total."""
    total = merge(list(results.values()))
    if as_json:
        files = [
            {
                "file": name,
                **result.to_dict(per_model),
                "compress_seconds": seconds[name][0],
                "check_seconds": seconds[name][1],
            }
            for name, result in results.items()
        ]
        show_json({"files": files, "total": total.to_dict()})
        return
    if per_model:
        for name, result in results.items():
            say(name)
            show_table(*result.model_table())
            say()
    heads = total.heads()
    rows = [
        [
            name,
            str(len(result.qualities)),
            *result.cells(heads),
            *(f"{s:.1f}" for s in seconds[name]),
        ]
        for name, result in results.items()
    ]
    if len(rows) > 1:
        spent = (f"{sum(column):.1f}" for column in zip(*seconds.values(), strict=True))
        rows.append(["total", str(len(total.qualities)), *total.cells(heads), *spent])
    show_table(["file", "models", *heads, "compress s", "check s"], rows)


def evaluate_one(
    source: Source, settings: dict[str, Any]
) -> tuple[Comparison, tuple[float, float]]:
    """Figures of one IN, with the seconds for encoding, and for decoding and comparing."""
    import velcodec
    from velcodec.files.compress import compress_job
    from velcodec.files.originals import Originals

    with progress(short_name(source)) as update, files_of(source, settings) as (files, known):
        job = job_of(files, {**ABSENT_OPTIONS, **settings, **known})
        started = time.perf_counter()
        stream = io.BytesIO()
        compress_job(job, stream, on_progress=update)
        encoded = time.perf_counter()
        data = stream.getvalue()
        with velcodec.open(data, decoder=settings["decoder"], device=settings["device"]) as archive:
            read = Originals(job.models, settings["units"]).read
            comparison = compare(archive, read, len(data), update)
    return comparison, (encoded - started, time.perf_counter() - encoded)


@contextmanager
def files_of(
    source: Source, settings: dict[str, Any]
) -> Iterator[tuple[tuple[Path, ...], dict[str, Any]]]:
    """Files to compress: IN itself, or a file of the models of an archive with the options that it
    needs.
    """
    if not is_archive(source):
        with on_disk([Path(source)]) as files:
            yield files, {}
        return
    import velcodec
    from velcodec.files.decompress import decompress_file

    with (
        tempfile.TemporaryDirectory(prefix="velcodec-") as folder,
        velcodec.open(readable(source), device=settings["device"]) as archive,
    ):
        decoded = Path(folder) / "models.npz"  # keeps spacing, origin, units and keys
        decompress_file(archive, decoded, advise=False)
        layout = archive.layout(0)
        known: dict[str, Any] = {"order": layout.axes.lstrip("n1"), "volume": layout.is_volume}
        values = {layout.no_data for layout in archive.layouts_in_use} - {None}
        if values:
            known["mask"] = values.pop()
        yield (decoded,), known


def write_report(
    folder: Path, sources: Sequence[Path], settings: dict[str, Any], as_json: bool
) -> None:
    """Write the report; print the means of each family, or everything as JSON."""
    if not settings["no_picture"]:
        need_matplotlib()
    force = settings["force"]
    report_folder(folder, force)
    plan = plan_of(sources, settings)

    from velcodec.formats.storage.atomic import atomic_write
    from velcodec.report.markdown import markdown
    from velcodec.report.pictures import draw_pictures
    from velcodec.report.run import make_report

    with progress("report") as update:
        report = make_report(plan, update)
        pictures = {} if settings["no_picture"] else draw_pictures(report)
    names = {kind: f"{kind.replace('_', '-')}.png" for kind in pictures}
    contents = {names[kind]: picture for kind, picture in pictures.items()}
    contents["report.json"] = (json_text(report.tables) + "\n").encode()
    contents["report.md"] = markdown(report.tables, names).encode()
    for name, content in contents.items():
        with atomic_write(folder / name, force=force) as stream:
            stream.write(content)
    if as_json:
        show_json({"folder": folder, "files": sorted(contents), **report.tables})
        return
    show_table(*family_rows(report.tables))
    say()
    say(f"{folder}: {', '.join(sorted(contents))}")


def report_folder(folder: Path, force: bool) -> None:
    """Make the folder if needed; refuse one with a report unless `force`."""
    from velcodec.formats.storage.atomic import check_target, make_folder

    make_folder(folder)
    for name in ("report.md", "report.json"):
        check_target(folder / name, force=force)


def plan_of(sources: Sequence[Path], settings: dict[str, Any]) -> Plan:
    """The plan of the report; raises for a bad file before any work."""
    from velcodec import synth
    from velcodec.formats.errors import OptionError
    from velcodec.parallel import set_threads
    from velcodec.report.data import PAPER_FAMILIES
    from velcodec.report.run import Plan

    unknown = [name for name in settings["families"] if name not in synth.FAMILIES]
    if unknown:
        raise OptionError(
            f"--family: found {unknown[0]!r}, expected one of {', '.join(synth.FAMILIES)}"
        )
    if settings["lossless"] or settings["max_error"] is not None or settings["psnr"] is not None:
        raise OptionError("--report: expected it without --lossless, --max-error and --psnr")
    if settings["mask"] is not None:
        raise OptionError("--report: expected it without --mask")
    if settings["volume"] or settings["bits_per_sample"] is not None:
        raise OptionError("--report: expected it without --volume and --bits-per-sample")
    set_threads(settings["threads"])
    steps = settings["ablation_steps"]
    files = read_families(sources, settings)
    return Plan(
        files=files,
        generated=tuple(dict.fromkeys(settings["families"])) or PAPER_FAMILIES,
        models=settings["models"] or DEFAULT_MODELS,
        coding=coding_of(settings),
        description=description_of(settings),
        ablation_steps=Plan.ablation_steps if steps is None else steps,
    )


def read_families(sources: Sequence[Path], settings: dict[str, Any]) -> list[Family]:
    """Each file as a family named by its stem, or by its path if stems repeat."""
    from velcodec.report.data import Family

    stems = [path.stem for path in sources]
    families = []
    for path in dict.fromkeys(sources):
        name = path.stem if stems.count(path.stem) == 1 else str(path)
        with note_file(path):
            models = read_npy(path, settings)
        families.append(Family(name, models))
    return families


def family_rows(tables: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the printed table: means of each family and of all models."""
    sizes = {one["family"]: one["latents_bytes_per_model"] for one in tables["data"]}
    rows = []
    for name, figures in (*tables["families"].items(), ("all", tables["overall"])):
        size = f"{sizes[name]:,.1f}" if name in sizes else ""
        cells = [
            f"{figures[coding]['psnr_db']['mean']:.2f} / {figures[coding]['ssim']['mean']:.4f}"
            for coding in ("latents", "unquantised")
        ]
        rows.append([name, size, *cells])
    return ["family", "bytes/model", "latents: PSNR dB / SSIM", "not quantised"], rows
