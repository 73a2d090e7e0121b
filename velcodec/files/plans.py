"""The plan of an unfinished archive: everything that must be the same to resume it.

A plan is stored in `TARGET.part`, or in the folder of shards, until the archive is finished. It
holds the coding, the description, and the SHA-256 of every file, so that an error can name a file
that has changed.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from dataclasses import fields as fields_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from velcodec.decoder import registry
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding
from velcodec.formats.errors import (
    CorruptError,
    DecoderFileError,
    MissingDecoderError,
    OptionError,
)
from velcodec.formats.files import first_of
from velcodec.formats.files.absent import Marks
from velcodec.formats.files.base import Slice
from velcodec.version import __version__

if TYPE_CHECKING:
    from velcodec.formats.files import Models, Part

MAX_PLAN_BYTES = 1 << 28
FILES = "files"
DESCRIBED = ("path", "file", "array", "form")
"""Attributes of a part that its entry states in full."""

CONTENT = ("sha256", "read")
"""Keys of a file's entry that may change until one of its models is stored."""

HASHED_AT_ONCE = 4

Plan = Mapping[str, Any]
Hashes = Mapping[Path, bytes]
"""The SHA-256 of every file of a job, by path."""


def hashes_of(models: Models, known: Hashes | None = None) -> Hashes:
    """The SHA-256 of each file of `models`; reads only files that are not in `known`.

    Raises InputFileError.
    """
    hashes = dict(known or {})
    missing = {part.path: part for part in models.parts if part.path not in hashes}
    with ThreadPoolExecutor(HASHED_AT_ONCE) as pool:
        hashes |= zip(missing, pool.map(sha256_of, missing.values()), strict=True)
    return hashes


def sha256_of(part: Part) -> bytes:
    """The SHA-256 of the file of a part. Raises InputFileError."""
    return part.sha256()


def make_plan(
    models: Models,
    hashes: Hashes,
    description: Description,
    coding: Coding,
    keys: Sequence[str] | None,
    fields: Mapping[str, Any],
    **more: Any,
) -> Plan:
    """The plan of a job, JSON-able; `more` must stay the same too."""
    described = {k: value for k, value in vars(description).items() if k != "source_sha256"}
    plan = {
        "velcodec": __version__,
        "coding": {
            **asdict(coding.target),
            "effort": coding.effort,
            "decoder": decoder_name(coding.decoder),
            "encoder": _encoder_digest(coding.decoder),
            "embed_decoder": coding.embed_decoder,
        },
        "description": {**described, "keys": _digest(description.keys)},
        "keys": _digest(keys),
        "fields": {name: _digest(fields[name]) for name in sorted(fields)},
        "names": models.need_names,
        FILES: [_described(part, hashes) for part in models.parts],
        **more,
    }  # fmt: skip
    plain: Plan = json.loads(json.dumps(plan, sort_keys=True, default=_plain))
    return plain


def _described(part: Part, hashes: Hashes) -> dict[str, Any]:
    """The entry of a part: its file and array, their metadata, their content, how it is read."""
    form = {**asdict(part.form), "keys": _digest(part.form.keys)}
    return {
        "file": part.file, "array": part.array, "first": first_of(part), "form": form,
        "sha256": hashes[part.path].hex(), "read": _reading(part),
    }  # fmt: skip


def _reading(part: Part) -> str:
    """A digest of the settings with which a part's class reads its file."""
    while isinstance(part, Slice):
        part = part.whole
    settings = {
        each.name: getattr(part, each.name)
        for each in fields_of(part)
        if each.compare and each.name not in DESCRIBED
    }
    settings = {name: value for name, value in settings.items() if value not in (None, 0, Marks())}
    name = type(part).__name__
    if not settings:
        return name
    return f"{name} {hashlib.sha256(repr(settings).encode()).hexdigest()[:32]}"


def _encoder_digest(decoder: Any) -> str | None:
    """The SHA-256 of the encoder beside a decoder, at which fits start; None if there is none."""
    path = getattr(decoder, "encoder_path", None)
    if getattr(decoder, "identity", None) is None:
        try:
            path = registry.find(decoder).encoder_path
        except (MissingDecoderError, DecoderFileError, TypeError, OSError):
            return None
    if path is None or not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def decoder_name(decoder: Any) -> str:
    """The hash of a decoder, however it was named; the name itself if no such decoder exists."""
    identity = getattr(decoder, "identity", None)
    if identity is None:
        try:
            identity = registry.find(decoder).identity
        except (MissingDecoderError, DecoderFileError, TypeError, OSError):
            return str(decoder)
    return identity.hex() if isinstance(identity, bytes) else str(identity)


def _digest(values: Any) -> str | None:
    """A short digest of keys, or of the values of a field."""
    if values is None or isinstance(values, str | int | float | bool):
        return None if values is None else repr(values)
    array = np.asarray(values)
    if array.dtype.kind in "OU":
        data = json.dumps(np.asarray(values, dtype=object).tolist(), default=repr).encode()
    else:
        data = array.dtype.str.encode() + np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(data).hexdigest()


def _plain(value: Any) -> Any:
    """A JSON-able value, different for any two different values."""
    if isinstance(value, np.ndarray):
        return f"{value.shape} {_digest(value)}"
    if isinstance(value, np.generic):
        return value.item() if value.dtype.kind in "biuf" else repr(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def pack_plan(plan: Plan) -> bytes:
    """The bytes of a plan."""
    return zlib.compress(json.dumps(plan, sort_keys=True).encode())


def unpack_plan(data: bytes, place: str) -> Plan:
    """The inverse of `pack_plan`. Raises CorruptError."""
    try:
        inflate = zlib.decompressobj()
        plan = json.loads(inflate.decompress(data, MAX_PLAN_BYTES))
        if not isinstance(plan, dict) or inflate.unconsumed_tail:
            raise ValueError("found something else")
    except (zlib.error, ValueError, RecursionError) as error:
        raise CorruptError(f"{place}: plan: {error}") from error
    return plan


def check_same(begun: Plan, now: Plan, place: str, stored: Container[int]) -> None:
    """Raise OptionError, naming the difference, unless plan `now` may resume the work at `place`.

    `stored` are the numbers of files and arrays with models already stored. The content of others
    may change, so that a bad file which ended the work can be repaired.
    """
    begun, now = _without_unstored(begun, stored), _without_unstored(now, stored)
    if begun == now:
        return
    raise OptionError(
        f"{place}: was started with other models or options: {_difference(begun, now)}; --force "
        "starts again"
    )


def _without_unstored(plan: Plan, stored: Container[int]) -> Plan:
    files = plan.get(FILES)
    if not isinstance(files, list):
        return plan
    kept = [
        one if number in stored or not isinstance(one, dict) else one | dict.fromkeys(CONTENT)
        for number, one in enumerate(files)
    ]
    return {**plan, FILES: kept}


def changed_files(begun: Plan, now: Plan) -> list[int]:
    """Numbers of the files and arrays whose content differs between two otherwise equal plans."""
    pairs = zip(begun[FILES], now[FILES], strict=True)
    return [number for number, (old, new) in enumerate(pairs) if old != new]


def _difference(begun: Plan, now: Plan) -> str:
    """The first difference between two plans."""
    before, after = begun.get(FILES), now.get(FILES)
    # A description that differs may differ in the files too, which say it less plainly.
    described = begun.get("description") == now.get("description")
    if described and before != after and isinstance(before, list) and isinstance(after, list):
        return _other_file(before, after)
    names = sorted(begun.keys() | now.keys(), key=lambda name: (name != "description", name))
    for name in names:
        old, new = begun.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            name, old, new = next(
                (key, old.get(key), new.get(key))
                for key in sorted(old.keys() | new.keys())
                if old.get(key) != new.get(key)
            )
        return f"{name}: found {_short(new)}, was {_short(old)}"
    return "the plan"


def _other_file(before: list[Any], after: list[Any]) -> str:
    for old, new in zip(before, after, strict=False):
        if old == new or not (isinstance(old, dict) and isinstance(new, dict)):
            continue
        old_name, new_name = (_name(one) for one in (old, new))
        if old_name != new_name:
            return f"found {new_name} where {old_name} was"
        if old.get("form") != new.get("form"):
            form, other = new.get("form") or {}, old.get("form") or {}
            key = next(k for k in sorted(form.keys() | other.keys()) if form.get(k) != other.get(k))
            return f"{new_name}: {key}: found {_short(form.get(key))}, was {_short(other.get(key))}"
        if old.get("sha256") == new.get("sha256"):
            return f"{new_name}: is read in another way"
        return f"{new_name}: has changed since (another SHA-256)"
    return f"found {len(after)} files and arrays, were {len(before)}"


def _name(part: Mapping[str, Any]) -> str:
    array = part.get("array")
    return str(part.get("file")) if array is None else f"{part.get('file')}:{array}"


def _short(value: Any) -> str:
    text = "not stated" if value is None else str(value)
    return text if len(text) <= 64 else f"{text[:60]}..."
