"""What docs/archives.md shows runs as it stands, but for schedulers and servers far away."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import layered
from click.testing import CliRunner

import velcodec
from velcodec.cli import main

PAGE = (Path(__file__).parents[1] / "docs" / "archives.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", PAGE, flags=re.DOTALL)
FAR = ("example.org", "s3://", "--dask")


def shell(line: str) -> None:
    """Run a line: commands with pipes between them, the first one's input from a file."""
    data = b""
    for command in line.split(" | "):
        lexer = shlex.shlex(command, posix=True, punctuation_chars="<>")
        lexer.whitespace_split = True
        words = list(lexer)
        if "<" in words:
            *words, _, file = words
            data = Path(file).read_bytes()
        assert ">" not in words
        assert words[0] == "velcodec"
        result = CliRunner().invoke(main, words[1:], input=data)
        assert result.exit_code == 0, (line, result.stderr)
        data = result.stdout_bytes


def test_the_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    pytest.importorskip("xarray")
    monkeypatch.chdir(tmp_path)
    for folder, seed in (("FlatVel_A", 0), ("CurveVel_A", 1)):
        Path(folder).mkdir()
        for number in (1, 2):
            np.save(f"{folder}/model{number}.npy", layered(2, 10, 8, seed=seed + 2 * number))
    np.save("models.npy", layered(2, 10, 8))
    names: dict[str, Any] = {}
    for language, code in BLOCKS:
        if language == "python":
            exec(code, names)
            continue
        for line in code.splitlines():
            if not any(word in line for word in FAR):
                shell(line)
    archive = names["archive"]
    assert len(archive) == 13
    assert [len(names["some"]), len(names["batch"])] == [3, 3]
    assert names["archive"].metadata("constant")["family"] == "constant"
    assert len(velcodec.open("deep.vlat")) == 6
    assert len(velcodec.open("all.vlat")) == 8 + 13
    assert Path("again.vlat").stat().st_size == Path("all.vlat").stat().st_size
    assert len(velcodec.open("both.vlat")) == 13
    assert np.load("third.npy").shape == (5, 24, 30)
    assert len(velcodec.open("more.vlat")) == 15
    for path in Path("FlatVel_A").iterdir():
        assert np.load(Path("back") / path.name).shape == np.load(path).shape
    assert len(list(Path("openfwi").iterdir())) == 3
