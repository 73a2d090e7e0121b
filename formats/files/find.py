"""Which files are meant: a path, a folder, a pattern or a list of these; in the order of numbers.

A folder gives every file in it and below whose name tells a format, `model2` before `model10`.
Links are followed; one that leads nowhere is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path

from velcodec.formats.errors import InputFileError
from velcodec.formats.files.folders import walk
from velcodec.formats.files.zarr_store import is_zarr

NUMBER = re.compile("([0-9]+)")


@dataclass(frozen=True)
class Found:
    """A file, or a folder that is one Zarr store, and its path as the user would know it; `listed`
    where it was found in a folder or by a pattern, not named itself.
    """

    path: Path
    file: str
    listed: bool = True


def find(where: str | Path | Sequence[str | Path], fits: Callable[[Path], bool]) -> list[Found]:
    """The files that `where` means; those of a folder if they fit. Raises InputFileError."""
    if not isinstance(where, str | Path):
        return [found for one in where for found in find(one, fits)]
    path = Path(where)
    try:
        if path.is_dir() and not is_zarr(path):
            files = _in_folder(path, fits)
            if not files:
                raise InputFileError(f"{where}: found no file of models in the folder")
            return files
        if path.exists() or not has_magic(str(where)):
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise InputFileError(f"{where}: is neither a file nor a folder")
            return [Found(path, path.name, listed=False)]
        return _matching(str(where), fits)
    except OSError as error:
        raise InputFileError(f"{where}: {error.strerror or error}") from error


def natural(file: str) -> tuple[list[list[str | int]], str]:
    """What sorts names with numbers in them by the numbers, folder by folder."""
    pieces = [
        [int(piece) if odd % 2 else piece for odd, piece in enumerate(NUMBER.split(name))]
        for name in file.split("/")
    ]
    return pieces, file


def _in_folder(folder: Path, fits: Callable[[Path], bool]) -> list[Found]:
    found: dict[str, Path] = {}
    for here, folders, files in walk(folder):
        stores = [name for name in folders if is_zarr(here / name)]
        folders[:] = [n for n in folders if n not in stores and not n.startswith(".")]
        for name in (*files, *stores):
            known = not name.startswith(".") and fits(here / name)
            if known and (name in stores or (here / name).is_file()):
                found[(here / name).relative_to(folder).as_posix()] = here / name
    return [
        Found(found[file], file)
        for file in sorted(found, key=natural)
        if not _is_record_of_another(file, found)
    ]


def _is_record_of_another(file: str, files: dict[str, Path]) -> bool:
    """Whether a file holds the seismic records of a model beside it, by OpenFWI's names."""
    parts = file.split("/")
    name, above = parts[-1], parts[-2] if len(parts) > 1 else ""
    twins = []
    if name.startswith("seis"):
        twins.append([*parts[:-1], "vel" + name[len("seis") :]])
    if name.startswith("data") and above == "data":
        twins.append([*parts[:-2], "model", "model" + name[len("data") :]])
    return any("/".join(twin) in files for twin in twins)


def _matching(pattern: str, fits: Callable[[Path], bool]) -> list[Found]:
    """The files of a pattern; their names begin after its last folder without a wild card."""
    fixed = Path(*_before(Path(pattern).parts))
    found: list[Found] = []
    for match in sorted(_matches(pattern), key=natural):
        path = Path(match)
        file = path.relative_to(fixed).as_posix()
        if path.is_dir() and not is_zarr(path):
            found += [Found(f.path, f"{file}/{f.file}") for f in _in_folder(path, fits)]
        else:
            found.append(Found(path, file))
    if not found:
        raise InputFileError(f"{pattern}: found no file that matches")
    # A folder and a file in it may both match.
    return list({one.path: one for one in found}.values())


def _matches(pattern: str) -> list[str]:
    """As `glob` with `**` for any folders, which goes round in circles of links."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return glob(pattern)
    first = parts.index("**")
    found = []
    for base in glob(str(Path(*parts[:first]))) if first else ["."]:
        if not Path(base).is_dir():
            continue
        for here, folders, files in walk(Path(base)):
            for name in (*files, *folders):
                path = here / name
                if _fits(path.relative_to(base).parts, parts[first:]):
                    found.append(str(path))
            folders[:] = [n for n in folders if not n.startswith(".") and not is_zarr(here / n)]
    return found


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path are those of a pattern, where `**` is any number of them."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return _fits(parts, pattern[1:]) or (bool(parts) and _fits(parts[1:], pattern))
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _before(parts: Sequence[str]) -> list[str]:
    fixed = []
    for part in parts[:-1]:
        if has_magic(part):
            break
        fixed.append(part)
    return fixed
