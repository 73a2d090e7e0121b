"""docs/cli.md lists the exit codes of the error classes, and each is unique."""

from __future__ import annotations

import re

from paths import DOCS

from velcodec.formats import errors

CLI_PAGE = DOCS / "cli.md"


def error_classes() -> list[type[errors.VelcodecError]]:
    found = [errors.VelcodecError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return found


def test_every_error_is_documented_with_its_exit_code() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", CLI_PAGE.read_text(), flags=re.MULTILINE)
    assert {name: int(code) for code, name in rows} == {
        kind.__name__: kind.exit_code for kind in error_classes()
    }


def test_no_two_errors_share_an_exit_code() -> None:
    codes = [kind.exit_code for kind in error_classes()]
    assert len(set(codes)) == len(codes)
    assert not {0, 3, 130} & set(codes)
