"""The code in docs/inversion.md runs as printed, with a smaller budget."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import DOCS

from velcodec import synth
from velcodec.fwi import Acquisition

PAGE = (DOCS / "inversion.md").read_text()
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("deepwave") is None, reason="needs deepwave (the fwi extra)"
)
def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    truth = synth.draw("flatvel_a", 3, 0, 1).render(70, 70)[0]
    with torch.no_grad():
        observed = Acquisition.openfwi()(truth)
    assert "budget=200" in CODE
    names: dict[str, Any] = {"observed": observed, "start": torch.full((70, 70), 2800.0)}
    exec(CODE.replace("budget=200", "budget=60"), names)
    found = names["found"]
    assert found.model.shape == (70, 70)
    assert found.misfit < found.history[0].misfit
    assert Path("line7.vlat").exists()
