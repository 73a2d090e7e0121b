"""What an unfinished archive was begun with: all that must be the same to go on with it.

A plan is kept beside what was done (in `TARGET.part`, or in the folder of shards) until that is
finished. It says how models are coded and described, and of every file its content's SHA-256, so
that a file which was made anew meanwhile is told by its name.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from velcodec.api import Coding, Description
from velcodec.formats.errors import (
    CorruptError,
    DecoderFileError,
    MissingDecoderError,
    OptionError,
)
from velcodec.formats.files import first_of

if TYPE_CHECKING:
    from velcodec.formats.files import Models, Part

MAX_PLAN_BYTES = 1 << 28
FILES = "files"
HASHED_AT_ONCE = 4

Plan = Mapping[str, Any]
Hashes = Mapping[Path, bytes]
"""The SHA-256 of every file of a job, by its path."""


def hashes_of(models: Models, known: Hashes | None = None) -> Hashes:
    """The SHA-256 of each file that models come from; those that are known are not read again.

    Raises InputFileError.
    """
    found = dict(known or {})
    missing = {part.path: part for part in models.parts if part.path not in found}
    with ThreadPoolExecutor(HASHED_AT_ONCE) as pool:
        found |= zip(missing, pool.map(sha256_of, missing.values()), strict=True)
    return found


def sha256_of(part: Part) -> bytes:
    """The SHA-256 of the file of a part. Raises InputFileError."""
    return part.sha256()


def make_plan(
    models: Models,
    hashes: Hashes,
    about: Description,
    coding: Coding,
    keys: Sequence[str] | None,
    fields: Mapping[str, Any],
    **more: Any,
) -> Plan:
    """The plan of a job, JSON-able; `more` is what else must be the same."""
    from velcodec import __version__

    described = {name: value for name, value in vars(about).items() if name != "source_sha256"}
    plan = {
        "velcodec": __version__,
        "coding": {
            **asdict(coding.target),
            "fit": coding.fit,
            "decoder": decoder_name(coding.decoder),
            "embed_decoder": coding.embed_decoder,
        },
        "description": {**described, "keys": _digest(about.keys)},
        "keys": _digest(keys),
        "fields": {name: _digest(fields[name]) for name in sorted(fields)},
        FILES: [_described(part, hashes) for part in models.parts],
        **more,
    }
    found: Plan = json.loads(json.dumps(plan, sort_keys=True, default=_plain))
    return found


def _described(part: Part, hashes: Hashes) -> dict[str, Any]:
    """A part: which file and array, what they say of the models, and what is in the file."""
    form = {**asdict(part.form), "keys": _digest(part.form.keys)}
    return {
        "file": part.file, "array": part.array, "first": first_of(part), "form": form,
        "sha256": hashes[part.path].hex(),
    }  # fmt: skip


def decoder_name(decoder: Any) -> str:
    """What identifies a decoder: its hash, whatever it is called by; its name where there is none
    of that name.
    """
    identity = getattr(decoder, "identity", None)
    if identity is None:
        from velcodec.decoder import registry

        try:
            identity = registry.find(decoder).identity
        except (MissingDecoderError, DecoderFileError, TypeError, OSError):
            return str(decoder)
    return identity.hex() if isinstance(identity, bytes) else str(identity)


def _digest(values: Any) -> str | None:
    """A short stand-in for keys, or for the values of a field."""
    if values is None or isinstance(values, str | int | float | bool):
        return None if values is None else repr(values)
    array = np.asarray(values)
    if array.dtype.kind in "OU":
        data = json.dumps(list(map(str, values))).encode()
    else:
        data = array.dtype.str.encode() + np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(data).hexdigest()


def _plain(value: Any) -> str | float:
    if isinstance(value, np.generic):
        return float(value)
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
    """Raise OptionError, naming what differs, unless the work at `place` may go on by this plan.

    `stored` are the numbers of the files and arrays of which something was stored already. What is
    in others may have changed: a bad file that ended the work was mended.
    """
    begun, now = _without_unstored(begun, stored), _without_unstored(now, stored)
    if begun == now:
        return
    raise OptionError(
        f"{place}: was begun with other models or options: {_difference(begun, now)}; --force "
        "begins anew"
    )


def _without_unstored(plan: Plan, stored: Container[int]) -> Plan:
    files = plan.get(FILES)
    if not isinstance(files, list):
        return plan
    kept = [
        one if number in stored or not isinstance(one, dict) else {**one, "sha256": None}
        for number, one in enumerate(files)
    ]
    return {**plan, FILES: kept}


def changed_files(begun: Plan, now: Plan) -> list[int]:
    """The numbers of the files and arrays of which the content is another one, in plans that are
    the same otherwise.
    """
    pairs = zip(begun[FILES], now[FILES], strict=True)
    return [number for number, (old, new) in enumerate(pairs) if old != new]


def _difference(begun: Plan, now: Plan) -> str:
    """The first thing in which two plans differ."""
    before, after = begun.get(FILES), now.get(FILES)
    if before != after and isinstance(before, list) and isinstance(after, list):
        return _other_file(before, after)
    for name in sorted(begun.keys() | now.keys()):
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
        return f"{new_name}: has changed since (another SHA-256)"
    return f"found {len(after)} files and arrays, were {len(before)}"


def _name(part: Mapping[str, Any]) -> str:
    array = part.get("array")
    return str(part.get("file")) if array is None else f"{part.get('file')}:{array}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 64 else f"{text[:60]}..."
