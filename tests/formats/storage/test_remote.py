"""Remote archives: no more is fetched than needed, and failures are reported as
velcodec's errors.
"""

from __future__ import annotations

import io
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import archive, header

from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.shards import (
    MANIFEST,
    Shard,
    ShardedReader,
    open_reader,
    shard_name,
    write_manifest,
)
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    ChangedFileError,
    CorruptError,
    InputFileError,
    MissingExtraError,
    NotVlatError,
    OptionError,
    VelcodecError,
)
from velcodec.formats.storage import remote_version, retry

fsspec = pytest.importorskip("fsspec")

MODELS = 20_000
ENDLESS = 1 << 28
SMALL = archive([b"one", b"two"], keys=["a", "b"])


@dataclass
class Site:
    """What a server serves, and what was requested: number of GETs, bytes sent for them."""

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    tags: dict[str, str] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)
    minds: bool = True
    before: Callable[[int], None] | None = None
    status: int | None = None
    requests: int = 0
    sent: int = 0
    url: str = ""
    busy: list[int] = field(default_factory=list)
    """Status codes for the next requests, whatever their method; 0 breaks the connection."""
    silent: threading.Event | None = None
    """No answer is sent before this is set."""
    methods: tuple[str, ...] = ("HEAD", "GET")
    cut: int | None = None
    """Bytes of a body sent before the connection breaks."""
    endless: bool = False
    """The body never ends."""

    def reset(self) -> None:
        self.requests = self.sent = 0


def handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(False)

        def do_GET(self) -> None:
            site.requests += 1
            if site.before is not None:
                site.before(site.requests)
            self.answer(True)

        def answer(self, body: bool) -> None:
            if site.silent is not None and self.command in site.methods:
                site.silent.wait(20)
            if site.busy and self.command in site.methods:
                status = site.busy.pop(0)
                if status == 0:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = site.files.get(self.path)
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            status = 200
            if site.status is not None:
                status, data = site.status, b"no"
            elif data is None:
                status, data = 404, b"not here"
            elif site.minds and self.is_refused():
                status, data = 412, b""
            elif asked and site.ranges:
                begin, end = int(asked[1]), int(asked[2]) + 1
                where = f"bytes {begin}-{min(end, len(data)) - 1}/{len(data)}"
                status, data = 206, data[begin:end]
            self.send_response(status)
            for name, told in (("ETag", site.tags), ("Last-Modified", site.dates)):
                if self.path in told:
                    self.send_header(name, told[self.path])
            if site.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if status == 206:
                self.send_header("Content-Range", where)
            if body and site.endless:
                self.stream_on(data)
                return
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                site.sent += len(data)
                self.wfile.write(data if site.cut is None else data[: site.cut])
                if site.cut is not None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)

        def stream_on(self, data: bytes) -> None:
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            data = data.ljust(1 << 16, b"\0")
            while site.sent < ENDLESS:
                try:
                    self.wfile.write(data)
                except OSError:
                    return
                site.sent += len(data)

        def is_refused(self) -> bool:
            tag, date = self.headers.get("If-Match"), self.headers.get("If-Unmodified-Since")
            assert not (tag or "").startswith("W/")
            return (tag or site.tags.get(self.path)) != site.tags.get(self.path) or (
                date or site.dates.get(self.path)
            ) != site.dates.get(self.path)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep requests out of the test's output."""

    return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    pytest.importorskip("aiohttp")
    found = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(found))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def memory() -> Iterator[Any]:
    found = fsspec.filesystem("memory")
    found.store.clear()
    yield found
    found.store.clear()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """20,000 records of about 150 bytes, with keys, quality and fields."""
    path = tmp_path_factory.mktemp("large") / "a.vlat"
    rng = np.random.default_rng(0)
    with path.open("wb") as stream:
        writer = VlatWriter(stream, header())
        for first in range(0, MODELS, 1000):
            writer.add_many(
                [rng.bytes(int(n)) for n in rng.integers(100, 200, 1000)],
                [f"model-{first + i}" for i in range(1000)],
                [StoredQuality(*row) for row in rng.uniform(1, 30, (1000, 4))],
                {"depth": rng.normal(size=1000)},
            )
        writer.close()
    return path.read_bytes()


def check_same(reader: Any, data: bytes) -> None:
    own = VlatReader(data)
    assert list(reader.payloads()) == list(own.payloads())
    assert (reader.keys, reader.header, reader.size) == (own.keys, own.header, len(data))


def test_opening_and_one_record_fetch_little(site: Site, large: bytes) -> None:
    site.files["/a.vlat"] = large
    assert len(large) > 3_000_000
    own = VlatReader(large)
    reader = VlatReader(site.url + "/a.vlat")
    assert site.requests <= 3
    assert site.sent <= 4096 + 65536
    site.reset()
    assert reader.payload(12_345) == own.payload(12_345)
    assert site.requests <= 4
    assert site.sent < 200_000
    site.reset()
    assert reader.payload(12_346) == own.payload(12_346)  # in the same block
    assert reader.payload(12_446) == own.payload(12_446)
    assert site.requests == 1
    assert site.sent < 10_000


def test_all_keys_take_a_bounded_number_of_requests(site: Site, large: bytes) -> None:
    site.files["/a.vlat"] = large
    reader = VlatReader(site.url + "/a.vlat")
    site.reset()
    assert reader.keys == VlatReader(large).keys
    assert site.requests <= 3
    assert site.sent < len(large) / 4
    site.reset()
    assert reader.quality == VlatReader(large).quality
    assert np.array_equal(reader.fields["depth"], VlatReader(large).fields["depth"])
    assert site.requests == 0


def test_a_small_archive_is_fetched_once(site: Site) -> None:
    site.files["/a.vlat"] = SMALL
    reader = VlatReader(site.url + "/a.vlat")
    check_same(reader, SMALL)
    assert site.requests == 1
    assert site.sent == len(SMALL)


def test_an_unfinished_addition_is_skipped(site: Site, large: bytes) -> None:
    site.files["/a.vlat"] = large + bytes(200_000)
    reader = VlatReader(site.url + "/a.vlat")
    assert (reader.unfinished, len(reader)) == (200_000, MODELS)
    assert reader.payload(7) == VlatReader(large).payload(7)


def test_from_a_server_without_ranges_everything_is_fetched_once(site: Site, large: bytes) -> None:
    site.ranges = False
    site.files["/a.vlat"] = large
    check_same(VlatReader(site.url + "/a.vlat"), large)
    assert site.requests <= 2


@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_that_streams_without_end_is_abandoned(site: Site, ranges: bool) -> None:
    site.files["/a.vlat"] = SMALL
    site.ranges, site.endless = ranges, True
    with pytest.raises(InputFileError, match=f"sends more than the {len(SMALL)} bytes"):
        VlatReader(site.url + "/a.vlat")
    assert site.sent < ENDLESS


def test_a_large_file_of_a_server_that_knows_no_ranges_is_not_read(
    site: Site, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_version, "MAX_WHOLE_FILE_BYTES", 1 << 20)
    site.files["/a.vlat"] = large
    site.ranges = False
    with pytest.raises(InputFileError, match="the server sends all of"):
        VlatReader(site.url + "/a.vlat")


def test_a_missing_file_is_reported(site: Site, memory: Any) -> None:
    for url in (site.url + "/none.vlat", "memory://none.vlat"):
        with pytest.raises(InputFileError, match=r"none\.vlat: not found$"):
            VlatReader(url)


def test_an_unreachable_server_is_reported() -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(InputFileError, match=r"^http://127\.0\.0\.1:1/a\.vlat: no connection: "):
        VlatReader("http://127.0.0.1:1/a.vlat")


def test_a_servers_refusal_is_reported(site: Site) -> None:
    site.status = 403
    with pytest.raises(InputFileError, match=r"a\.vlat: the server answers 403 Forbidden$"):
        VlatReader(site.url + "/a.vlat")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retry.TIMEOUT_VARIABLE, "0.2")
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.01)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("methods", [("HEAD", "GET"), ("GET",)])
def test_a_server_that_never_answers_times_out(site: Site, methods: tuple[str, ...]) -> None:
    site.files["/a.vlat"] = SMALL
    site.silent, site.methods = threading.Event(), methods
    began = time.monotonic()
    try:
        with pytest.raises(
            InputFileError,
            match=r"a\.vlat: .*no answer within 0\.\d+ s \(--timeout and VELCODEC_TIME",
        ):
            VlatReader(site.url + "/a.vlat")
        assert time.monotonic() - began < 5
    finally:
        site.silent.set()


@pytest.mark.usefixtures("hurried")
def test_a_server_that_falls_silent_later_times_out(site: Site, large: bytes) -> None:
    site.files["/a.vlat"] = large
    reader = VlatReader(site.url + "/a.vlat")
    assert reader.payload(0)
    site.silent = threading.Event()
    try:
        with pytest.raises(InputFileError, match="no answer within"):
            reader.payload(12_345)
    finally:
        site.silent.set()


@pytest.mark.usefixtures("hurried")
def test_a_file_system_that_never_answers_times_out(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/a.vlat", SMALL)
    never = threading.Event()
    monkeypatch.setattr(type(memory), "cat_file", lambda *_, **__: never.wait(20))
    with pytest.raises(InputFileError, match="no answer within"):
        VlatReader("memory://a.vlat")
    never.set()


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("busy", [[503], [429, 500, 502], [0], [504, 0, 503]])
@pytest.mark.parametrize("methods", [("HEAD", "GET"), ("GET",)])
def test_a_transient_failure_is_retried(
    site: Site, busy: list[int], methods: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    site.files["/a.vlat"] = SMALL
    site.busy, site.methods = list(busy), methods
    check_same(VlatReader(site.url + "/a.vlat"), SMALL)
    assert site.busy == []
    assert all(re.search(r"a\.vlat: .*; try \d of 4 follows", text) for text in caplog.messages)


@pytest.mark.usefixtures("hurried")
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("cut", [0, 300])
def test_a_connection_that_breaks_within_an_answer_is_reported(
    site: Site, large: bytes, cut: int, ranges: bool
) -> None:
    site.files["/a.vlat"], site.ranges, site.cut = large, ranges, cut
    with pytest.raises(InputFileError, match=r"a\.vlat: .*the connection broke"):
        VlatReader(f"{site.url}/a.vlat")
    site.cut = None
    reader = VlatReader(f"{site.url}/a.vlat")
    site.cut = cut
    if ranges:
        with pytest.raises(InputFileError, match=r"a\.vlat: .*the connection broke"):
            list(reader.payloads())


def test_a_server_that_stays_busy_is_reported(site: Site) -> None:
    site.files["/a.vlat"] = SMALL
    site.status = 503
    with pytest.raises(InputFileError, match=r"a\.vlat: the server answers 503"):
        VlatReader(site.url + "/a.vlat")
    assert retry.TRIES <= site.requests <= 2 * retry.TRIES


@pytest.mark.parametrize(("status", "requests"), [(403, 2), (404, 2), (410, 2), (501, 2)])
def test_a_permanent_failure_is_not_retried(site: Site, status: int, requests: int) -> None:
    site.status = status
    with pytest.raises(InputFileError):
        VlatReader(site.url + "/a.vlat")
    assert site.requests <= requests


def test_waiting_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retry, "REPORT_AFTER_S", 0.01)
    assert retry.with_retries("s3://b/a.vlat", lambda: time.sleep(0.1) or 3) == 3
    assert caplog.messages == ["s3://b/a.vlat: no answer yet; it is waited for 30 s in all"]


def test_many_bytes_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retry.TIMEOUT_VARIABLE, "0.01")
    slow = lambda: time.sleep(0.2) or b"data"  # noqa: E731
    assert retry.with_retries("s3://b/a.vlat", slow, 1 << 20) == b"data"
    with pytest.raises(OSError, match="no answer"):
        retry.with_retries("s3://b/a.vlat", slow, 1)


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf", "1e99"])
def test_an_invalid_timeout_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retry.TIMEOUT_VARIABLE, text)
    with pytest.raises(OptionError, match=f"VELCODEC_TIMEOUT: expected .* found '{text}'"):
        VlatReader("memory://a.vlat")


def test_the_timeout_is_thirty_seconds_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for text in (None, "", " "):
        monkeypatch.delenv(retry.TIMEOUT_VARIABLE, raising=False)
        if text is not None:
            monkeypatch.setenv(retry.TIMEOUT_VARIABLE, text)
        assert retry.timeout() == 30.0


def test_a_web_page_in_place_of_an_archive_is_reported(
    site: Site, memory: Any, tmp_path: Path
) -> None:
    for page in (b"<!DOCTYPE html><html></html>", b"<html><body>Index of /</body>"):
        site.files["/shards"] = page
        memory.pipe("/shards", page)
        found = re.escape(f"found a web page ({page[:8]!r}), expected an archive")
        for url in (site.url + "/shards", "memory://shards"):
            with pytest.raises(NotVlatError, match=f"{found}; a folder of shards ends with /$"):
                VlatReader(url)
        (tmp_path / "a.vlat").write_bytes(page)
        with pytest.raises(NotVlatError, match=f"{found}$"):
            VlatReader(tmp_path / "a.vlat")


def test_a_file_that_vanishes_is_reported(site: Site, large: bytes) -> None:
    site.files["/a.vlat"] = large
    reader = VlatReader(site.url + "/a.vlat")
    site.files.clear()
    with pytest.raises(InputFileError, match=r"a\.vlat: "):
        reader.payload(0)


def test_what_is_not_an_archive_is_refused(site: Site, memory: Any) -> None:
    site.files["/a.vlat"] = b"<html>" * 10_000
    memory.pipe("/a.vlat", b"PK\x03\x04")
    memory.pipe("/empty.vlat", b"")
    for url in (site.url + "/a.vlat", "memory://a.vlat", "memory://empty.vlat"):
        with pytest.raises(NotVlatError):
            VlatReader(url)


def of_one_length(count: int, seed: int) -> bytes:
    """An archive of records of 150 bytes that differ only in their content."""
    rng, stream = np.random.default_rng(seed), io.BytesIO()
    writer = VlatWriter(stream, header())
    writer.add_many([rng.bytes(150) for _ in range(count)])
    writer.close()
    return stream.getvalue()


OLD, NEW = of_one_length(1000, 0), of_one_length(1000, 1)
LATER = of_one_length(1001, 1)
VERSIONS: dict[str, tuple[dict[str, str], dict[str, str], bytes]] = {
    "tag": ({"tags": '"old"'}, {"tags": '"new"'}, NEW),
    "weak tag": ({"tags": 'W/"old"'}, {"tags": 'W/"new"'}, NEW),
    "date": (
        {"dates": "Tue, 01 Dec 2026 00:00:00 GMT"},
        {"dates": "Tue, 01 Dec 2026 00:00:01 GMT"},
        NEW,
    ),
    "length": ({}, {}, LATER),
}


@pytest.mark.parametrize("minds", [True, False], ids=["asked for", "compared"])
@pytest.mark.parametrize("told", VERSIONS)
@pytest.mark.parametrize("request_", [1, 2, 3])
def test_a_file_replaced_between_two_requests_is_refused_by_name(
    site: Site, told: str, minds: bool, request_: int
) -> None:
    old, new, data = VERSIONS[told]
    site.minds, site.files = minds, {"/a.vlat": OLD}

    def say(version: dict[str, str]) -> None:
        for where, what in version.items():
            getattr(site, where)["/a.vlat"] = what

    def replace(request: int) -> None:
        if request == request_:
            site.files["/a.vlat"] = data
            say(new)

    say(old)
    site.before = replace
    with pytest.raises(ChangedFileError, match=r"a\.vlat: was replaced while it was read: "):
        VlatReader(site.url + "/a.vlat").payload(500)


def test_an_unchanged_file_is_read_whatever_the_server_says_of_it(site: Site) -> None:
    for tag in ('"old"', 'W/"old"'):
        site.files, site.tags = {"/a.vlat": OLD}, {"/a.vlat": tag}
        site.dates = {"/a.vlat": "Tue, 01 Dec 2026 00:00:00 GMT"}
        check_same(VlatReader(site.url + "/a.vlat"), OLD)


def test_a_file_replaced_on_another_file_system_is_refused_by_name(memory: Any) -> None:
    memory.pipe("/a.vlat", OLD)
    reader = VlatReader("memory://a.vlat")
    assert reader.payload(500) == VlatReader(OLD).payload(500)
    memory.pipe("/a.vlat", NEW)
    with pytest.raises(ChangedFileError, match=r"memory://a\.vlat: was replaced"):
        reader.payload(5)


def test_a_file_that_a_silent_server_replaces_gives_no_mixed_model(site: Site) -> None:
    site.files = {"/a.vlat": OLD}
    reader = VlatReader(site.url + "/a.vlat")
    site.files["/a.vlat"] = NEW
    for number in range(400, 500):
        with pytest.raises(CorruptError, match="of another archive"):
            reader.payload(number)


@pytest.mark.parametrize("request_", [1, 2, 3])
def test_an_archive_of_two_halves_is_refused(site: Site, request_: int) -> None:
    site.files = {"/a.vlat": OLD}

    def replace(request: int) -> None:
        if request == request_:
            site.files["/a.vlat"] = NEW

    site.before = replace
    try:
        found = [VlatReader(site.url + "/a.vlat").payload(500)]
    except VelcodecError:
        return
    assert found[0] in [VlatReader(data).payload(500) for data in (OLD, NEW)]


def test_memory_reads_like_a_file(memory: Any, large: bytes) -> None:
    memory.pipe("/small.vlat", SMALL)
    memory.pipe("/large.vlat", large)
    check_same(VlatReader("memory://small.vlat"), SMALL)
    check_same(VlatReader("memory://large.vlat"), large)


def test_a_remote_folder_reads_as_one(memory: Any, site: Site, tmp_path: Path) -> None:
    shards = []
    for i in range(3):
        path = tmp_path / shard_name(i)
        path.write_bytes(archive([b"%d" % i] * 2, keys=[f"a{i}", f"b{i}"]))
        shards.append(Shard(path.name, 2, path.stat().st_size))
    write_manifest(tmp_path, shards)
    for path in tmp_path.iterdir():
        memory.pipe(f"/folder/{path.name}", path.read_bytes())
        site.files[f"/folder/{path.name}"] = path.read_bytes()
    for url in ("memory://folder/", site.url + "/folder/"):
        reader = open_reader(url)
        assert isinstance(reader, ShardedReader)
        assert reader.keys == ("a0", "b0", "a1", "b1", "a2", "b2")
        assert [reader.payload(i) for i in (5, 0)] == [b"2", b"0"]
    site.reset()
    assert open_reader(site.url + "/folder/").payload(3) == b"1"
    assert site.requests == 2
    with pytest.raises(InputFileError, match=MANIFEST):
        open_reader("memory://elsewhere/")


def test_a_url_without_fsspec_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"velcodec\[remote\]"):
        VlatReader("s3://bucket/a.vlat")


def test_an_unknown_scheme_is_reported() -> None:
    with pytest.raises(InputFileError, match=r"nowhere://a\.vlat: "):
        VlatReader("nowhere://a.vlat")
