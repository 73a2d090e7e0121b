"""A released decoder is named by its number; one of a later version is missed only for latents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import velcodec
from velcodec.formats.container.header import Header
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.errors import MissingDecoderError
from velcodec.formats.released import DECODERS, decoder_of, number_of

MODEL = np.repeat(np.linspace(1500, 4500, 30, dtype=np.float32)[:, None], 30, axis=1)


def test_a_number_takes_the_place_of_identity_and_name() -> None:
    head = VlatReader(velcodec.compress(MODEL)).header
    data = head.to_dict()
    assert data["h"] == 2
    assert "n" not in data
    assert (head.decoder_name, head.decoder_hash) == DECODERS[2]


@pytest.mark.parametrize("other", [{"decoder_name": "mine"}, {"decoder_hash": bytes(range(32))}])
def test_any_other_name_or_identity_is_stored_as_it_is(other: dict[str, object]) -> None:
    head = replace(VlatReader(velcodec.compress(MODEL)).header, **other)  # type: ignore[arg-type]
    assert head.to_dict()["h"] == head.decoder_hash
    assert head.to_dict()["n"] == head.decoder_name
    assert Header.from_bytes(head.to_bytes()) == head


def test_a_decoder_of_a_later_version_keeps_its_number() -> None:
    for number in (1, 3, 300, 65535):
        name, identity = decoder_of(number)
        assert name == f"number {number} of a later version"
        assert number_of(name, identity) == number
    for number in (0, -1, 65536):
        with pytest.raises(ValueError, match="expected 1 to 65535"):
            decoder_of(number)


def test_samples_do_not_need_the_decoder_of_a_later_version_and_latents_do() -> None:
    from builders import archive

    name, identity = decoder_of(9)
    for lossless in (True, False):
        reader = VlatReader(velcodec.compress(MODEL, lossless=lossless))
        head = replace(reader.header, decoder_name=name, decoder_hash=identity)
        later = archive(list(reader.payloads()), head)
        assert VlatReader(later).header.to_dict()["h"] == 9
        if lossless:
            assert np.array_equal(velcodec.decompress(later), MODEL)
        elif reader.header.exact is None:
            with pytest.raises(MissingDecoderError, match="number 9 of a later version"):
                velcodec.decompress(later)
