"""Read untrusted msgpack: bound the counts first, take types literally.

A count in msgpack can promise more elements than there are bytes, and an unpacker may allocate for
them; `unpack_mapping` checks first. This module does not know what the fields mean.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from string import ascii_letters
from typing import Any

import msgpack

from velcodec.formats.errors import CorruptError, UnknownFeatureError

# Lead bytes followed by a length or count of 1, 2 or 4 bytes (big-endian).
_BYTES_FOLLOW = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAYS, _MAPS = {0xDC: 2, 0xDD: 4}, {0xDE: 2, 0xDF: 4}
_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}

MAX_DEPTH = 64
MAX_VALUES = 1 << 20
"""Maximum number of values, containers included: each may take some 70 bytes when unpacked."""


def unpack_mapping(data: bytes, place: str, most: int = MAX_VALUES) -> dict[str, Any]:
    """Unpack a msgpack mapping with text keys and at most `most` values in all. Raises
    `CorruptError` before allocating more than its bytes can hold.
    """
    values = _unpack(data, place, most)
    if not isinstance(values, dict):
        raise CorruptError(f"{place}: found {type(values).__name__}, expected a mapping")
    return values


def pack(value: Any) -> bytes:
    """Msgpack in which every key of one letter takes one byte: its ASCII code.

    Raises TypeError for a key that is not text, and whatever msgpack raises.
    """
    packed: bytes = msgpack.packb(_with_codes(value))
    return packed


def _with_codes(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_code_of(key): _with_codes(each) for key, each in value.items()}
    return [_with_codes(each) for each in value] if isinstance(value, list | tuple) else value


def _code_of(key: Any) -> str | int:
    if not isinstance(key, str):
        raise TypeError(f"found the key {key!r}, expected text")
    return ord(key) if key in ascii_letters and len(key) == 1 else key


def check_keys(
    values: Mapping[str, Any],
    known: Collection[str],
    place: str,
    reserved: Mapping[str, str] | None = None,
) -> None:
    """Raise UnknownFeatureError for an unknown key that must be understood: one that does not begin
    with a lower-case ASCII letter. `reserved` says what some of these are for. Raises TypeError if
    `values` is not a mapping.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"found {type(values).__name__}, expected a mapping")
    for key in values:
        if key not in known and not "a" <= key[:1] <= "z":
            purpose = (reserved or {}).get(key)
            found = f"the unknown key {key!r}, which must be understood"
            if purpose is not None:
                found = f"{purpose} (key {key!r}), which this version does not know"
            raise UnknownFeatureError(f"{place}: found {found}: a later version may read it")


def unpack_array(data: bytes, place: str, most: int = MAX_VALUES) -> list[Any]:
    """Unpack a msgpack array; see `unpack_mapping`. Raises `CorruptError`."""
    values = _unpack(data, place, most)
    if not isinstance(values, list):
        raise CorruptError(f"{place}: found {type(values).__name__}, expected an array")
    return values


def _unpack(data: bytes, place: str, most: int) -> Any:
    _check_counts(data, place, most)
    try:
        return msgpack.unpackb(data, strict_map_key=False, object_pairs_hook=_lettered)
    except (ValueError, TypeError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise CorruptError(f"{place}: {str(error) or type(error).__name__}") from error


def _lettered(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """A mapping with letters in place of their codes. Raises ValueError for any other key that is
    not text, and for a repeated one.
    """
    return once((_key_of(key), value) for key, value in pairs)


def _key_of(key: Any) -> str:
    if isinstance(key, str):
        return key
    if type(key) is int and 0 < key < 128 and chr(key) in ascii_letters:
        return chr(key)
    raise ValueError(f"found the key {key!r}, expected text or the code of a letter")


def once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """A mapping from pairs, as of JSON. Raises ValueError for a repeated key, of which
    readers might take either value.
    """
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"found the key {key!r} twice, expected each once")
        found[key] = value
    return found


def unpack_texts(data: bytes, count: int, most_bytes: int, place: str) -> tuple[str, ...]:
    """Unpack a msgpack array of exactly `count` texts of at most `most_bytes` each, and nothing
    else.

    Raises `CorruptError`.
    """
    head = _array_head(count)
    if data[: len(head)] != head:
        raise CorruptError(f"{place}: expected a list of {count} texts")
    unpacker = msgpack.Unpacker(
        max_buffer_size=max(1, len(data)), max_str_len=most_bytes, max_bin_len=0, max_array_len=0,
        max_map_len=0, max_ext_len=0,
    )  # fmt: skip
    unpacker.feed(memoryview(data)[len(head) :])
    try:
        texts = tuple(unpacker)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise CorruptError(f"{place}: {str(error) or type(error).__name__}") from error
    valid = len(texts) == count and all(isinstance(text, str) for text in texts)
    if not valid or not _are_packed(texts, data, len(head)):
        raise CorruptError(f"{place}: expected a list of {count} texts and nothing else")
    return texts


def _are_packed(texts: Iterable[str], data: bytes, at: int) -> bool:
    """Whether all bytes from `at` on are these texts: the unpacker silently drops an element cut
    short. One text at a time, to avoid a second copy in memory.
    """
    pack = msgpack.Packer().pack
    for text in texts:
        packed = pack(text)
        if not data.startswith(packed, at):
            return False
        at += len(packed)
    return at == len(data)


def integer(value: Any) -> int:
    """`value` if it is an integer; True and False are not. Raises TypeError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"found {value!r}, expected an integer")
    return value


def number(value: Any) -> float:
    """`value` as a float if it is an integer or a float. Raises TypeError."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"found {value!r}, expected a number")
    return float(value)


def short_number(value: float) -> float | int:
    """An integer if it says the same in fewer bytes."""
    short = int(value)
    return short if value == short and -(1 << 63) <= short < 1 << 64 else value


def sequence(value: Any) -> list[Any]:
    """`value` if it is an array. Raises TypeError."""
    if not isinstance(value, list):
        raise TypeError(f"found {type(value).__name__}, expected an array")
    return value


def _array_head(count: int) -> bytes:
    if count < 16:
        return bytes([0x90 | count])
    return (
        b"\xdc" + count.to_bytes(2, "big") if count < 2**16 else b"\xdd" + count.to_bytes(4, "big")
    )


def _check_counts(data: bytes, place: str, most: int) -> None:
    """Refuse data whose counts promise more elements than there are bytes left, or than `most`, or
    that is nested deeper than MAX_DEPTH or holds extension types.
    """
    at, wanted, seen = 0, 1, 0
    open_ends: list[int] = []
    while wanted:
        if wanted > len(data) - at:
            room = max(0, len(data) - at)
            raise CorruptError(f"{place}: found {wanted} more elements in {room} bytes")
        seen += 1
        step, inside = _element(data, at, place)
        at, wanted = at + step, wanted - 1 + inside
        if seen + wanted > most:
            raise CorruptError(f"{place}: found {seen + wanted} values, expected at most {most}")
        if inside:
            # A container ends when only as many elements are open as were before it.
            open_ends.append(wanted - inside)
            if len(open_ends) > MAX_DEPTH:
                raise CorruptError(f"{place}: found values nested more than {MAX_DEPTH} deep")
        else:
            while open_ends and open_ends[-1] >= wanted:
                open_ends.pop()


def _element(data: bytes, at: int, place: str) -> tuple[int, int]:
    """Bytes of the element at `at` without those inside it, and how many elements are inside it."""
    lead = data[at]

    def length(width: int) -> int:
        return int.from_bytes(data[at + 1 : at + 1 + width], "big")

    if lead < 0x80 or lead >= 0xE0 or 0xC0 <= lead <= 0xC3:  # small integers, nil, true, false
        return 1, 0
    if lead < 0xA0:  # small maps and arrays
        return 1, (lead & 0x0F) * (2 if lead < 0x90 else 1)
    if lead < 0xC0:  # short texts
        return 1 + (lead & 0x1F), 0
    if lead in _BYTES_FOLLOW:
        width = _BYTES_FOLLOW[lead]
        return 1 + width + length(width), 0
    if lead in _ARRAYS:
        return 1 + _ARRAYS[lead], length(_ARRAYS[lead])
    if lead in _MAPS:
        return 1 + _MAPS[lead], 2 * length(_MAPS[lead])
    if lead in _FIXED:
        return 1 + _FIXED[lead], 0
    raise CorruptError(f"{place}: found a msgpack type of {lead:#x}, which is not allowed")
