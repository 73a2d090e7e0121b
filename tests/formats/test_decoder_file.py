"""Decoder files: the content round-trips, its hash depends on nothing else, damage is noticed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import decoder_bytes, decoder_file
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.decoder_file import (
    MAX_FILE_BYTES,
    DecoderFile,
    read_decoder_file,
    to_bytes,
    write_decoder_file,
)
from velcodec.formats.errors import DecoderFileError, OutputExistsError


def assert_same(found: DecoderFile, expected: DecoderFile) -> None:
    assert (found.config, found.info) == (expected.config, expected.info)
    assert found.tensors.keys() == expected.tensors.keys()
    for name, array in expected.tensors.items():
        assert found.tensors[name].shape == array.shape
        assert np.array_equal(found.tensors[name], array)


def test_a_decoder_file_round_trips(tmp_path: Path) -> None:
    own = decoder_file()
    write_decoder_file(tmp_path / "d.safetensors", own)
    for source in (tmp_path / "d.safetensors", decoder_bytes()):
        assert_same(read_decoder_file(source), own)
        assert read_decoder_file(source).identity() == own.identity()


def test_a_frozen_decoder_is_not_replaced(tmp_path: Path) -> None:
    write_decoder_file(tmp_path / "d.safetensors", decoder_file())
    with pytest.raises(OutputExistsError):
        write_decoder_file(tmp_path / "d.safetensors", decoder_file())


def test_the_identity_is_the_hash_that_the_specification_describes() -> None:
    own = DecoderFile({"b": 1, "a": [0.5, "é"]}, {"x": np.array([[1.0, 2.0]], dtype=np.float32)})
    told = b'velcodec-decoder-0\n{"a":[0.5,"\\u00e9"],"b":1}\n["x","F32",[1,2]]\n'
    told += bytes.fromhex("0000803f00000040")
    assert own.identity() == hashlib.sha256(told).digest()


def test_information_and_byte_order_do_not_change_the_identity() -> None:
    own = decoder_file()
    swapped = {k: v.astype(v.dtype.newbyteorder(">")) for k, v in own.tensors.items()}
    turned = {k: np.asfortranarray(v) if v.ndim else v for k, v in own.tensors.items()}
    backwards = dict(reversed(own.tensors.items()))
    for other in (swapped, turned, backwards):
        again = DecoderFile(own.config, other, {"name": "another"})
        assert again.identity() == own.identity()
        found = read_decoder_file(to_bytes(again))
        assert_same(found, dataclasses.replace(own, info={"name": "another"}))


def test_every_part_of_the_content_changes_the_identity() -> None:
    own = decoder_file()
    others = [dataclasses.replace(own, config=own.config | {"omega_0": 29.0})]
    for name, array in own.tensors.items():
        changed = array.copy()
        changed.flat[0] += 1
        others.append(dataclasses.replace(own, tensors=own.tensors | {name: changed}))
        others.append(dataclasses.replace(own, tensors=own.tensors | {name: array[None]}))
        fewer = {k: v for k, v in own.tensors.items() if k != name}
        others.append(dataclasses.replace(own, tensors=fewer))
    identities = [file.identity() for file in (own, *others)]
    assert len(set(identities)) == len(identities)


def test_every_cut_is_noticed() -> None:
    data = decoder_bytes()
    for cut in range(len(data)):
        with pytest.raises(DecoderFileError):
            read_decoder_file(data[:cut])


def test_every_flipped_bit_is_noticed_or_changes_information_only() -> None:
    data, own = decoder_bytes(), decoder_file()
    accepted = 0
    for bit in range(8 * len(data)):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        try:
            found = read_decoder_file(bytes(altered))
        except DecoderFileError:
            continue
        accepted += 1
        assert_same(dataclasses.replace(found, info={}), dataclasses.replace(own, info={}))
    assert accepted < 200


def edited(**about: Any) -> bytes:
    """A decoder file with some of its metadata replaced."""
    data = decoder_bytes()
    length = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + length])
    head["__metadata__"] |= about
    text = json.dumps({k: v for k, v in head.items() if k != "__metadata__" or v}).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.mark.parametrize(
    "about",
    [
        {"format": "velcodec-decoder-9"},
        {"config": "[]"},
        {"config": "{"},
        {"config": '{"omega_0": 30.0, "architecture": "tiny"}'},
        {"config": "[" * 100_000},
        {"config": '{"a":NaN}'},
        {"config": '{"a":1e999}'},
        {"config": "9" * 5000},
        {"info": "3"},
        {"info": "{" * 100_000},
        {"identity": "00" * 32},
        {"identity": ""},
        {"config": 3},
    ],
    ids=lambda about: f"{about}"[:40],
)
def test_impossible_metadata_is_refused(about: dict[str, Any]) -> None:
    with pytest.raises(DecoderFileError) as caught:
        read_decoder_file(edited(**about))
    assert "\n" not in str(caught.value)


def test_a_safetensors_file_that_is_not_a_decoder_is_refused() -> None:
    from safetensors.numpy import save

    with pytest.raises(DecoderFileError, match="format: found None"):
        read_decoder_file(save({"x": np.zeros(3)}))


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecoderFileError):
        read_decoder_file(data)


@pytest.mark.parametrize("data", [b"\x80\x04K\x01.", (2**63).to_bytes(8, "little"), bytes(8)])
def test_pickles_and_impossible_lengths_are_refused(data: bytes) -> None:
    with pytest.raises(DecoderFileError, match="not a decoder file"):
        read_decoder_file(data)


def test_a_file_over_the_limit_is_neither_read_nor_written(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(
        DecoderFileError, match=f"{path}: found .* expected at most {MAX_FILE_BYTES}"
    ):
        read_decoder_file(path)
    large = DecoderFile({}, {"x": np.zeros(MAX_FILE_BYTES, dtype=np.uint8)})
    with pytest.raises(DecoderFileError, match="expected at most"):
        to_bytes(large)


def test_an_endless_device_is_refused() -> None:
    with pytest.raises(DecoderFileError, match="expected at most"):
        read_decoder_file(Path("/dev/zero"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DecoderFileError, match="none: No such file"):
        read_decoder_file(tmp_path / "none")


@pytest.mark.parametrize("dtype", ["complex64", "bool", "uint32", "O"])
def test_a_tensor_of_another_dtype_is_not_written(dtype: str) -> None:
    with pytest.raises(DecoderFileError, match="decoder tensor x: found dtype"):
        to_bytes(DecoderFile({}, {"x": np.zeros(2, dtype=dtype)}))


NOT_JSON = {"nan": float("nan"), "object": object(), "set": {1, 2}}


@pytest.mark.parametrize("config", [{"a": each} for each in NOT_JSON.values()], ids=NOT_JSON)
def test_a_configuration_that_json_cannot_hold_is_not_written(config: dict[str, Any]) -> None:
    with pytest.raises(DecoderFileError, match="JSON"):
        to_bytes(DecoderFile(config, {}))
