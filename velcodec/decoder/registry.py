"""Finding decoder files by name, hash or path: in the user's folder, then among the shipped ones.

Every file is read whole and its hash checked before it is listed, found or added, so an altered
file is never used. Never imports torch and never builds a decoder from what it finds.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import platformdirs

from velcodec.formats.decoder_file import DecoderFile, read_decoder_file
from velcodec.formats.errors import DecoderFileError, MissingDecoderError, OutputExistsError
from velcodec.formats.storage.atomic import atomic_write

HOME_VARIABLE = "VELCODEC_HOME"
SUFFIX = ".safetensors"
ENCODER_SUFFIX = ".encoder.safetensors"
MIN_HASH_DIGITS = 6
_HEX = re.compile(r"[0-9a-fA-F]+")


@dataclass(frozen=True)
class Entry:
    """One decoder file: its name, its identity (SHA-256) and where it was found."""

    name: str
    identity: bytes
    path: Path
    place: str  # "user", "shipped" or "path"
    config: dict[str, Any]
    info: dict[str, Any]

    @property
    def encoder_path(self) -> Path:
        """Where the amortised encoder belongs: a sibling file, which may be absent."""
        return self.path.with_name(self.path.name.removesuffix(SUFFIX) + ENCODER_SUFFIX)

    def to_dict(self) -> dict[str, Any]:
        """What `velcodec decoder list` and `show` print; JSON-able."""
        return {
            "name": self.name,
            "hash": self.identity.hex(),
            "place": self.place,
            "path": str(self.path),
            "bytes": self.path.stat().st_size,
            "encoder": self.encoder_path.is_file(),
            "config": self.config,
            "info": self.info,
        }


def user_folder() -> Path:
    """Where decoders are added: $VELCODEC_HOME/decoders, or the platform's user data folder."""
    home = os.environ.get(HOME_VARIABLE)
    root = Path(home) if home else Path(platformdirs.user_data_dir("velcodec", appauthor=False))
    return root / "decoders"


def shipped_folder() -> Path:
    """Where the package keeps its own decoders."""
    return Path(str(resources.files("velcodec.decoder") / "shipped"))


def _checked(path: Path) -> tuple[DecoderFile, bytes]:
    """A decoder file and its identity; read again when the file changes."""
    stat = path.stat()
    return _read_checked(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=32)
def _read_checked(path: Path, changed_ns: int, size: int) -> tuple[DecoderFile, bytes]:
    file = read_decoder_file(path)
    return file, file.identity()


def read_file(path: Path) -> DecoderFile:
    """The decoder file at `path`, checked; as `read_entry`."""
    return _checked(path)[0]


def read_entry(path: Path, place: str = "path") -> Entry:
    """The decoder file at `path`.

    Raises DecoderFileError when it is not one or was altered, FileNotFoundError when absent.
    """
    file, identity = _checked(path)
    name = str(file.info.get("name", path.name.removesuffix(SUFFIX)))
    return Entry(name, identity, path, place, file.config, file.info)


def _candidates() -> Iterator[tuple[Path, str]]:
    for folder, place in ((user_folder(), "user"), (shipped_folder(), "shipped")):
        if folder.is_dir():
            newest_first = place == "shipped"
            for path in sorted(folder.glob("*" + SUFFIX), reverse=newest_first):
                if not path.name.endswith(ENCODER_SUFFIX):
                    yield path, place


def entries() -> list[Entry]:
    """Every decoder of the user's folder and the shipped ones, in the order of search.

    Raises DecoderFileError when one of the files was altered.
    """
    return [read_entry(path, place) for path, place in _candidates()]


def find(wanted: str | bytes | Path | None = None) -> Entry:
    """The decoder with a name, a hash (bytes, or 6 hex digits or more) or a path.

    None finds the default: the newest shipped one. A string is taken as a path when it has a path
    separator or the file suffix. Altered files in the folders are passed over unless they are what
    was asked for. Raises MissingDecoderError, or DecoderFileError for a bad file named by its path.
    """
    if isinstance(wanted, Path) or (isinstance(wanted, str) and _looks_like_path(wanted)):
        path = Path(wanted)
        if not path.is_file():
            raise MissingDecoderError(f"{path}: decoder file not found")
        return read_entry(path)
    for path, place in _candidates():
        try:
            entry = read_entry(path, place)
        except DecoderFileError:
            if isinstance(wanted, str) and path.name == wanted + SUFFIX:
                raise
            continue
        if _matches(entry, wanted):
            return entry
    raise MissingDecoderError(_missing(wanted))


def _looks_like_path(wanted: str) -> bool:
    return os.sep in wanted or wanted.endswith(SUFFIX)


def settled(wanted: Any) -> Any:
    """What names the same decoder wherever the process goes: a path is made absolute."""
    if isinstance(wanted, Path) or (isinstance(wanted, str) and _looks_like_path(wanted)):
        return Path(wanted).absolute()
    return wanted


def _matches(entry: Entry, wanted: str | bytes | None) -> bool:
    if wanted is None:
        return entry.place == "shipped"
    if isinstance(wanted, bytes):
        return entry.identity == wanted
    is_hash = len(wanted) >= MIN_HASH_DIGITS and _HEX.fullmatch(wanted)
    return entry.name == wanted or bool(is_hash and entry.identity.hex().startswith(wanted.lower()))


def _missing(wanted: str | bytes | None, name: str = "") -> str:
    what = "default decoder" if wanted is None else "decoder"
    if isinstance(wanted, bytes):
        what += f" {name!r} with hash {wanted.hex()}" if name else f" with hash {wanted.hex()}"
    elif wanted is not None:
        what += f" {wanted!r}"
        if len(wanted) < MIN_HASH_DIGITS and _HEX.fullmatch(wanted):
            what += f" (the beginning of a hash needs {MIN_HASH_DIGITS} digits or more)"
    return (
        f"{what} not found, expected it in {user_folder()} or {shipped_folder()}; get its file "
        "from whoever made the archive and run `velcodec decoder add FILE`, or name the file with "
        "--decoder"
    )


def find_for_archive(identity: bytes, name: str, explicit: str | Path | None = None) -> Entry:
    """The decoder an archive was made with, by its hash; `name` only helps the message.

    An `explicit` name, hash or path is looked at first and must have that hash. Raises
    MissingDecoderError with the hash, the name and where to look.
    """
    if explicit is not None:
        entry = find(explicit)
        if entry.identity != identity:
            raise MissingDecoderError(
                f"{entry.path}: decoder has hash {entry.identity.hex()}, the archive needs "
                f"{name!r} with hash {identity.hex()}"
            )
        return entry
    try:
        return find(identity)
    except MissingDecoderError:
        raise MissingDecoderError(_missing(identity, name)) from None


def file_bytes(identity: bytes, explicit: str | Path | None = None) -> bytes:
    """The bytes of the file of a decoder, found by its hash as for an archive.

    Raises MissingDecoderError.
    """
    return find_for_archive(identity, "", explicit).path.read_bytes()


def add(path: Path, force: bool = False) -> Entry:
    """Copy a decoder file (and its encoder, if one lies beside it) to the user's folder.

    The file is checked first, and appears whole or not at all. Adding the same decoder again
    changes nothing. Raises DecoderFileError, MissingDecoderError (no such file),
    OutputExistsError (another decoder has that file name; `force` replaces it).
    """
    entry = find(Path(path))
    folder = user_folder()
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", entry.name).strip(".-") or "decoder"
    target = folder / f"{stem}{SUFFIX}"
    known = _entry_or_none(target)
    if known is None or known.identity != entry.identity:
        if target.exists() and not force:
            raise OutputExistsError(f"{target}: another decoder has this name; --force replaces it")
        _copy(entry.path, target, replace=True)
    added = read_entry(target, "user")
    if entry.encoder_path.is_file():
        _copy(entry.encoder_path, added.encoder_path, replace=True)
    return added


def _entry_or_none(path: Path) -> Entry | None:
    try:
        return read_entry(path, "user")
    except (FileNotFoundError, DecoderFileError):
        return None


def _copy(source: Path, target: Path, replace: bool) -> None:
    if source.resolve() == target.resolve():
        return
    with source.open("rb") as stream, atomic_write(target, force=replace) as out:
        shutil.copyfileobj(stream, out)
