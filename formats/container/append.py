"""Adding to an archive without rewriting it: new records stand behind the old tail.

The old tail stays valid until the new one is whole on disk, so whatever interrupts an addition
leaves the archive as it was.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import LockedError, OutputPathError
from velcodec.formats.storage.unbuffered import Unbuffered


@contextmanager
def append_to(path: str | Path) -> Iterator[VlatWriter]:
    """A writer of more records; they belong to the archive when the block ends.

    What an earlier, unfinished addition left behind is cut off first. An exception in the block
    passes through, and the archive is as it was. Raises LockedError while somebody else adds,
    OutputPathError where the file cannot be written, and what `VlatReader` raises.
    """
    path = Path(path)
    with Unbuffered(path) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockedError(f"{path}: another process is adding to it") from error
        with VlatReader(stream) as reader:
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
        except BaseException:
            # Where not even that is possible, readers pass over what was added.
            with suppress(OSError):
                stream.truncate(end)
                os.fsync(stream.fileno())
            raise


def _close(writer: VlatWriter, path: Path) -> None:
    try:
        writer.close()
    except OSError as error:
        raise OutputPathError(f"{path}: {error.strerror}") from error
