"""External text: key files in any encoding, file names that are not text."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec.archive.select import read_keys
from velcodec.decoder import Decoder
from velcodec.encode.setup import Coding
from velcodec.encode.target import Target
from velcodec.files.job import Job
from velcodec.formats.errors import InputFileError, OptionError
from velcodec.formats.files import open_models

KEYS = ["north", "søndre", "a\u2028b", "with blanks "]
MARKED = ("utf-8", "utf-8-sig", "utf-16", "utf-32")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", MARKED)
@pytest.mark.parametrize("last", [True, False])
def test_key_files_work_in_any_unicode_encoding_and_with_any_line_ends(
    encoding: str, ends: str, last: bool, tmp_path: Path
) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes((ends.join(KEYS) + (ends if last else "")).encode(encoding))
    assert read_keys(path) == KEYS


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "latin-1"])
def test_a_key_file_in_an_unmarked_encoding_is_refused(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes("søndre\nnordre\n".encode(encoding))
    with pytest.raises(InputFileError, match=r"keys\.txt: (byte|character) \d+: found .* UTF-"):
        read_keys(path)


def test_a_key_file_cut_within_a_character_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes("søndre\n".encode("utf-16")[:-1])
    with pytest.raises(InputFileError, match=r"byte \d+: .* UTF-16, as its byte order mark says"):
        read_keys(path)


def test_a_file_name_that_is_not_text_is_shown_as_bytes(tmp_path: Path, tiny: Decoder) -> None:
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    with open(folder + b"/m\xff.npy", "wb") as stream:
        np.save(stream, layered(2, 9, 14))
    with pytest.raises(InputFileError, match=r"in/m\\xff\.npy: name: expected one that UTF-8 can"):
        Job(open_models(tmp_path / "in"), coding=Coding(Target(lossless=True), decoder="tiny"))


def test_a_key_that_is_not_text_is_refused() -> None:
    with pytest.raises(OptionError, match=r"key 'm\\udcff': expected text that UTF-8 can hold"):
        velcodec.compress(layered(1, 9, 14), lossless=True, keys=["m\udcff"])


def test_a_key_file_with_an_empty_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("north\n\nsouth\n")
    with pytest.raises(InputFileError, match=r"keys\.txt: line 2: found none, expected a key"):
        read_keys(path)
