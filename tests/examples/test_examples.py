"""The examples run, in small form, and draw what the documentation shows."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import DOCS, ROOT

FOLDER = ROOT / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "common")


def loaded(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(FOLDER))
    return runpy.run_path(str(FOLDER / f"{name}.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "velcodec.fwi" in (FOLDER / f"{name}.py").read_text():
        pytest.importorskip("deepwave")
    main: Callable[[Path, bool], None] = loaded(name, monkeypatch)["main"]
    main(tmp_path, True)
    assert main.__doc__
    for written in (
        main.__doc__.removeprefix("Write ").rstrip(".").replace(" and ", ", ").split(", ")
    ):
        path = tmp_path / written.split(" ")[0]
        assert path.exists(), written
        if path.suffix == ".png":
            from matplotlib.image import imread

            assert np.ptp(imread(path)[..., :3]) > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_in_the_documentation(name: str) -> None:
    page = (DOCS / "examples.md").read_text()
    assert f"{{literalinclude}} ../examples/{name}.py" in page
    picture = f"{name}.png"
    if picture in (FOLDER / f"{name}.py").read_text():
        assert f"img/examples/{picture}" in page
        assert (DOCS / "img" / "examples" / picture).exists()


def test_a_damaged_header_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = loaded("writing_a_reader", monkeypatch)
    names["main"](tmp_path, True)
    assert json.loads((tmp_path / "header.json").read_text())["r"] == "CC0-1.0"
    data = bytearray((tmp_path / "reader.vlat").read_bytes())
    data[20] ^= 1
    with pytest.raises(ValueError, match=r"damaged|expected the header"):
        names["header_of"](bytes(data))
