"""Find decoder files by name, hash or path: in the user's folder, then among the shipped ones.

Every file is read whole and its hash checked before it is listed, found or added, so an altered
file is never used. Imports no torch and builds no decoder.
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
MAX_ENCODER_BYTES = 1 << 26
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
        """Path of the amortised encoder: a sibling file, which may be absent."""
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
    """Folder of the decoders that the package ships."""
    return Path(str(resources.files("velcodec.decoder") / "shipped"))


def _checked(path: Path) -> tuple[DecoderFile, bytes]:
    """A decoder file and its identity, cached until the file changes."""
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

    Raises DecoderFileError if it is not one or was altered, FileNotFoundError if absent.
    """
    file, identity = _checked(path)
    name = str(file.info.get("name", path.name.removesuffix(SUFFIX)))
    return Entry(name, identity, path, place, file.config, file.info)


def _candidates() -> Iterator[tuple[Path, str]]:
    for folder, place in ((user_folder(), "user"), (shipped_folder(), "shipped")):
        if folder.is_dir():
            newest_first = place == "shipped"
            for path in sorted(folder.glob("*" + SUFFIX), reverse=newest_first):
                # A link that leads nowhere is no file: it hides no other decoder.
                if not path.name.endswith(ENCODER_SUFFIX) and path.is_file():
                    yield path, place


def entries() -> list[Entry]:
    """The user's and the shipped decoders, in search order.

    Raises DecoderFileError if one of the files was altered.
    """
    return [read_entry(path, place) for path, place in _candidates()]


def find(wanted: str | bytes | Path | None = None) -> Entry:
    """The decoder with a name, a hash (bytes, or 6 hex digits or more) or a path.

    None finds the default: the newest shipped one. A string with a path separator or the file
    suffix is a path; a hash goes before a name. Altered files in the folders are skipped unless
    asked for by name. Raises MissingDecoderError, or DecoderFileError for a bad file named by its
    path.
    """
    if isinstance(wanted, Path) or (isinstance(wanted, str) and _looks_like_path(wanted)):
        path = Path(wanted)
        if not path.is_file():
            raise MissingDecoderError(f"{path}: decoder file not found")
        return read_entry(path)
    named: Entry | DecoderFileError | None = None
    for path, place in _candidates():
        try:
            entry = read_entry(path, place)
        except (DecoderFileError, FileNotFoundError) as error:
            asked_for = isinstance(wanted, str) and path.name == wanted + SUFFIX
            if asked_for and isinstance(error, DecoderFileError):
                named = named or error
            continue
        if _matches(entry, wanted):
            return entry
        if named is None and entry.name == wanted:
            named = entry
            if not _is_hash(wanted):
                break
    if isinstance(named, Entry):
        return named
    raise named or MissingDecoderError(_missing(wanted))


def _looks_like_path(wanted: str) -> bool:
    return os.sep in wanted or wanted.endswith(SUFFIX)


def settled(wanted: Any) -> Any:
    """A reference that stays valid when the working folder changes: paths are made absolute."""
    if isinstance(wanted, Path) or (isinstance(wanted, str) and _looks_like_path(wanted)):
        return Path(wanted).absolute()
    return wanted


def _is_hash(wanted: Any) -> bool:
    """Whether this may be the beginning of a hash."""
    return (
        isinstance(wanted, str)
        and len(wanted) >= MIN_HASH_DIGITS
        and _HEX.fullmatch(wanted) is not None
    )


def _matches(entry: Entry, wanted: str | bytes | None) -> bool:
    """Whether this is the one, by its hash; without one, the default."""
    if wanted is None:
        return entry.place == "shipped"
    if isinstance(wanted, bytes):
        return entry.identity == wanted
    return _is_hash(wanted) and entry.identity.hex().startswith(wanted.lower())


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
    """The decoder an archive was made with, by its hash; `name` appears only in the error.

    An `explicit` name, hash or path replaces the search and must have that hash. Raises
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
    """The bytes of a decoder's file, found by its hash as for an archive.

    Raises MissingDecoderError.
    """
    return find_for_archive(identity, "", explicit).path.read_bytes()


def add(path: Path, force: bool = False) -> Entry:
    """Copy a decoder file, and its encoder if it is beside it, to the user's folder.

    Both files are checked first and written atomically. Adding the same decoder again changes
    nothing. Raises DecoderFileError (also for an encoder that is a link), MissingDecoderError (no
    such file), OutputExistsError (another decoder has that file name; `force` replaces it).
    """
    entry = find(Path(path))
    encoder = _encoder_bytes(entry.encoder_path)
    folder = user_folder()
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", entry.name).strip(".-") or "decoder"
    if f"{stem}{SUFFIX}".endswith(ENCODER_SUFFIX):  # it would pass for the encoder of another
        stem = stem.replace(".", "-")
    target = folder / f"{stem}{SUFFIX}"
    known = _entry_or_none(target)
    if known is None or known.identity != entry.identity:
        if target.exists() and not force:
            raise OutputExistsError(f"{target}: another decoder has this name; --force replaces it")
        _copy(entry.path, target, replace=True)
    added = read_entry(target, "user")
    if encoder is not None and entry.encoder_path.resolve() != added.encoder_path.resolve():
        with atomic_write(added.encoder_path, force=True) as out:
            out.write(encoder)
    return added


def _encoder_bytes(path: Path) -> bytes | None:
    """The bytes of an encoder file, or None where there is none. Raises DecoderFileError."""
    from safetensors import SafetensorError, deserialize

    if path.is_symlink():
        raise DecoderFileError(f"{path}: encoder file: found a link, expected a regular file")
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_ENCODER_BYTES + 1)
        if len(data) > MAX_ENCODER_BYTES:
            raise ValueError(f"found more than {MAX_ENCODER_BYTES} bytes")
        deserialize(data)
    except (SafetensorError, OSError, ValueError) as error:
        raise DecoderFileError(f"{path}: encoder file: {error}") from error
    return data


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
