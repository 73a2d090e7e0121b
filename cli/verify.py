"""`velcodec verify`: check that an archive is intact, and compare it with the original models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from velcodec.cli import options
from velcodec.cli.failures import note_file
from velcodec.cli.figures import Comparison, compare, farther_than_stored
from velcodec.cli.progress import progress
from velcodec.cli.report import count, say, show_json, show_table, some
from velcodec.cli.sources import Source, named, readable, short_name

if TYPE_CHECKING:
    import velcodec


@click.command(short_help="Check an archive; compare it with the original.")
@click.argument("source", metavar="IN.VLAT", type=options.SOURCE)
@click.option(
    "--against",
    type=options.PATH,
    multiple=True,
    metavar="IN",
    help="The original models: a file, a folder or a pattern, as for compress; may be repeated. "
    "Prints PSNR, SSIM, MAE and the largest error.",
)
@click.option("--per-model", is_flag=True, help="Also print the figures of every model.")
@options.source
@options.files
@options.decoder
@options.device
@options.as_json
def verify(
    source: Source,
    against: tuple[Path, ...],
    per_model: bool,
    decoder: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Check IN.VLAT: read every byte, verify every checksum, decode every model.

    IN.VLAT is a file, a folder of shards, a URL, or - (standard input). --against compares with the
    originals, read in blocks and in the order in which the archive has them: sections and volumes
    are told apart by the archive, whose axis order and units apply if neither files nor options
    state others. It is an error if shapes differ, or if a model differs by more than was measured
    when it was stored.

    \b
    Example:
      velcodec verify models.vlat
      velcodec verify models.vlat --against models.npy --per-model
      velcodec verify shards/ --against FlatVel_A/
      velcodec verify mixed.vlat --against sections.npy --against volume.npy
    """
    import velcodec
    from velcodec.files.originals import open_originals
    from velcodec.formats.container.integrity import check_every_byte
    from velcodec.formats.errors import CorruptError
    from velcodec.parallel import set_threads

    set_threads(threads)
    with (
        note_file(named(source), *against),
        velcodec.open(readable(source), decoder=decoder, device=device) as archive,
        progress(short_name(source)) as update,
    ):
        try:
            unseen = check_every_byte(archive.reader)
        except CorruptError:
            check_bricks(archive)  # they tell what else can be read
            raise
        figures: dict[str, Any] = {"archive": source, "models": len(archive), "whole": True}
        if unseen:
            figures["not_looked_at"] = unseen
        comparison = None
        farther: list[int] = []
        if not against:
            decode_all(archive, update)
        else:
            where = against[0] if len(against) == 1 else against
            reading["format"] = reading.pop("file_format")
            originals = open_originals(archive, where, **reading)
            comparison = compare(archive, originals.read, archive.reader.size, update)
            figures |= {
                "against": where,
                "source_sha256_matches": originals.matches(archive),
                **comparison.to_dict(per_model),
            }
            farther = farther_than_stored(archive, comparison)
            figures["as_measured"] = None if archive.quality is None else not farther
        whole = f"{source}: {count(len(archive), 'model')}, every checksum holds, all decode"
        show(figures, whole, comparison, per_model, as_json)
        if farther and comparison is not None:
            raise differs(archive, comparison, farther[0], len(farther), against)


def check_bricks(archive: velcodec.Archive) -> None:
    """Raise CorruptError for the first volume with damaged bricks, naming them."""
    from velcodec.decode.stored import stored_layout
    from velcodec.decode.volumes import damaged_bricks, open_volume
    from velcodec.formats.errors import CorruptError

    reader = archive.reader
    for number in range(len(reader)):
        if not (reader.header_of(number).has_volumes and stored_layout(reader, number).is_volume):
            continue
        bad = damaged_bricks(reader, number)
        if bad:
            bricks = open_volume(reader, number).table.bricks
            named = some(f"{each} (box {box_text(bricks.box(each))})" for each in bad)
            raise CorruptError(
                f"{reader.name}: model {number}: {count(len(bad), 'brick')} of {len(bricks)} "
                f"damaged: {named}; --box and slice read the others, repair --fill saves them"
            )


def box_text(box: Sequence[slice]) -> str:
    """A box as `--box` takes it, in samples."""
    return ",".join(f"{each.start}:{each.stop}" for each in box)


def show(
    figures: dict[str, Any],
    whole: str,
    comparison: Comparison | None,
    per_model: bool,
    as_json: bool,
) -> None:
    """Print the results."""
    if as_json:
        show_json(figures)
        return
    say(whole)
    for line in figures.get("not_looked_at", ()):
        say(f"not looked at: {line}")
    if comparison is not None:
        show_comparison(comparison, figures, per_model)


def differs(
    archive: velcodec.Archive,
    comparison: Comparison,
    number: int,
    models: int,
    against: tuple[Path, ...],
) -> Exception:
    """The error for a model that differs by more than was measured when it was stored."""
    from velcodec.formats.errors import VerificationError

    found, stored = comparison.qualities[number], (archive.quality or ())[number]
    others = f" and {models - 1:,} more" if models > 1 else ""
    return VerificationError(
        f"{', '.join(map(str, against))}: model {number}{others}: found a greatest error of "
        f"{found.max_error:g} m/s (mean {found.mae:g}, {found.psnr:.2f} dB), expected up to "
        f"{stored.max_error_m_s:g} (mean up to {stored.mae_m_s:g}, {stored.psnr_db:g} dB or more), "
        "as was measured when it was stored"
    )


def decode_all(archive: velcodec.Archive, update: Callable[[int, int, str], None]) -> None:
    """Decode every model once; raises if one fails."""
    for number, _ in enumerate(archive):
        update(number + 1, len(archive), "decode")


def show_comparison(comparison: Comparison, figures: dict[str, Any], per_model: bool) -> None:
    """Print the figures as tables, and whether `against` is the archive's source file."""
    matches = figures["source_sha256_matches"]
    if matches is not None:
        same = "is the file" if matches else "is NOT the file (another SHA-256)"
        say(f"{figures['against']} {same} that the archive was made from")
    if per_model:
        show_table(*comparison.model_table())
    heads = comparison.heads()
    show_table(["all models", *heads], [["mean, but max", *comparison.cells(heads)]])
