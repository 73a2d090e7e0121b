"""Every released decoder, and every data file of exact streams, stays available and unchanged."""

from __future__ import annotations

import hashlib
import re
from importlib import resources

import pytest
from paths import ROOT

from velcodec.decoder import load_decoder
from velcodec.decoder.file import build_decoder
from velcodec.formats import released
from velcodec.formats.errors import DecoderFileError
from velcodec.formats.sample_coding.dct.start import first_models
from velcodec.formats.sample_coding.label_map.network import network_of


def listed(page: str, heading: str) -> list[tuple[str, ...]]:
    """The rows of the first table under a heading, without quotes."""
    text = (ROOT / "docs" / page).read_text()
    text = text[text.index(f"## {heading}\n") + 3 :]
    text = text.partition("\n## ")[0]
    rows = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    return [tuple(cell.strip("`") for cell in row.split(" | ")) for row in rows[1:]]


DECODERS = listed("decoder-card.md", "Released decoders")
DATA = listed("format-exact.md", "Data files")


def test_the_shipped_decoders_are_those_listed() -> None:
    folder = resources.files("velcodec.decoder") / "shipped"
    shipped = {file.name for file in folder.iterdir() if file.name.endswith(".safetensors")}
    encoders = {name for name in shipped if name.endswith(".encoder.safetensors")}
    assert shipped - encoders == {file for _, _, file, _ in DECODERS}
    assert released.DECODERS.keys() == {int(number) for number, *_ in DECODERS}


@pytest.mark.parametrize(("number", "name", "file", "identity"), DECODERS)
def test_a_released_decoder_loads_and_has_its_identity(
    number: str, name: str, file: str, identity: str
) -> None:
    assert released.DECODERS[int(number)] == (name, bytes.fromhex(identity))
    for wanted in (name, identity):
        decoder = load_decoder(wanted)
        assert decoder.identity is not None
        assert decoder.identity.hex() == identity
        assert decoder.tables is not None
    assert file == f"{name}.safetensors"


@pytest.mark.parametrize(("file", "tensors", "sha256"), DATA)
def test_a_data_file_of_exact_streams_is_unchanged(file: str, tensors: str, sha256: str) -> None:
    data = resources.files("velcodec").joinpath("data", file).read_bytes()
    assert hashlib.sha256(data).hexdigest() == sha256
    assert tensors


def test_the_data_files_of_exact_streams_are_those_listed() -> None:
    found = {path.name for path in resources.files("velcodec").joinpath("data").iterdir()}
    assert {name for name in found if ".safetensors" in name} == {row[0] for row in DATA}
    assert [network_of(n).classes.first.shape for n in (3, 5)] == [(581, 48), (581, 48)]
    assert [array.shape for array in first_models()] == [(13, 310), (12, 2), (1, 84), (1, 18)]


@pytest.mark.parametrize("config", [{"architecture": "later"}, {"width": 8, "spheres": 3}])
def test_a_decoder_of_a_later_version_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(DecoderFileError, match=r"architecture|spheres"):
        build_decoder({"architecture": "siren-mixture", **config})
