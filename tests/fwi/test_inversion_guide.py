"""The code in docs/inversion.md runs as printed, with a smaller budget."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from paths import DOCS

PAGE = (DOCS / "inversion.md").read_text()
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("deepwave") is None, reason="needs deepwave (the fwi extra)"
)
def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "budget=200" in CODE
    names: dict[str, Any] = {}
    exec(CODE.replace("budget=200", "budget=60"), names)
    found = names["found"]
    assert found.model.shape == (70, 70)
    assert found.misfit < found.history[0].misfit
    assert Path("line7.vlat").exists()
