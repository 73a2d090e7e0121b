"""Add to an archive without rewriting it: new records follow the old tail.

The old tail stays valid until the new one is completely on disk, so an interrupted addition leaves
the archive as it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.unfinished import check_rest
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import ChangedFileError, LockedError, OutputPathError
from velcodec.formats.storage.unbuffered import Unbuffered


@contextmanager
def append_to(path: str | Path, *, ignore_rest: bool = False) -> Iterator[VlatWriter]:
    """A writer of further records; they join the archive when the block ends.

    What an earlier, interrupted addition left behind is cut off first. If the block raises, the
    exception passes through and the archive is as it was. Raises LockedError if another process is
    adding, ChangedFileError if the file is replaced meanwhile, OutputPathError if it cannot be
    written, DamagedEndError if intact records would be cut off (unless `ignore_rest`), and whatever
    `VlatReader` raises.
    """
    path = Path(path)
    with Unbuffered(path) as stream:
        if not stream.lock():
            raise LockedError(f"{path}: another process is adding to it")
        with VlatReader(stream) as reader:
            if not ignore_rest:
                check_rest(reader)
            reader.check_index()
            end = reader.end
            writer = VlatWriter.continuing(
                stream,
                end,
                reader.headers(),
                reader.directory,
                reader.keys,
                reader.embedded_decoders(),
                reader.ancillary(),
                stamp=reader.stamp,
            )
        stream.truncate(end)
        stream.seek(end)
        try:
            yield writer
            if writer.changed:
                _close(writer, path)
            else:
                stream.truncate(end)
            if not stream.is_in_place():
                raise ChangedFileError(
                    f"{path}: was replaced or removed during the addition, which is lost"
                )
        except BaseException:
            # If even that fails, readers skip what was added.
            with suppress(OSError):
                stream.truncate(end)
                os.fsync(stream.fileno())
            raise


def _close(writer: VlatWriter, path: Path) -> None:
    try:
        writer.close()
    except OSError as error:
        raise OutputPathError(f"{path}: {error.strerror}") from error
