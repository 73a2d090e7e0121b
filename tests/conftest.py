"""A small decoder that tests can compress with in seconds, and models of a known kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_decoder import TINY_NAME, untrained_decoder

from velcodec.decoder import Decoder, read_decoder, save_decoder
from velcodec.decoder.registry import HOME_VARIABLE


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VELCODEC_HOME whose only decoder is the small one, by name `tiny`."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "decoders"
    folder.mkdir()
    save_decoder(untrained_decoder(), folder / f"{TINY_NAME}.safetensors", {"name": TINY_NAME})
    return home


@pytest.fixture
def tiny(tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """The small decoder, loaded; archives made with it find it again in VELCODEC_HOME."""
    monkeypatch.setenv(HOME_VARIABLE, str(tiny_home))
    return read_decoder(tiny_home / "decoders" / f"{TINY_NAME}.safetensors")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of another small decoder, `other`, in no folder that is searched."""
    path = tmp_path_factory.mktemp("other") / "other.safetensors"
    save_decoder(untrained_decoder(5), path, {"name": "other"})
    return path
