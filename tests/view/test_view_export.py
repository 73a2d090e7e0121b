"""A page on disk: what is in it, what it allows, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich_archives import rich_archive
from volumes import folded_volume

import velcodec
from velcodec import synth
from velcodec.cli import main
from velcodec.decoder import Decoder
from velcodec.formats.errors import EmptyInputError, OptionError, OutputExistsError, VolumeError
from velcodec.view.export import MOST_MODELS, Bytes, page_of, write_page

EVIL = "</script><script>window.harm=1</script>"


def block(page: str, name: str) -> str:
    found = re.findall(
        rf'<script type="[a-z/]+" id="velcodec-{name}">(.*?)</script>', page, re.DOTALL
    )
    assert len(found) == 1
    return str(found[0])


def test_arrays_come_back_from_the_page_as_they_are() -> None:
    data = Bytes()
    given = [
        np.arange(5, dtype="<i2"), np.array([True, False]), np.linspace(0, 1, 3, dtype=">f4"),
        np.arange(4, dtype=np.int64).reshape(2, 2), np.array([0.5, 2.0], np.float16),
    ]  # fmt: skip
    told = [data.add(array) for array in given]
    plain = zlib.decompress(base64.b64decode(data.packed()))
    assert [each["dtype"] for each in told] == ["i2", "u1", "f4", "f8", "f2"]
    for array, about in zip(given, told, strict=True):
        assert about["at"] % 8 == 0
        found = np.frombuffer(plain, f"<{about['dtype']}", array.size, about["at"])
        assert np.array_equal(found.reshape(about["shape"]), array)


def test_a_page_holds_quantised_latents_and_their_decoder(tiny: Decoder) -> None:
    archive = velcodec.open(rich_archive(tiny, 5))
    page = page_of(archive, [4, 1], "a.vlat")
    data = json.loads(block(page, "data"))
    plain = zlib.decompress(base64.b64decode(block(page, "bytes")))
    assert [each["key"] for each in data["facts"]] == ["m4", "m1"]
    assert [each["number"] for each in data["facts"]] == [0, 1]
    assert len(data["decoders"]) == 1
    stored = archive.stored([1])[0].tiles
    about = data["models"][1]["coefficients"]
    found = np.frombuffer(plain, f"<{about['dtype']}", 256, about["at"])
    assert np.array_equal(found, stored.coefficients[0])
    assert not any(name.startswith("latent.") for name in data["decoders"][0]["tensors"])


def test_a_page_of_samples_holds_them_and_the_sampler_but_no_decoder() -> None:
    models = synth.draw("flatvel_b", 70_000_023, 0, 2).render(20, 30).numpy()
    page = page_of(velcodec.open(velcodec.compress(models, lossless=True)), [0, 1], "a.vlat")
    data = json.loads(block(page, "data"))
    assert data["decoders"] == []
    assert list(data["samplers"]) == ["1"]
    assert not any(each["moves"] for each in data["facts"])
    assert len(page) < 250_000


def test_a_page_allows_its_own_scripts_alone(tiny: Decoder) -> None:
    page = page_of(velcodec.open(rich_archive(tiny, 2)), [0], "a.vlat")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none';")
    for kind, source in (("module", "script"), ("", "style")):
        tag = rf'<script type="{kind}">(.*?)</script>' if kind else "<style>(.*?)</style>"
        (text,) = re.findall(tag, page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{source}-src 'sha256-{digest}'" in policy[1]
    assert "unsafe" not in policy[1].replace("'wasm-unsafe-eval'", "")
    assert "http:" not in page
    assert "https:" not in page


def test_keys_of_an_enemy_end_no_script(tiny: Decoder) -> None:
    fields = {EVIL: [EVIL] * 2}
    archive = velcodec.open(rich_archive(tiny, 2, keys=[EVIL, "b"], fields=fields))
    page = page_of(archive, [0, 1], EVIL)
    assert EVIL not in page
    data = json.loads(block(page, "data"))
    assert data["facts"][0]["key"] == EVIL
    assert page.count("</script>") == 4


def test_no_models_and_too_many_are_refused(tiny: Decoder) -> None:
    archive = velcodec.open(rich_archive(tiny, 2))
    with pytest.raises(EmptyInputError, match="no model"):
        page_of(archive, [], "a.vlat")
    with pytest.raises(OptionError, match="at most 500: select some"):
        page_of(archive, [0] * (MOST_MODELS + 1), "a.vlat")


def test_a_volume_is_refused() -> None:
    blob = velcodec.compress(folded_volume(6, 7, 8), volume=True, lossless=True)
    with pytest.raises(
        VolumeError, match=r"^v\.vlat: model 0: a volume, which a page does not hold"
    ):
        page_of(velcodec.open(blob), [0], "v.vlat")


def test_a_page_is_replaced_only_when_told(tiny: Decoder, tmp_path: Path) -> None:
    archive, path = velcodec.open(rich_archive(tiny, 2)), tmp_path / "page.html"
    size = write_page(archive, [0], "a.vlat", path)
    assert path.stat().st_size == size
    with pytest.raises(OutputExistsError):
        write_page(archive, [0], "a.vlat", path)
    write_page(archive, [0, 1], "a.vlat", path, force=True)


def test_the_command_writes_a_page_of_the_selected_models(tiny: Decoder, tmp_path: Path) -> None:
    path, page = tmp_path / "a.vlat", tmp_path / "page.html"
    path.write_bytes(rich_archive(tiny, 12))
    arguments = ["view", str(path), "--family", "salt", "--where", "psnr_db>=35"]
    result = CliRunner().invoke(main, [*arguments, "--export", str(page)])
    assert result.exit_code == 0, result.stderr
    assert "4 models in a page of" in result.stdout
    keys = [each["key"] for each in json.loads(block(page.read_text(), "data"))["facts"]]
    assert keys == ["m5", "m7", "m9", "m11"]
    twice = CliRunner().invoke(main, ["view", str(path), str(path), "--export", str(page)])
    assert twice.exit_code == 2
