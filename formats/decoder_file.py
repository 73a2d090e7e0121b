"""Decoder files: safetensors with a configuration, identified by the hash of their content.

The file holds tensors, the configuration (JSON, hashed) and free information such as name,
provenance and licence (JSON, not hashed). NumPy only; what the tensors mean is not known here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save

from velcodec.formats.errors import DecoderFileError
from velcodec.formats.storage.checked_msgpack import once

MAX_FILE_BYTES = 16 * 2**20
MAX_HEADER_BYTES = 1 << 20
MAX_TENSORS = 1 << 12
FORMAT_NAME = "velcodec-decoder-0"
DTYPES = {
    "F16": "<f2", "F32": "<f4", "F64": "<f8", "U8": "u1", "U16": "<u2", "I32": "<i4", "I64": "<i8",
}  # fmt: skip


@dataclass(frozen=True)
class DecoderFile:
    """Configuration and tensors, which make its identity, and information, which does not."""

    config: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    info: dict[str, Any] = field(default_factory=dict)

    def identity(self) -> bytes:
        """SHA-256 over the canonical content (docs/format.md, "Decoder file"), 32 bytes."""
        digest = hashlib.sha256()
        digest.update(FORMAT_NAME.encode() + b"\n" + _canonical(self.config) + b"\n")
        for name in sorted(self.tensors):
            array = self.tensors[name]
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            head = [name, _dtype_name(name, array), list(array.shape)]
            digest.update(_canonical(head) + b"\n" + little.tobytes())
        return digest.digest()


def _canonical(value: Any) -> bytes:
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise DecoderFileError(f"decoder file: expected what JSON can hold: {error}") from error
    return text.encode()


def _dtype_name(name: str, array: NDArray[Any]) -> str:
    for code, dtype in DTYPES.items():
        if array.dtype.newbyteorder("<") == np.dtype(dtype):
            return code
    raise DecoderFileError(
        f"decoder tensor {name}: found dtype {array.dtype}, expected one of {list(DTYPES)}"
    )


def to_bytes(file: DecoderFile) -> bytes:
    """The bytes of a decoder file. Raises DecoderFileError for what no reader would take."""
    about = {
        "format": FORMAT_NAME,
        "config": _canonical(file.config).decode(),
        "info": _canonical(file.info).decode(),
        "identity": file.identity().hex(),
    }
    # Not `ascontiguousarray`, which gives an array of no axis one.
    tensors = {k: np.asarray(v, order="C") for k, v in file.tensors.items()}
    data = save(tensors, metadata=about)
    _check_size("decoder file", len(data))
    return data


def write_decoder_file(path: Path, file: DecoderFile) -> None:
    """Write a decoder file; an existing one is refused (a frozen decoder is never changed)."""
    from velcodec.formats.storage.atomic import atomic_write

    with atomic_write(Path(path)) as stream:
        stream.write(to_bytes(file))


def read_decoder_file(source: Path | bytes) -> DecoderFile:
    """Read a decoder file, given by path or as bytes, and check its hash.

    Raises DecoderFileError where it is not one, is over 16 MiB, or was altered.
    """
    place, data = _load(source)
    header, start = _header(place, data)
    about = header.pop("__metadata__", None)
    if not isinstance(about, dict) or about.get("format") != FORMAT_NAME:
        found = about.get("format") if isinstance(about, dict) else None
        raise DecoderFileError(f"{place}: format: found {found!r}, expected {FORMAT_NAME!r}")
    try:
        config, info = (
            json.loads(about["config"]),
            json.loads(about["info"], object_pairs_hook=once),
        )
        canonical = _canonical(config).decode() == about["config"]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise DecoderFileError(f"{place}: metadata: {error}") from error
    if not (isinstance(config, dict) and isinstance(info, dict)):
        raise DecoderFileError(f"{place}: metadata: expected objects for config and info")
    if not canonical:
        raise DecoderFileError(f"{place}: config: expected canonical JSON: sorted keys, no spaces")
    if len(header) > MAX_TENSORS:
        raise DecoderFileError(
            f"{place}: found {len(header)} tensors, expected at most {MAX_TENSORS}"
        )
    tensors = {name: _tensor(place, name, entry, data, start) for name, entry in header.items()}
    file = DecoderFile(config, tensors, info)
    found, expected = file.identity().hex(), about.get("identity")
    if found != expected:
        raise DecoderFileError(f"{place}: content hash: found {found}, expected {expected}")
    return file


def _load(source: Path | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        place, data = "decoder file", source
    else:
        place = str(source)
        try:
            with Path(source).open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise DecoderFileError(f"{place}: {error.strerror}") from error
    _check_size(place, len(data))
    return place, data


def _check_size(place: str, size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise DecoderFileError(f"{place}: found {size} bytes, expected at most {MAX_FILE_BYTES}")


def _header(place: str, data: bytes) -> tuple[dict[str, Any], int]:
    """The safetensors header, checked by that library first (layout, bounds, no gaps)."""
    from safetensors import deserialize

    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise DecoderFileError(
            f"{place}: not a decoder file: found a header of {length} bytes, "
            f"expected at most {MAX_HEADER_BYTES}"
        )
    try:
        deserialize(data)
        header = json.loads(data[8 : 8 + length], object_pairs_hook=once)
    except (SafetensorError, ValueError, RecursionError) as error:
        raise DecoderFileError(f"{place}: not a decoder file: {error}") from error
    return header, 8 + length


def _tensor(place: str, name: str, entry: dict[str, Any], data: bytes, start: int) -> NDArray[Any]:
    dtype = DTYPES.get(entry["dtype"])
    if dtype is None:
        raise DecoderFileError(
            f"{place}: tensor {name}: found dtype {entry['dtype']}, expected one of {list(DTYPES)}"
        )
    first, last = entry["data_offsets"]
    flat = np.frombuffer(data[start + first : start + last], dtype=dtype)
    try:
        return flat.reshape(entry["shape"])
    except (ValueError, OverflowError) as error:  # more axes, or longer ones, than NumPy has
        raise DecoderFileError(f"{place}: tensor {name}: {error}") from error
