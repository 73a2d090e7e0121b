"""Writing: the old file stays whole, or the new one is; nothing else is left behind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from velcodec.formats.errors import OptionError, OutputExistsError, OutputPathError
from velcodec.formats.storage.atomic import (
    atomic_folder,
    atomic_path,
    atomic_write,
    check_target,
    exchange_folder,
)
from velcodec.formats.storage.unbuffered import Unbuffered


def write(target: Path, data: bytes = b"new", **options: object) -> None:
    with atomic_write(target, **options) as stream:  # type: ignore[arg-type]
        stream.write(data)


def only(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_there_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_write(target) as stream:
        stream.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert only(tmp_path) == {"out"}


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("force", [False, True])
def test_an_exception_leaves_what_was_there(
    tmp_path: Path, kind: type[BaseException], force: bool
) -> None:
    target = tmp_path / "out"
    if force:
        target.write_bytes(b"old")
    with pytest.raises(kind), atomic_write(target, force=force) as stream:  # noqa: PT012
        stream.write(b"half")
        raise kind
    assert only(tmp_path) == ({"out"} if force else set())
    assert not force or target.read_bytes() == b"old"


def test_an_existing_file_is_replaced_with_force_only(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match=f"^{target}: .*--force"):
        write(target)
    assert target.read_bytes() == b"old"
    write(target, force=True)
    assert target.read_bytes() == b"new"
    assert only(tmp_path) == {"out"}


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_file_that_appears_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    target = tmp_path / "out"
    with pytest.raises(OutputExistsError, match="appeared"), atomic_write(target) as stream:
        target.write_bytes(b"another's" + bytes(stream.tell()))
    assert target.read_bytes() == b"another's"
    assert only(tmp_path) == {"out"}


def _no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_a_file_system_without_links_is_written_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", _no_links)
    write(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"new"
    assert only(tmp_path) == {"out"}


def test_a_disk_that_is_full_at_the_end_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputPathError, match="out: No space left on device"):
        write(tmp_path / "out")
    assert only(tmp_path) == set()


def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    source = tmp_path / "in.npy"
    source.write_bytes(b"old")
    (tmp_path / "alias").symlink_to(source)
    for target in (source, tmp_path / "alias", tmp_path / "." / "in.npy"):
        for force in (False, True):
            with pytest.raises(OptionError, match="output is the input"):
                write(target, source=source, force=force)
    assert source.read_bytes() == b"old"


def test_targets_that_cannot_be_written_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cases = {
        tmp_path: "output is a folder",
        tmp_path / "none" / "out": "does not exist",
        tmp_path / "file" / "out": "does not exist|Not a directory",
        tmp_path / ("x" * 300): "File name too long",
    }
    for target, said in cases.items():
        with pytest.raises(OutputPathError, match=said):
            check_target(target)


def test_a_name_as_long_as_the_system_allows_is_written(tmp_path: Path) -> None:
    write(tmp_path / ("x" * 255))
    assert only(tmp_path) == {"x" * 255}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(OutputPathError, match="not writable"):
        check_target(folder / "out")


def test_permissions_are_those_of_a_plain_file_or_of_the_one_replaced(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write(tmp_path / "out")

    def mode(name: str) -> int:
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    assert mode("out") == mode("plain")
    (tmp_path / "out").chmod(0o640)
    write(tmp_path / "out", force=True)
    assert mode("out") == 0o640


# --- paths and folders ----------------------------------------------------------------------------


def test_a_path_is_free_and_becomes_the_target(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic_path(target) as path:
        assert not path.exists()
        path.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    with pytest.raises(OutputExistsError), atomic_path(target):
        pass
    with atomic_path(target, force=True) as path:
        path.write_bytes(b"newer")
    assert target.read_bytes() == b"newer"
    assert only(tmp_path) == {"out"}


def test_a_path_that_nothing_was_written_to_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputPathError, match="out: No such file"), atomic_path(tmp_path / "out"):
        pass
    assert only(tmp_path) == set()


@pytest.mark.parametrize("there", [False, True], ids=["absent", "empty"])
def test_a_folder_is_there_when_the_block_ends(tmp_path: Path, there: bool) -> None:
    target = tmp_path / "above" / "out"
    if there:
        target.mkdir(parents=True)
    with atomic_folder(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_bytes(b"new")
        assert not target.exists() or not any(target.iterdir())
    assert (target / "sub" / "file").read_bytes() == b"new"
    assert only(target.parent) == {"out"}


def test_a_folder_that_failed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "out") as folder:  # noqa: PT012
        (folder / "file").write_bytes(b"half")
        raise KeyboardInterrupt
    assert only(tmp_path) == set()


def test_a_folder_with_anything_in_it_and_a_file_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    for target, match in ((tmp_path, "not empty"), (tmp_path / "file", "is a file")):
        with pytest.raises(OutputExistsError, match=match), atomic_folder(target):
            pass
    (tmp_path / "late").mkdir()
    with (
        pytest.raises(OutputPathError, match="late: Directory not empty"),
        atomic_folder(tmp_path / "late"),
    ):
        (tmp_path / "late" / "file").write_bytes(b"another's")
    assert only(tmp_path) == {"file", "late"}
    assert only(tmp_path / "late") == {"file"}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_or_a_device_is_never_replaced(tmp_path: Path, force: bool, linked: bool) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for target, kind in ((pipe, "a pipe"), (Path("/dev/null"), "a device")):
        if linked:
            (tmp_path / "link").unlink(missing_ok=True)
            (tmp_path / "link").symlink_to(target)
            target = tmp_path / "link"
        for write in (atomic_write, atomic_path):
            with pytest.raises(OutputPathError, match=f"{target}: output is {kind}") as told:  # noqa: SIM117
                with write(target, force=force):
                    pass
            assert "--force" not in str(told.value)
        with pytest.raises(OutputPathError, match=kind), atomic_folder(target):
            pass
        with pytest.raises(OutputPathError, match=kind):
            Unbuffered(target, create=True)
    assert pipe.is_fifo()
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("there", [False, True])
def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path, there: bool) -> None:
    (tmp_path / "scratch").mkdir()
    link, real = tmp_path / "link", tmp_path / "scratch" / "real"
    link.symlink_to("scratch/real")
    if there:
        real.write_bytes(b"old")
        with pytest.raises(OutputExistsError, match="link: output exists already"):
            check_target(link)
    write(link, b"new", force=there)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert only(tmp_path / "scratch") == {"real"}
    with atomic_path(link, force=True) as path:
        path.write_bytes(b"newer")
    assert link.is_symlink()
    assert real.read_bytes() == b"newer"


def test_a_link_that_leads_to_no_folder_or_in_a_circle_is_refused_before_any_work(
    tmp_path: Path,
) -> None:
    (tmp_path / "far").symlink_to("absent/real")
    with pytest.raises(OutputPathError, match=r"far: folder .*absent does not exist"):
        check_target(tmp_path / "far", force=True)
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OutputPathError, match="a: is a link that leads back to itself"):
        check_target(tmp_path / "a", force=True)


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_behind_a_link_is_filled_and_the_link_stays(tmp_path: Path, there: bool) -> None:
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    if there:
        (tmp_path / "real").mkdir()
    with atomic_folder(tmp_path / "link") as folder:
        (folder / "file").write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert only(tmp_path / "real") == {"file"}


@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_takes_anothers_place_and_keeps_what_is_not_its_own(
    tmp_path: Path, linked: bool
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, names in ((old, ("own-1", "own-2", "notes")), (new, ("own-1",))):
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(folder.name.encode())
    target = old
    if linked:
        target = tmp_path / "link"
        target.symlink_to("old", target_is_directory=True)
    exchange_folder(new, target, lambda name: name.startswith("own"))
    assert only(old) == {"own-1", "notes"}
    assert (target / "own-1").read_bytes() == b"new"
    assert only(tmp_path) == {"old", *(["link"] if linked else [])}


def test_a_folder_that_cannot_take_anothers_place_leaves_it_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "own").write_bytes(b"old")
    with pytest.raises(OutputPathError, match="old: No such file"):
        exchange_folder(tmp_path / "absent", tmp_path / "old", lambda name: True)
    assert only(tmp_path) == {"old"}
    assert (tmp_path / "old" / "own").read_bytes() == b"old"
