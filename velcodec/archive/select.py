"""Select models of an archive by number, key, fields, measured figures or mask."""

from __future__ import annotations

import codecs
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velcodec.archive.archive import Archive
from velcodec.archive.listing import column_of
from velcodec.formats.errors import InputFileError, OptionError
from velcodec.formats.files.npy import load_mapped
from velcodec.formats.storage.safe_read import mapped_rows

RELATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(r"([^=<>!]+)(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
ENCODING_NAMES = {"utf-8-sig": "UTF-8,", "utf-32": "UTF-32,", "utf-16": "UTF-16,"}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Condition:
    """A condition on a field, or a figure such as `psnr_db`: `site = north`, `depth >= 2`.

    It is false for models without a value. An empty condition value tests for that: `site =` holds
    for models without a value, `site !=` for all others.
    """

    field: str
    relation: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """`FIELD=VALUE`, or another of RELATIONS. Raises OptionError."""
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise OptionError(f"condition: found {text!r}, expected one such as family=flatvel_a")
        return cls(*match.groups())

    def holds(self, archive: Archive) -> NDArray[np.bool_]:
        """Whether each model satisfies it, (n,). Raises OptionError if it does not fit."""
        column = column_of(archive, self.field)
        compare = RELATIONS[self.relation]
        texts = column.dtype == object
        known: NDArray[np.bool_] = (column != "") if texts else (column == column)
        if (texts or not self.value) and self.relation not in ("=", "!="):
            what = "holds texts" if texts else "no value is given"
            raise OptionError(f"field {self.field!r}: {what}, expected = or !=")
        if not self.value:
            return ~known.astype(bool) if self.relation == "=" else known.astype(bool)
        value = self.value if texts else self._number(column.dtype == bool)
        holding: NDArray[np.bool_] = compare(column, value) & known
        return holding.astype(bool)

    def _number(self, truth: bool) -> float | bool:
        try:
            return _TRUTH[self.value.lower()] if truth else float(self.value)
        except (KeyError, ValueError):
            what = "true or false" if truth else "a number"
            raise OptionError(
                f"field {self.field!r}: found {self.value!r}, expected {what}"
            ) from None


@dataclass(frozen=True)
class Subset:
    """Models by numbers, slices and keys, in this order, or all models; of these, those for which
    every condition and the mask hold.
    """

    models: Sequence[int | slice] = ()
    keys: Sequence[str] = ()
    where: Sequence[Condition] = ()
    mask: NDArray[Any] | None = None

    def numbers(self, archive: Archive) -> Sequence[int]:
        """The numbers of the models.

        Raises OptionError for a model named twice, an unknown field or a mask of the wrong length;
        ModelNumberError, KeyNotFoundError.
        """
        named = self._named(archive)
        conditions: list[NDArray[Any]] = [condition.holds(archive) for condition in self.where]
        if self.mask is not None:
            conditions.append(_checked_mask(self.mask, archive))
        if not conditions:
            return named
        kept = np.logical_and.reduce(conditions)
        return [number for number in named if kept[number]]

    def _named(self, archive: Archive) -> Sequence[int]:
        parts: list[Iterable[int]] = []
        for which in self.models:
            parts.append(archive.select(which) if isinstance(which, slice) else [which])
        if not self.models and not self.keys:
            return range(len(archive))
        if len(parts) == 1 and isinstance(parts[0], range) and not self.keys:
            return parts[0]
        numbers = [archive.index(number) for part in parts for number in part]
        numbers += [archive.index(key) for key in self.keys]
        seen: set[int] = set()
        for number in numbers:
            if number in seen:
                raise OptionError(f"model {number}: found it twice, expected each model once")
            seen.add(number)
        return numbers


def _checked_mask(mask: NDArray[Any], archive: Archive) -> NDArray[np.bool_]:
    if mask.dtype != bool or mask.shape != (len(archive),):
        raise OptionError(
            f"mask: found {mask.dtype} of shape {mask.shape}, expected bool of ({len(archive)},), "
            "one for each model"
        )
    return mask


def read_keys(path: Path) -> list[str]:
    """The keys in a text file, one a line, with any line ends. Raises InputFileError.

    The file is in UTF-8, or in UTF-16 or UTF-32 with a byte order mark, which is not part of a key.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: {error.strerror or error}") from error
    marked = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), None)
    try:
        text = data.decode(marked or "utf-8")
    except UnicodeDecodeError as error:
        what = (
            f"{ENCODING_NAMES[marked]} as its byte order mark says"
            if marked
            else "UTF-8, or in UTF-16 with a byte order mark"
        )
        raise InputFileError(
            f"{path}: byte {error.start}: found {data[error.start]:#04x}, expected text in {what}, "
            "one key a line"
        ) from error
    if "\0" in text:
        at = text.index("\0")
        raise InputFileError(
            f"{path}: character {at}: found a zero, expected text, one key a line; text in UTF-16 "
            "needs a byte order mark"
        )
    # Other line breaks of Unicode may be part of a key.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    keys = lines[:-1] if lines[-1] == "" else lines
    if "" in keys:
        raise InputFileError(f"{path}: line {keys.index('') + 1}: found none, expected a key")
    return keys


def read_mask(path: Path) -> NDArray[Any]:
    """The array of a `.npy` file. Raises InputFileError."""
    try:
        return mapped_rows(load_mapped(path), path)
    except OSError as error:
        raise InputFileError(f"{path}: {error.strerror or error}") from error
