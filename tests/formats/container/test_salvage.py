"""Whatever happens to an archive, exactly its intact records come out."""

from __future__ import annotations

import io
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from builders import archive, decoder_bytes, header, records_apart
from hypothesis import given, settings
from hypothesis import strategies as st

from velcodec.formats.container.append import append_to
from velcodec.formats.container.framing import START
from velcodec.formats.container.header import Layout
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.salvage import Salvage, salvage
from velcodec.formats.container.sections import DIRECTORY, HEADER, PAGE
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import RepairError

DECODER = decoder_bytes()
OTHER = header(decoder_name="other", layouts=(Layout(5, 6),))


def payloads(count: int, seed: int = 0) -> list[bytes]:
    random = np.random.default_rng(seed)
    return [random.bytes(int(size)) for size in random.integers(0, 90, count)]


def written(
    count: int = 60, *, journal: bool = False, keys: bool = True, apart: bool = True
) -> bytes:
    """Records in pages of ten, under two headers alternating every twenty; each in a block of its
    own, or the ten of a page in one.
    """
    stream = io.BytesIO()
    with records_apart(apart):
        writer = VlatWriter(stream, header(), journal=journal, decoder=DECODER)
        for i, payload in enumerate(payloads(count)):
            writer.use(OTHER if i % 40 >= 20 else header())
            writer.add(payload, f"key {i}" if keys else None, fields={"line": i})
            if i % 10 == 9:
                writer.end_page()
        writer.close()
    return stream.getvalue()


def check(found: Salvage, data: bytes, whole: bytes) -> set[int]:
    """What was found in `data` is what was written, header included. Returns its numbers."""
    reader = VlatReader(whole)
    for record in found.records:
        assert record.payload(data) == reader.payload(record.number)
        assert found.headers[record.header] == reader.header_of(record.number)
        if record.page is not None and record.page.keys is not None:
            assert record.page.keys[record.row] == f"key {record.number}"
    return {record.number for record in found.records}


def places(data: bytes) -> list[tuple[int, int]]:
    """Where each block begins and ends."""
    reader = VlatReader(data)
    blocks = dict.fromkeys(reader.locate(number) for number in range(len(reader)))
    return [(block.at, block.at + block.size) for block in blocks]


def spoiled(data: bytes, at: int, end: int, seed: int = 1) -> bytes:
    random = np.random.default_rng(seed)
    return data[:at] + random.bytes(end - at) + data[end:]


@pytest.fixture(params=["plain", "journalled", "without keys"])
def data(request: pytest.FixtureRequest) -> bytes:
    return {
        "plain": written,
        "journalled": lambda: written(journal=True),
        "without keys": lambda: written(keys=False),
    }[request.param]()


def test_everything_is_recovered_from_an_intact_archive(data: bytes) -> None:
    found = salvage(data, "a.vlat")
    assert check(found, data, data) == set(range(60))
    assert (found.lost, found.gaps, found.decoders) == ([], [], [DECODER])
    assert not any(record.page is None for record in found.records)


def test_every_other_record_is_recovered_when_one_is_damaged(data: bytes) -> None:
    for number, (at, end) in enumerate(places(data)):
        spoilt = spoiled(data, at, end)
        found = salvage(spoilt, "a.vlat")
        assert check(found, spoilt, data) == set(range(60)) - {number}
        assert found.lost == [(number, number + 1)]


def test_every_record_is_recovered_without_a_directory(data: bytes) -> None:
    at = data.rindex(b"\x00" + DIRECTORY)
    for damaged in (data[:at], spoiled(data, at, len(data))):
        found = salvage(damaged, "a.vlat")
        assert check(found, damaged, data) == set(range(60))
        assert all(record.page is not None for record in found.records)


def test_every_record_is_recovered_without_one_page_or_any(data: bytes) -> None:
    pages = [entry.place for entry in VlatReader(data).directory.pages]
    for spoil in (pages[:1], pages[2:3], pages):
        damaged = data
        for place in spoil:
            damaged = spoiled(damaged, place.at, place.at + place.size)
        found = salvage(damaged, "a.vlat")
        assert check(found, damaged, data) == set(range(60))
        without = sum(record.page is None for record in found.records)
        assert without == 10 * len(spoil)


def test_every_record_is_recovered_with_neither_pages_nor_directory() -> None:
    data = written()
    at = VlatReader(data).directory.pages[0].place.at
    spoilt = data[:at]
    found = salvage(spoilt, "a.vlat")
    assert check(found, spoilt, data) == set(range(60))
    assert not found.has_keys


@pytest.mark.parametrize("journal", [False, True])
def test_damage_costs_the_records_of_its_block_alone(journal: bool) -> None:
    data = written(journal=journal, apart=False)
    index = VlatReader(data).directory.pages[0].place.at
    blocks = places(data)
    assert len(blocks) == 6
    for number, (at, end) in enumerate(blocks):
        left = set(range(60)) - set(range(10 * number, 10 * number + 10))
        damages = [data[:at] + spoiled(data, at, end)[at:], data[: at + 5] + data[at + 9 :]]
        damages += [data[:at] + b"\xaa" * 33 + data[at + 1 :]]
        if not journal:
            damages.append(spoiled(data, at, end)[:index])
        for damaged in damages:
            found = salvage(damaged, "a.vlat")
            assert check(found, damaged, data) == left
    moved = data[: blocks[2][0]] + b"\xaa" * 33 + data[blocks[2][0] :]
    assert check(salvage(moved, "a.vlat"), moved, data) == set(range(60))


@pytest.mark.parametrize("where", [0, 3, 11, 25, 59])
@pytest.mark.parametrize("size", [1, 50, 3000])
def test_inserted_bytes_cost_at_most_one_record(data: bytes, where: int, size: int) -> None:
    at = sum(places(data)[where]) // 2
    garbage = np.random.default_rng(3).bytes(size)
    spoilt = data[:at] + garbage + data[at:]
    found = salvage(spoilt, "a.vlat")
    assert check(found, spoilt, data) >= set(range(60)) - {where}


@pytest.mark.parametrize("where", [0, 3, 11, 25])
def test_removed_bytes_cost_only_their_own_records(data: bytes, where: int) -> None:
    at, end = places(data)[where][0] + 1, places(data)[where + 2][1] - 1
    for damaged in (data[:at] + data[end:], data[:at] + bytes(end - at) + data[end:]):
        found = salvage(damaged, "a.vlat")
        assert check(found, damaged, data) >= set(range(60)) - {where, where + 1, where + 2}


def test_inserted_bytes_without_an_index_cost_at_most_one_record() -> None:
    data = written()
    index = VlatReader(data).directory.pages[0].place.at
    for number in (0, 5, 30, 57):
        at = sum(places(data)[number]) // 2
        spoilt = data[:at] + b"\xaa" * 77 + data[at:index]
        found = salvage(spoilt, "a.vlat")
        assert check(found, spoilt, data) >= set(range(60)) - {number}


def pages_of_one(*, journal: bool) -> bytes:
    """Two short records and a long one, each on its own page."""
    stream = io.BytesIO()
    writer = VlatWriter(stream, header(), journal=journal)
    for i, payload in enumerate([b"one", b"two", bytes(2000)][:: -1 if journal else 1]):
        writer.add(payload, f"key {i}")
        writer.end_page()
    writer.close()
    return stream.getvalue()


@pytest.mark.parametrize(("journal", "number"), [(False, 1), (True, 2)])
def test_a_moved_record_is_found_before_something_known(journal: bool, number: int) -> None:
    """Before the next page, or in a journal before its own page; it keeps its key."""
    data = pages_of_one(journal=journal)
    at = places(data)[number][0]
    spoilt = data[:at] + b"\xaa" * 7 + data[at:]
    found = salvage(spoilt, "a.vlat")
    assert check(found, spoilt, data) == {0, 1, 2}
    assert all(record.page is not None for record in found.records)


def test_a_cut_gives_every_record_before_it(data: bytes) -> None:
    ends = [end for _, end in places(data)]
    for cut in range(len(START), len(data), 37):
        try:
            found = check(salvage(data[:cut], "a.vlat"), data[:cut], data)
        except RepairError:
            assert cut < ends[0]
            continue
        assert found == {number for number, end in enumerate(ends) if end <= cut}


def test_records_of_a_lost_header_are_not_assigned_to_another() -> None:
    data = written()
    (place,) = VlatReader(data).directory.headers
    for damaged in (
        spoiled(data, place.at, place.at + place.size),
        spoiled(data, place.at, place.at + place.size)[: data.rindex(b"\x00" + DIRECTORY)],
    ):
        found = salvage(damaged, "a.vlat")
        assert check(found, damaged, data) == {i for i in range(60) if i % 40 < 20}


def test_records_identify_their_header_if_nothing_else_does() -> None:
    data = written(60)
    directory = VlatReader(data).directory
    (place,) = directory.headers
    index = directory.pages[0].place.at
    spoilt = spoiled(data, place.at, place.at + place.size)[:index]
    found = salvage(spoilt, "a.vlat")
    assert check(found, spoilt, data) == {*range(20), *range(40, 60)}


def test_no_record_of_another_archive_is_recovered() -> None:
    data = written(20)
    other = archive([b"other", b"ones"] * 5, keys=[str(i) for i in range(10)])
    both = data + other
    found = salvage(both, "a.vlat")
    assert check(found, both, data) == set(range(20))


def test_an_unfinished_addition_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(written(30))
    with append_to(path) as writer:
        writer.use(OTHER)
        writer.add_many([b"one", b"two"], ["key 30", "key 31"], fields={"line": [30, 31]})
    whole = path.read_bytes()
    end = VlatReader(whole).directory.pages[-1].place.at
    spoilt = whole[:end]
    found = salvage(spoilt, "a.vlat")
    assert check(found, spoilt, whole) == set(range(32))
    finished = salvage(whole, "a.vlat")
    assert (finished.expected, finished.uncounted) == (32, False)


def test_bytes_before_an_archive_are_skipped() -> None:
    data = written()
    assert check(salvage(b"garbage" * 9 + data, "a.vlat"), b"garbage" * 9 + data, data) == set(
        range(60)
    )
    assert check(salvage(bytes(5) + data[5:], "a.vlat"), bytes(5) + data[5:], data) == set(
        range(60)
    )


def test_nothing_is_recovered_without_the_first_header() -> None:
    data = written()
    with pytest.raises(RepairError, match="first header is damaged"):
        salvage(spoiled(data, 9, 40), "a.vlat")


@pytest.mark.parametrize("data", [b"", b"x", START, bytes(5000), b"\x00H" * 4000])
def test_what_is_not_an_archive_is_refused(data: bytes) -> None:
    with pytest.raises(RepairError):
        salvage(data, "a.vlat")


def test_an_empty_archive_gives_nothing_and_loses_nothing() -> None:
    found = salvage(archive([]), "a.vlat")
    assert (found.records, found.lost) == ([], [])
    with pytest.raises(RepairError, match="no intact record"):
        salvage(archive([])[:-17], "a.vlat")


WHOLE = written(25)
DAMAGES = st.lists(
    st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 200), st.binary(max_size=60)), max_size=4
)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(DAMAGES)
def test_no_damage_invents_a_record(
    damages: list[tuple[int, int, bytes]],
) -> None:
    data = WHOLE
    for at, size, new in damages:
        data = data[:at] + new + data[at + size :]
    try:
        found = salvage(data, "a.vlat", any_version=True)
    except RepairError:
        return
    check(found, data, WHOLE)


def overwritten(data: bytes, damages: list[tuple[int, int, bytes]]) -> tuple[bytes, np.ndarray]:
    """The bytes with foreign pieces written over them, and which bytes are damaged."""
    spoilt, hit = bytearray(data), np.zeros(len(data), bool)
    for at, size, new in damages:
        piece = (new * size)[:size][: len(data) - at]
        spoilt[at : at + len(piece)] = piece
        hit[at : at + len(piece)] = True
    return bytes(spoilt), hit


OVERWRITTEN = {
    "plain": written(),
    "journalled": written(journal=True),
    "alone": written(keys=False),
}
FIRST = places(OVERWRITTEN["plain"])[0][0]

SPOTS = st.lists(
    st.tuples(st.integers(FIRST, 5000), st.integers(1, 400), st.binary(min_size=1, max_size=60)),
    max_size=6,
)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.sampled_from(sorted(OVERWRITTEN)), SPOTS)
def test_every_record_outside_the_damage_is_recovered(
    which: str, damages: list[tuple[int, int, bytes]]
) -> None:
    """The page and header that lead to it are undamaged too."""
    data = OVERWRITTEN[which]
    reader = VlatReader(data)
    spoilt, hit = overwritten(data, damages)
    found = {record.number: record for record in salvage(spoilt, "a.vlat").records}
    pages = [entry.place for entry in reader.directory.pages]
    for number, (at, end) in enumerate(places(data)):
        needed = [(at, end), (data.rindex(b"\x00" + DIRECTORY), len(data))]
        needed += [(p.at, p.at + p.size) for p in (pages[number // 10], *reader.directory.headers)]
        if not any(hit[slice(*span)].any() for span in needed):
            record = found[number]
            assert spoilt[record.start : record.stop] == reader.payload(number)
            assert record.header == reader.header_number(number)
            assert record.page is not None
    check(salvage(spoilt, "a.vlat"), spoilt, data)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(SPOTS)
def test_two_undamaged_blocks_in_a_row_are_recovered_without_an_index(
    damages: list[tuple[int, int, bytes]],
) -> None:
    """A single one far behind damage may be what it seems by chance."""
    whole = archive(payloads(60), apart=True)
    spots = places(whole)
    data = whole[: spots[-1][1]]
    spoilt, hit = overwritten(data, [(at - FIRST + spots[0][0], *rest) for at, *rest in damages])
    intact = [not hit[at:end].any() for at, end in spots]
    pairs = {i for i, both in enumerate(pairwise(intact)) if all(both)}
    if pairs:
        assert check(salvage(spoilt, "a.vlat"), spoilt, whole) >= pairs | {i + 1 for i in pairs}


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300), st.integers(0, 400))
def test_arbitrary_bytes_are_refused_or_salvaged(data: bytes, at: int) -> None:
    for whole in (data, WHOLE[:at] + data + WHOLE[at:]):
        with suppress(RepairError):
            salvage(whole, "a.vlat", any_version=True)


def test_salvage_finds_the_sections_that_a_reader_finds() -> None:
    reader = VlatReader(WHOLE)
    found = salvage(WHOLE, "a.vlat")
    assert [found.headers[i] for i in sorted(found.headers)] == reader.headers()
    assert {HEADER, PAGE} <= {WHOLE[i + 1 : i + 2] for i in range(len(WHOLE)) if WHOLE[i] == 0}


def test_other_files_are_told_from_damaged_archives() -> None:
    with pytest.raises(RepairError, match="it is no archive, or both are damaged"):
        salvage(b"some text, which is no archive\n" * 50, "a.txt")
