"""Writing archives that grow: `create` and `append` take models batch by batch.

Each batch is encoded, measured and written before the next one is asked for, so that memory does
not grow with the archive.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from velcodec.api import Coding, Description, group_encoder, make_batch
from velcodec.encode.target import Target
from velcodec.formats.container.append import append_to
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import EmptyInputError
from velcodec.formats.files.npy import ModelArray
from velcodec.formats.storage.atomic import atomic_write

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.encode.encode import Summary
    from velcodec.encode.groups import Batch
    from velcodec.progress import Progress

Models = NDArray[np.generic] | Sequence[NDArray[np.generic]] | ModelArray


class ArchiveWriter:
    """Adds models to an archive; see `create` and `append`."""

    def __init__(
        self,
        description: Description,
        coding: Coding,
        begin: Callable[[Any], VlatWriter],
        writer: VlatWriter | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        self._description = description
        self._encoder = group_encoder(description, coding, begin, writer, on_progress)

    def __len__(self) -> int:
        """Models in the archive so far."""
        writer = self._encoder.writer
        return 0 if writer is None else len(writer)

    @property
    def decoder_hash(self) -> bytes:
        """Identity of the decoder that models are encoded with."""
        return self._encoder.fitter.decoder.identity or b""

    @property
    def summary(self) -> Summary | None:
        """What the models that were added here cost and deliver; None before the first."""
        return self._encoder.summary

    def add(
        self,
        models: Models,
        *,
        keys: Sequence[str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Encode models and append them: an array or a list as for `velcodec.compress`.

        `keys` name them, in every batch or in none; `fields` have a value for each model, or one
        for all. Raises as `velcodec.compress`; batches before stay. Warns of values that look wrong
        in the first batch alone.
        """
        advise = self.summary is None
        about, exact = self._description, self._encoder.target.lossless
        batch = make_batch(
            models, about, keys, fields or {}, advise=advise, exact=exact, first=len(self)
        )
        self.add_batch(batch)

    def add_batch(self, batch: Batch) -> None:
        """Encode a batch that was checked and append it."""
        self._encoder.add(batch)

    def close(self) -> None:
        """Write the index. Raises EmptyInputError where nothing was added."""
        if self._encoder.writer is None:
            raise EmptyInputError("models: expected at least one, found none")
        self._encoder.writer.close()


@contextmanager
def create(
    target: str | Path | BinaryIO,
    *,
    force: bool = False,
    description: Description | None = None,
    psnr: float | None = None,
    bytes_per_model: float | None = None,
    max_error: float | None = None,
    lossless: bool = False,
    keep_latent: bool = False,
    latent_only: bool = False,
    fit: str = "lm",
    decoder: str | Path | Decoder | None = None,
    device: str = "auto",
    embed_decoder: bool = False,
    on_progress: Progress | None = None,
) -> Iterator[ArchiveWriter]:
    """A new archive that takes models batch by batch, until the block ends.

    `target` is a path, where the archive appears whole or not at all, or a binary stream that is
    written from front to back. How models are coded is said as to `velcodec.compress`. Raises
    OutputExistsError unless `force`, OutputPathError, OptionError.
    """
    promised = Target(psnr, max_error, lossless, bytes_per_model, keep_latent, latent_only)
    coding = Coding(promised, fit, decoder, device, embed_decoder)
    about = description or Description()
    with create_archive(target, about, coding, force=force, on_progress=on_progress) as writer:
        yield writer


@contextmanager
def create_archive(
    target: str | Path | BinaryIO,
    about: Description,
    coding: Coding,
    *,
    force: bool = False,
    on_progress: Progress | None = None,
) -> Iterator[ArchiveWriter]:
    """As `create`."""

    def into(stream: BinaryIO) -> ArchiveWriter:
        def begin(header: Any) -> VlatWriter:
            embedded = decoder_to_embed(header.decoder_hash, coding)
            return VlatWriter(stream, header, decoder=embedded)

        return ArchiveWriter(about, coding, begin, None, on_progress)

    if not isinstance(target, str | os.PathLike):
        writer = into(target)
        yield writer
        writer.close()
        return
    with atomic_write(Path(target), force=force) as stream:
        writer = into(stream)
        yield writer
        writer.close()


@contextmanager
def append(
    target: str | Path,
    *,
    description: Description | None = None,
    psnr: float | None = None,
    bytes_per_model: float | None = None,
    max_error: float | None = None,
    lossless: bool = False,
    keep_latent: bool = False,
    latent_only: bool = False,
    fit: str = "lm",
    decoder: str | Path | Decoder | None = None,
    device: str = "auto",
    embed_decoder: bool = False,
    on_progress: Progress | None = None,
) -> Iterator[ArchiveWriter]:
    """Add models to an archive without rewriting it; they are in it when the block ends.

    Whatever interrupts it leaves the archive as it was. Arguments as for `create`; the decoder may
    be another one than that of the models before. Raises LockedError while somebody else adds.
    """
    promised = Target(psnr, max_error, lossless, bytes_per_model, keep_latent, latent_only)
    coding = Coding(promised, fit, decoder, device, embed_decoder)

    def begin(header: Any) -> VlatWriter:
        raise AssertionError("the archive is there already")

    with append_to(target) as archive:
        writer = ArchiveWriter(description or Description(), coding, begin, archive, on_progress)
        embedded = decoder_to_embed(writer.decoder_hash, coding)
        if embedded is not None:
            archive.embed(embedded)
        yield writer


def decoder_to_embed(identity: bytes, how: Coding) -> bytes | None:
    """The bytes of the file of the decoder with this hash, where it is to be embedded.

    Raises MissingDecoderError.
    """
    if not how.embed_decoder:
        return None
    from velcodec.decoder.registry import file_bytes

    return file_bytes(identity, how.decoder if isinstance(how.decoder, str | Path) else None)
