"""Adding to an archive rewrites nothing, and no interruption does harm."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import archive, decoder_bytes, header

from velcodec.formats.container.append import append_to
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.errors import (
    ChangedFileError,
    CorruptError,
    InputFileError,
    LockedError,
    NotVlatError,
    OptionError,
    OutputPathError,
    VelcodecError,
)
from velcodec.formats.storage.atomic import atomic_write

OLD, OLD_KEYS = [b"one", b"", b"three" * 50], ["a", "b", "c"]
NEW, NEW_KEYS = [b"four", b"five"], ["d", "e"]
GOOD, BETTER = StoredQuality(35.0, 1.0, 256.0, 1.0), StoredQuality(40.0, 0.5, 64.0, 0.5)
OTHER = header(decoder_hash=bytes(32), decoder_name="other", layouts=(Layout(5, 6),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "a.vlat"
    found.write_bytes(archive(OLD, keys=OLD_KEYS, quality=[GOOD] * 3))
    return found


def contents(source: Path | bytes) -> tuple[list[bytes], Any, Any, list[Header]]:
    with VlatReader(source) as reader:
        heads = [reader.header_of(i) for i in range(len(reader))]
        return list(reader.payloads()), reader.keys, reader.quality, heads


def add(path: Path, payloads: Sequence[bytes], keys: Sequence[str], **columns: Any) -> None:
    with append_to(path) as writer:
        writer.add_many(payloads, keys, **columns)


def check_as_before(path: Path, before: bytes) -> None:
    """The file is unchanged byte for byte, and can still be added to."""
    assert path.read_bytes() == before
    count = len(VlatReader(before))
    add(path, [b"more"], ["more"])
    assert contents(path)[0] == [*contents(before)[0], b"more"]
    assert len(VlatReader(path)) == count + 1


def test_an_addition_continues_where_the_archive_ended(path: Path) -> None:
    with append_to(path) as writer:
        assert len(writer) == 3
        writer.use(OTHER)
        writer.add_many(NEW, NEW_KEYS, [BETTER] * 2, {"family": ["salt", "flat"]})
        writer.use(header())
        writer.add(b"six", "f")
    payloads, keys, quality, heads = contents(path)
    assert payloads == [*OLD, *NEW, b"six"]
    assert keys == (*OLD_KEYS, *NEW_KEYS, "f")
    assert quality[:5] == (GOOD,) * 3 + (BETTER,) * 2
    assert quality[5].psnr_db == 0.0
    assert heads == [header()] * 3 + [OTHER] * 2 + [header()]
    with VlatReader(path) as reader:
        assert reader.fields["family"].tolist() == ["", "", "", "salt", "flat", ""]
        assert reader.key_index("e") == 4
        assert reader.unfinished == 0
        assert len(reader.headers()) == 2


def test_nothing_is_rewritten(path: Path) -> None:
    before = path.read_bytes()
    add(path, NEW, NEW_KEYS)
    assert path.read_bytes().startswith(before)


def test_records_come_under_the_first_header_by_default(path: Path) -> None:
    with append_to(path) as writer:
        writer.use(OTHER)
        writer.add(b"four", "d")
    add(path, [b"five"], ["e"])
    assert contents(path)[3] == [header()] * 3 + [OTHER, header()]


def test_many_small_additions_are_one_archive(path: Path) -> None:
    for i in range(60):
        with append_to(path) as writer:
            writer.use(OTHER if i % 2 else header())
            writer.add(b"%d" % i, f"new {i}")
    payloads, keys, _, heads = contents(path)
    assert payloads == [*OLD, *(b"%d" % i for i in range(60))]
    assert keys == (*OLD_KEYS, *(f"new {i}" for i in range(60)))
    assert heads[3:] == [header(), OTHER] * 30
    with VlatReader(path) as reader:
        assert len(reader.headers()) == 2


def test_an_empty_archive_can_be_added_to(path: Path) -> None:
    path.write_bytes(archive([]))
    add(path, NEW, NEW_KEYS)
    assert contents(path)[:2] == (NEW, tuple(NEW_KEYS))


def test_adding_nothing_leaves_the_file_as_it_was(path: Path) -> None:
    before = path.read_bytes()
    with append_to(path):
        pass
    assert path.read_bytes() == before
    with append_to(path) as writer:
        writer.use(OTHER)
    check_as_before(path, before)


def test_a_decoder_is_embedded_once(path: Path) -> None:
    decoder = decoder_bytes()
    for _ in range(2):
        with append_to(path) as writer:
            writer.embed(decoder)
    with VlatReader(path) as reader:
        assert reader.embedded_decoders() == [decoder]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_file_as_it_was(path: Path, error: type[BaseException]) -> None:
    before = path.read_bytes()

    def interrupted() -> None:
        with append_to(path) as writer:
            writer.use(OTHER)
            writer.add(bytes(100_000), "d")
            writer.end_page()
            raise error("stop")

    with pytest.raises(error, match="stop"):
        interrupted()
    check_as_before(path, before)


def test_a_full_disk_leaves_the_file_as_it_was(path: Path) -> None:
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5000, limits[1]))
    try:
        with pytest.raises(OutputPathError, match="File too large"):
            add(path, [bytes(6000)], ["d"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    check_as_before(path, before)


@pytest.mark.parametrize("key", ["a", "c"])
def test_an_existing_key_is_refused(path: Path, key: str) -> None:
    before = path.read_bytes()
    with pytest.raises(OptionError, match=f"key '{key}': found it twice"):
        add(path, NEW, ["d", key])
    check_as_before(path, before)


def test_an_addition_has_keys_if_the_archive_has(path: Path) -> None:
    with (
        append_to(path) as writer,
        pytest.raises(OptionError, match="record 3: keys: found none, expected some"),
    ):
        writer.add(b"four")


def test_only_one_process_adds_at_a_time(path: Path) -> None:
    with append_to(path) as writer:
        writer.add(b"four", "d")
        with (
            pytest.raises(LockedError, match=r"a\.vlat: another process is adding"),
            append_to(path),
        ):
            pass
    add(path, [b"five"], ["e"])
    assert contents(path)[0] == [*OLD, b"four", b"five"]


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_an_addition_to_a_removed_file_is_an_error(path: Path, how: str) -> None:
    newer = archive([b"newer"])

    def meanwhile() -> None:
        with append_to(path) as writer:
            writer.add(b"four", "d")
            if how == "removed":
                path.unlink()
            else:
                with atomic_write(path, force=True) as stream:
                    stream.write(newer)

    with pytest.raises(ChangedFileError, match=r"a\.vlat: was replaced or removed during"):
        meanwhile()
    assert not path.exists() if how == "removed" else path.read_bytes() == newer


def test_nothing_is_added_to_an_archive_with_a_damaged_page(path: Path) -> None:
    add(path, NEW, NEW_KEYS)
    data = bytearray(path.read_bytes())
    data[VlatReader(bytes(data)).directory.pages[0].place.at + 4] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptError):
        add(path, [b"six"], ["f"])
    assert path.read_bytes() == data


def test_readers_see_the_old_archive_until_the_end(path: Path) -> None:
    with append_to(path) as writer:
        writer.add(b"four" * 10_000, "d")
        assert contents(path)[0] == OLD
    assert len(contents(path)[0]) == 4


def test_a_file_that_cannot_be_added_to_is_refused(path: Path) -> None:
    with pytest.raises(OutputPathError, match="No such file"), append_to(path.with_name("none")):
        pass
    with pytest.raises(OutputPathError, match="Is a directory"), append_to(path.parent):
        pass
    if os.geteuid():  # root may write read-only files
        path.chmod(0o444)
        with pytest.raises(OutputPathError, match="Permission denied"), append_to(path):
            pass
        path.chmod(0o644)
    path.write_bytes(b"no archive")
    with pytest.raises(NotVlatError), append_to(path):
        pass
    assert path.read_bytes() == b"no archive"


# --- interrupted additions ------------------------------------------------------------------------


def test_cut_at_any_byte_the_old_archive_reads(path: Path) -> None:
    before, old = path.read_bytes(), contents(path)
    with append_to(path) as writer:
        writer.use(OTHER)
        writer.add_many(NEW, NEW_KEYS)
        writer.embed(decoder_bytes())
    after = path.read_bytes()
    for cut in range(len(before), len(after)):
        reader = VlatReader(after[:cut])
        assert (reader.unfinished, len(reader)) == (cut - len(before), 3)
    assert contents(after[: len(after) - 1]) == old
    assert contents(after)[0] == [*OLD, *NEW]


def test_the_next_addition_cuts_off_an_unfinished_one(path: Path) -> None:
    before = path.read_bytes()
    add(path, [b"longer than what follows"], ["lost"])
    path.write_bytes(path.read_bytes()[:-1])
    add(path, [b"four"], ["d"])
    data = path.read_bytes()
    assert data.startswith(before)
    assert b"longer" not in data
    assert contents(data)[:2] == ([*OLD, b"four"], (*OLD_KEYS, "d"))


def test_every_flipped_bit_after_the_old_tail_is_noticed_or_leaves_an_archive(path: Path) -> None:
    before, old = path.read_bytes(), contents(path)
    add(path, NEW, NEW_KEYS, quality=[GOOD] * 2)
    data, whole = path.read_bytes(), contents(path)
    for bit in range(8 * len(before), 8 * len(data)):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        try:
            found = contents(bytes(altered))
        except VelcodecError:
            continue
        assert found in (old, whole)


KILLED = """
import sys, time
from velcodec.formats.container.append import append_to
with append_to(sys.argv[1]) as writer:
    for i in range(1000):
        writer.add(bytes([i % 256]) * 100, f"new {i}")
    writer.end_page()
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_killed_addition_leaves_the_old_archive(path: Path) -> None:
    before = path.read_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(LockedError), append_to(path):
            pass
        child.send_signal(signal.SIGKILL)
    with VlatReader(path) as reader:
        assert reader.unfinished > 100_000
        assert list(reader.payloads()) == OLD
    add(path, NEW, NEW_KEYS)
    assert path.read_bytes().startswith(before)
    assert contents(path)[0] == [*OLD, *NEW]


def test_a_closed_reader_says_so(path: Path) -> None:
    with VlatReader(path) as reader:
        pass
    with pytest.raises(InputFileError, match="closed"):
        reader.payload(0)


def test_lengths_continue_over_pages_of_many_records(path: Path) -> None:
    path.write_bytes(archive([bytes(i % 300) for i in range(5000)]))
    with append_to(path) as writer:
        writer.add_many([bytes(i % 7) for i in range(9000)])
    with VlatReader(path) as reader:
        assert np.array_equal(reader.lengths[:5000], np.arange(5000) % 300)
        assert np.array_equal(reader.lengths[5000:], np.arange(9000) % 7)
        assert reader.payload(13_999) == bytes(8999 % 7)
