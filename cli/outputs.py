"""Commands that write an archive: what is told where its name was forgotten."""

from __future__ import annotations

from pathlib import Path

import click


class WritesArchive(click.Command):
    """A command whose last argument is the archive that it writes.

    With IN... before it, a single name is taken for that of OUT; and a forgotten OUT makes the last
    of the files that go in the one that is written. Both are usage errors that say so.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and refuse an output that is named as a file of models is."""
        try:
            rest = super().parse_args(ctx, args)
        except click.MissingParameter as error:
            before, target = [p for p in self.params if isinstance(p, click.Argument)][-2:]
            # OUT is parsed first, and gets the only name that there is.
            others: dict[click.Parameter | None, click.Parameter] = {target: before, before: target}
            if before.nargs != -1 or error.param not in others:
                raise
            raise click.MissingParameter(ctx=ctx, param=others[error.param]) from None
        check_named_as_archive(ctx, ctx.params["target"])
        return rest


def check_named_as_archive(ctx: click.Context, target: Path) -> None:
    """Raise UsageError for a name that is one of models, such as `x.npy`."""
    from velcodec.formats.files import told_format

    if told_format(target) is not None:
        raise click.UsageError(
            f"OUT: found a name of a file of models ({target}), expected one of an archive, such "
            "as x.vlat: was it forgotten?",
            ctx,
        )
