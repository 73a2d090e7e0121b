"""Commands that write an archive: detect that its name was forgotten."""

from __future__ import annotations

from pathlib import Path

import click


class WritesArchive(click.Command):
    """A command whose last argument is the archive that it writes.

    After IN..., a single name counts as OUT, and without OUT the last input file would be written.
    Both are usage errors.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; refuse an output with the suffix of a file of models."""
        try:
            rest = super().parse_args(ctx, args)
        except click.MissingParameter as error:
            before, target = [p for p in self.params if isinstance(p, click.Argument)][-2:]
            # OUT is parsed first and takes a single name.
            others: dict[click.Parameter | None, click.Parameter] = {target: before, before: target}
            if before.nargs != -1 or error.param not in others:
                raise
            raise click.MissingParameter(ctx=ctx, param=others[error.param]) from None
        check_named_as_archive(ctx, ctx.params["target"])
        return rest


def check_named_as_archive(ctx: click.Context, target: Path) -> None:
    """Raise UsageError for the name of a file of models, such as `x.npy`."""
    from velcodec.formats.files import told_format

    if told_format(target) is not None:
        raise click.UsageError(
            f"OUT: found the name of a file of models ({target}), expected that of an archive, "
            "such as x.vlat: was it forgotten?",
            ctx,
        )
