"""What `cat` and `subset` print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from velcodec.cli.report import count, show_json
from velcodec.cli.sources import Source, is_piped

if TYPE_CHECKING:
    from velcodec.archive.edit import Edited


def tell(
    sources: Sequence[Source], target: Path, made: Edited, seconds: float, as_json: bool
) -> None:
    """Print what was written; on stderr where the archive is on stdout."""
    aside = is_piped(target)
    if as_json:
        figures = {
            "sources": list(map(str, sources)),
            "archive": target,
            "models": made.models,
            "bytes": made.bytes,
            "left_out": made.left_out,
            "seconds": seconds,
        }
        show_json(figures, err=aside)
        return
    without = f", {made.left_out:,} left out" if made.left_out else ""
    what = f"{count(made.models, 'model')} in {made.bytes:,} bytes{without}"
    click.echo(f"{target}: {what}; {seconds:.1f} s", err=aside)
