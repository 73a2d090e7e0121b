"""The output of `cat` and `subset`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from velcodec.cli.report import count, say, show_json
from velcodec.cli.sources import Source, is_piped

if TYPE_CHECKING:
    from velcodec.archive.edit import Edited


def show_edited(
    sources: Sequence[Source], target: Path, edited: Edited, seconds: float, as_json: bool
) -> None:
    """Print what was written; on stderr if the archive goes to stdout."""
    aside = is_piped(target)
    if as_json:
        figures = {
            "sources": list(map(str, sources)),
            "archive": target,
            "models": edited.models,
            "bytes": edited.bytes,
            "left_out": edited.left_out,
            "seconds": seconds,
        }
        show_json(figures, err=aside)
        return
    without = f", {edited.left_out:,} left out" if edited.left_out else ""
    what = f"{count(edited.models, 'model')} in {edited.bytes:,} bytes{without}"
    say(f"{target}: {what}; {seconds:.1f} s", err=aside)
