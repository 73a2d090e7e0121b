"""The code in docs/field.md runs as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from latent_archives import latent_archive
from paths import DOCS

import velcodec
from velcodec.cli import main
from velcodec.formats.container.header import Layout
from velcodec.formats.container.quality import StoredQuality

BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", (DOCS / "field.md").read_text(), flags=re.DOTALL)


@pytest.mark.slow
def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layers = np.repeat(np.linspace(1600, 4000, 7), 10)[:, None] + np.zeros((1, 70))
    np.save("models.npy", layers[None].astype(np.float32))
    decoder = velcodec.load_decoder()
    Path("models.vlat").write_bytes(latent_archive(decoder, Layout(70, 70), models=7))
    names: dict[str, Any] = {"start": torch.from_numpy(layers), "StoredQuality": StoredQuality}
    for language, code in BLOCKS:
        if language == "python":
            text = code.replace(
                "archive.quality[0]",
                "StoredQuality(40.0, 15.0, 400.0, 1.0)",  # these latents were not measured
            )
            exec(text, names)
            continue
        for line in code.splitlines():
            words = line.partition("#")[0].split()
            result = CliRunner().invoke(main, words[1:])
            assert result.exit_code == 0, (line, result.stderr)
    assert names["v"].shape == (70, 70)
    assert names["fine"].shape == (280, 280)
    assert names["some"]().shape == (3, 70, 70)
    assert names["sd"].shape == (70, 70)
    assert np.load("near.npy").shape == (20, 1, 70, 70)
