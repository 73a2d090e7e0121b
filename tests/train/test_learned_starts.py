"""What streams of mixed decisions begin with is learned reproducibly, and saves bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zstandard
from safetensors.numpy import load

from velcodec import synth
from velcodec.formats.sample_coding.mixing.coder import blank_start, encode_mixed, write
from velcodec.formats.sample_coding.mixing.start import released_tensors
from velcodec.train import mixing
from velcodec.train.mixing import Image


def image(family: str, number: int) -> Image:
    model = synth.draw(family, 70_000_019, number, 1).render(30, 32).numpy()[0]
    codes = np.rint((model - model.min()) / 10).astype(np.int64)
    return Image(codes, int(codes.max()) + 1, 0)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models of each kind to learn from."""
    for kind, family in (("layered_images", "curvevel_a"), ("smooth_images", "style_a")):
        some = [image(family, number) for number in range(2)]
        monkeypatch.setattr(mixing, kind, lambda count, seed, some=some: some)


def made(out: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr("sys.argv", ["mixing", str(out), "--models", "2"])
    mixing.main()
    return out.read_bytes()


def test_the_command_writes_tensors_as_they_are_shipped_and_the_same_again(
    few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again = (made(tmp_path / name, monkeypatch) for name in "ab")
    assert first == again
    tensors = load(zstandard.ZstdDecompressor().decompress(first))
    shipped = released_tensors()
    assert {name: (t.shape, t.dtype) for name, t in tensors.items()} == {
        name: (t.shape, t.dtype) for name, t in shipped.items()
    }


@pytest.mark.parametrize(("family", "smooth"), [("curvefault_a", False), ("style_a", True)])
def test_the_shipped_start_saves_bytes(family: str, smooth: bool) -> None:
    other = image(family, 5)
    blank = write(*other, blank_start(), smooth)
    assert len(encode_mixed(*other, smooth=smooth)) < 0.8 * len(blank)
