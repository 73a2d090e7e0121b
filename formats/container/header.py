"""The header of an archive: what holds for all of its models."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

import numpy as np

from velcodec.formats import released
from velcodec.formats.errors import CorruptError, OptionError, UnknownFeatureError
from velcodec.formats.facts import Facts, check_stored
from velcodec.formats.latent_coding.coding import USUAL_CODING, TileCoding
from velcodec.formats.no_data import NoData, holds
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.storage.checked_msgpack import (
    check_keys,
    integer,
    number,
    pack,
    sequence,
    short_number,
    unpack_mapping,
)
from velcodec.formats.storage.locks import lazy_property

MAX_HEADER_BYTES = 1 << 22
MAX_LAYOUTS = 1 << 16
MAX_SAMPLES = 1 << 32
AXES = ("zx", "nzx", "n1zx", "xz", "nxz", "n1xz")
VOLUME_ORDERS = tuple("".join(order) for order in permutations("zyx"))
VOLUME_AXES = tuple(f"{n}{order}" for n in ("", "n") for order in VOLUME_ORDERS)
UNITS = ("m/s", "km/s")
KEYS = ("h", "n", "l", "c", "i", "f", "p", "r", "a", "v", "m", "e")
LAYOUT_KEYS = ("s", "a", "t", "u", "d", "o", "v", "n")
RESERVED = {"R": "references of records to others"}
RESERVED_IN_LAYOUT = {"Q": "quantities other than velocity"}
"""Keys that docs/format.md keeps for later versions, and what they are for."""

VERSION_PARTS = 100
"""A version's parts are digits of the number that stands for it, in this base."""

SOURCE_BYTES = 8
"""Bytes of the SHA-256 of the source file that a header keeps."""

MAX_UNKNOWN = 64
"""Maximum number of unknown keys in a header; every later header has a copy of each."""

DTYPES = tuple(f"{end}{kind}" for end in "<>" for kind in ("f4", "f8")) + tuple(
    f"{end}{kind}{size}" for end in "<>" for kind in "iu" for size in (2, 4, 8)
) + ("|i1", "|u1")  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The layout of models: samples, axes of the input array, dtype, units, spacing and origin.

    `nz` and `nx` count samples down and across, `ny` those of volumes along the other horizontal
    axis, None for sections; spacing and origin are in metres. `z_up` says that the rows of the
    input array went up; here they go down. `no_data` (nan or a number) marks absent samples, or is
    None.
    """

    nz: int
    nx: int
    axes: str = "nzx"
    dtype: str = "<f4"
    units: str = "m/s"
    dx_m: float = 10.0
    dz_m: float = 10.0
    origin_x_m: float = 0.0
    origin_z_m: float = 0.0
    z_up: bool = False
    no_data: NoData | None = None
    ny: int | None = None
    dy_m: float = 10.0
    origin_y_m: float = 0.0

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or self.samples > MAX_SAMPLES:
            found = " x ".join(map(str, self.shape))
            raise CorruptError(f"layout: shape: found {found}, expected 1 to {MAX_SAMPLES} samples")
        for name, value, known in (
            ("axes", self.axes, VOLUME_AXES if self.is_volume else AXES),
            ("dtype", self.dtype, DTYPES),
            ("units", self.units, UNITS),
        ):
            if value not in known:
                raise UnknownFeatureError(
                    f"layout: {name}: found {value!r}, expected one of {known}: a later version "
                    "may read it"
                )
        steps = (self.dx_m, self.dz_m, self.dy_m)
        numbers = (*steps, self.origin_x_m, self.origin_z_m, self.origin_y_m)
        if not (min(steps) > 0 and all(abs(v) < 1e12 for v in numbers)):
            raise CorruptError(f"layout: spacing and origin: found {numbers} m")
        if self.no_data is not None and not holds(np.dtype(self.dtype), self.no_data):
            raise CorruptError(
                f"layout: no-data: found {self.no_data!r}, expected nan or a number of {self.dtype}"
            )

    @property
    def is_volume(self) -> bool:
        """Whether models have three axes."""
        return self.ny is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """(nz, nx) of sections, (nz, ny, nx) of volumes."""
        return (self.nz, self.nx) if self.ny is None else (self.nz, self.ny, self.nx)

    @property
    def samples(self) -> int:
        """Samples of a model."""
        return math.prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """A mapping with short keys, without defaults."""
        data: dict[str, Any] = {"s": list(self.shape)}
        for key, value, default in (
            ("a", self.axes, _usual_axes(self.is_volume)),
            ("t", self.dtype, "<f4"),
            ("u", self.units, "m/s"),
        ):
            if value != default:
                data[key] = value
        steps = [self.dx_m, self.dz_m, self.dy_m][: len(self.shape)]
        origin = [self.origin_x_m, self.origin_z_m, self.origin_y_m][: len(self.shape)]
        if any(step != 10.0 for step in steps):
            data["d"] = [short_number(step) for step in steps]
        if any(origin):
            data["o"] = [short_number(metres) for metres in origin]
        if self.z_up:
            data["v"] = True
        if self.no_data is not None:
            no_data = self.no_data
            data["n"] = no_data if isinstance(no_data, str) else short_number(no_data)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Layout:
        """The inverse of `to_dict`. Raises CorruptError, UnknownFeatureError."""
        try:
            check_keys(data, LAYOUT_KEYS, "layout", RESERVED_IN_LAYOUT)
            sizes = [integer(v) for v in sequence(data["s"])]
            steps = [number(v) for v in sequence(data.get("d", [10.0] * len(sizes)))]
            origin = [number(v) for v in sequence(data.get("o", [0.0] * len(sizes)))]
            if sizes and len(sizes) not in (2, 3):
                raise UnknownFeatureError(
                    f"layout: found {len(sizes)} axes, expected 2 or 3: a later version may read it"
                )
            if not len(steps) == len(origin) == len(sizes) > 0:
                raise ValueError(f"found {len(sizes)} sizes, expected as many as metres")
            nz, ny, nx = (sizes[0], None, sizes[1]) if len(sizes) == 2 else sizes
            dx, dz, dy = (*steps, 10.0)[:3]
            x, z, y = (*origin, 0.0)[:3]
            axes = data.get("a", _usual_axes(ny is not None))
            names = (axes, data.get("t", "<f4"), data.get("u", "m/s"))
            if not isinstance(up := data.get("v", False), bool):
                raise TypeError(f"v: found {up!r}, expected true or false")
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise CorruptError(f"layout in the header: {error}") from error
        return cls(nz, nx, *names, dx, dz, x, z, up, data.get("n"), ny, dy, y)


def _usual_axes(volume: bool) -> str:
    """The axes of which a header says nothing."""
    return "nzyx" if volume else "n1zx"


def _number_of_version(parts: tuple[int, ...]) -> int | None:
    """A version as one number: 0.1.0 is 100, 1.2.3 is 10203."""
    if not parts:
        return None
    major, minor, patch = parts
    return (major * VERSION_PARTS + minor) * VERSION_PARTS + patch


def _version_of_number(number: Any) -> tuple[int, ...]:
    """The inverse. Raises TypeError, ValueError."""
    if not 0 <= integer(number) < VERSION_PARTS**3:
        raise ValueError(f"version: found {number!r}, expected 0 to {VERSION_PARTS**3 - 1}")
    rest, patch = divmod(number, VERSION_PARTS)
    return (*divmod(rest, VERSION_PARTS), patch)


def _released(number: Any) -> tuple[str, bytes]:
    """Name and identity of the released decoder of this number. Raises TypeError, ValueError."""
    return released.decoder_of(integer(number))


@dataclass(frozen=True)
class Source:
    """Where the models came from: the start of the SHA-256 of the source file, if there was one."""

    sha256: bytes | None = None

    @classmethod
    def of(cls, sha256: bytes | None) -> Source:
        """The source of this SHA-256 (32 bytes)."""
        return cls(None if sha256 is None else sha256[:SOURCE_BYTES])


@dataclass(frozen=True)
class Header:
    """Everything that an archive states once.

    `decoder_hash` (32 bytes) and `decoder_name` identify the decoder; `tiled` says whether records
    carry a tiling; provenance, licence and the mapping `about` make up the `facts`; `software` is
    the version of velcodec that made the records, empty if unknown; `user` is any JSON-like
    mapping; `exact` is set if records may have exact streams; `extra` keeps unknown keys of later
    versions that a reader may skip.
    """

    decoder_hash: bytes
    decoder_name: str
    layouts: tuple[Layout, ...]
    coding: TileCoding
    tiled: bool = False
    source: Source = field(default_factory=Source)
    provenance: str = ""
    licence: str = ""
    user: Mapping[str, Any] = field(default_factory=dict)
    exact: ExactCoding | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    software: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        hashes = [("decoder hash", self.decoder_hash, 32)]
        if self.source.sha256 is not None:
            hashes.append(("source SHA-256", self.source.sha256, SOURCE_BYTES))
        for name, value, size in hashes:
            if not (isinstance(value, bytes) and len(value) == size):
                raise CorruptError(f"header: {name}: found {value!r}, expected {size} bytes")
        if not isinstance(self.tiled, bool):
            raise CorruptError(f"header: tiled: found {self.tiled!r}, expected true or false")
        if not 1 <= len(self.layouts) <= MAX_LAYOUTS:
            raise CorruptError(
                f"header: layouts: found {len(self.layouts)}, expected 1 to {MAX_LAYOUTS}"
            )
        for name, text in (
            ("decoder name", self.decoder_name),
            ("provenance", self.provenance),
            ("licence", self.licence),
        ):
            if not isinstance(text, str):
                raise CorruptError(f"header: {name}: found {text!r}, expected text")
        if not isinstance(self.user, Mapping):
            raise CorruptError(f"header: user: found {self.user!r}, expected a mapping")
        check_stored(self.about)
        if not (
            len(self.software) in (0, 3)
            and all(type(n) is int and 0 <= n < VERSION_PARTS for n in self.software)
        ):
            raise CorruptError(f"header: version: found {self.software!r}, expected three numbers")

    @property
    def facts(self) -> Facts:
        """What holds for all models of the header."""
        return Facts.of_header(self.provenance, self.licence, self.about)

    def with_facts(self, facts: Facts) -> Header:
        """The header with these facts in place of its own."""
        return replace(
            self, provenance=facts.provenance, licence=facts.licence, about=facts.shared()
        )

    @lazy_property
    def most_samples(self) -> int:
        """Samples of the largest layout."""
        return max(layout.samples for layout in self.layouts)

    @lazy_property
    def has_volumes(self) -> bool:
        """Whether some layout is that of a volume."""
        return any(layout.is_volume for layout in self.layouts)

    def to_dict(self, without: Collection[str] = ()) -> dict[str, Any]:
        """A mapping with short keys, without empty values, and without layouts if `without` has
        "l".
        """
        known = released.number_of(self.decoder_name, self.decoder_hash)
        data: dict[str, Any] = {"h": self.decoder_hash if known is None else known}
        if "l" not in without:
            data["l"] = [layout.to_dict() for layout in self.layouts]
        for key, value in (
            ("n", self.decoder_name if known is None else ""),
            ("c", None if self.coding == USUAL_CODING else self.coding.to_list()),
            ("i", self.tiled),
            ("f", self.source.sha256),
            ("p", self.provenance),
            ("r", self.licence),
            ("a", dict(self.about)),
            ("v", _number_of_version(self.software)),
            ("m", dict(self.user)),
            ("e", None if self.exact is None else self.exact.to_dict()),
        ):
            if value:
                data[key] = value
        return data | dict(self.extra)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], first: Header | None = None) -> Header:
        """The inverse of `to_dict`. If `first` is given, `values` holds what differs from it, and a
        key with the value None is absent. Raises CorruptError, and UnknownFeatureError for an
        unknown key that must be understood.
        """
        check_keys(values, KEYS, "header", RESERVED)
        own = values
        if first is not None:
            own = {key: value for key, value in values.items() if value is not None}
        gone = values.keys() - own.keys()

        def part(key: str, make: Callable[[Any], Any], otherwise: Callable[[Header], Any]) -> Any:
            # Shared parts are not built again: there may be thousands of later headers.
            if first is None or key in values:
                return make(own[key])
            return otherwise(first)

        def option(key: str, default: Any, otherwise: Callable[[Header], Any]) -> Any:
            if key in own:
                return own[key]
            return default if first is None or key in gone else otherwise(first)

        try:
            exact = option("e", None, lambda header: header.exact)
            extra = {key: value for key, value in own.items() if key not in KEYS}
            if first is not None:
                kept = {key: value for key, value in first.extra.items() if key not in gone}
                extra = kept | extra
            if len(extra) > MAX_UNKNOWN:
                raise CorruptError(
                    f"header: found {len(extra)} unknown keys, expected at most {MAX_UNKNOWN}"
                )
            stated = option("n", "", lambda header: header.decoder_name)
            name, identity = part(
                "h",
                lambda value: (stated, value) if isinstance(value, bytes) else _released(value),
                lambda header: (stated, header.decoder_hash),
            )
            found = cls(
                identity,
                name,
                part(
                    "l",
                    lambda value: tuple(Layout.from_dict(layout) for layout in sequence(value)),
                    lambda header: header.layouts,
                ),
                TileCoding.from_list(own["c"])
                if "c" in own
                else option("c", USUAL_CODING, lambda header: header.coding),
                option("i", False, lambda header: header.tiled),
                Source(option("f", None, lambda header: header.source.sha256)),
                option("p", "", lambda header: header.provenance),
                option("r", "", lambda header: header.licence),
                option("m", {}, lambda header: header.user),
                ExactCoding.from_dict(exact) if "e" in own else exact,
                extra,
                option("a", {}, lambda header: header.about),
                _version_of_number(own["v"])
                if "v" in own
                else option("v", (), lambda header: header.software),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptError(f"header: {error}") from error
        if first is not None and found.layouts is first.layouts:
            # Checked once for all headers, of which there may be as many as layouts.
            vars(found)["most_samples"] = first.most_samples
            vars(found)["has_volumes"] = first.has_volumes
        return found

    def to_bytes(self, first: Header | None = None, number: int = 0) -> bytes:
        """Msgpack. If the archive's `first` header is given: only what differs from it, and the
        header's own `number`.

        Raises `OptionError` for what msgpack cannot hold or a reader would refuse.
        """
        # Shared parts are not checked again: there may be thousands of headers.
        shared = {"l"} if first is not None and self.layouts is first.layouts else set()
        data = self.to_dict(shared)
        if first is not None:
            before = first.to_dict(shared)
            gone = {key: None for key in before if key not in data}
            data = {k: v for k, v in data.items() if k not in before or before[k] != v} | gone
        try:
            packed = pack(data | {"b": number} if number else data)
            if Header.from_bytes(packed, first, number) != self and first is not None:
                raise ValueError("expected values that come back as they were")
        except (TypeError, ValueError, OverflowError, RecursionError, CorruptError) as error:
            raise OptionError(f"metadata: {error}") from error
        return packed

    @classmethod
    def from_bytes(cls, data: bytes, first: Header | None = None, number: int = 0) -> Header:
        """The inverse of `to_bytes`. Raises UnknownFeatureError, and CorruptError, also for the
        header of another number, under which records would be decoded wrongly.
        """
        if len(data) > MAX_HEADER_BYTES:
            raise CorruptError(
                f"header: found {len(data)} bytes, expected at most {MAX_HEADER_BYTES}"
            )
        values = unpack_mapping(data, "header")
        found = values.pop("b", 0)
        if found != number or isinstance(found, bool):
            raise CorruptError(f"header: found the one of number {found!r}, expected {number}")
        return cls.from_dict(values, first)
