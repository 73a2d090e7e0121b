"""Write archives batch by batch: `create` and `append`.

Each batch is encoded, measured and written before the next, so that memory does not grow with the
archive.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from velcodec.decoder.registry import file_bytes
from velcodec.effort import DEFAULT_EFFORT
from velcodec.encode.describe import Batch, make_batch, warn_of_unused_mask
from velcodec.encode.description import Description
from velcodec.encode.setup import Coding, group_encoder
from velcodec.encode.target import Target
from velcodec.formats.container.append import append_to
from velcodec.formats.container.header import Header, Layout
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import EmptyInputError
from velcodec.formats.extras import need_torch
from velcodec.formats.facts import Facts
from velcodec.formats.files.npy import ModelArray
from velcodec.formats.storage.atomic import atomic_write
from velcodec.progress import Progress

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.encode.encode import Summary

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
        """Number of models in the archive so far."""
        writer = self._encoder.writer
        return 0 if writer is None else len(writer)

    @property
    def decoder_hash(self) -> bytes:
        """Identity of the decoder that models are encoded with."""
        return self._encoder.fitter.decoder.identity or b""

    @property
    def summary(self) -> Summary | None:
        """Size and measured quality of the models added here; None before the first."""
        return self._encoder.summary

    def add(
        self,
        models: Models,
        *,
        keys: Sequence[str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Encode models and append them: an array or a list as for `velcodec.compress`.

        Every batch has `keys`, or none has. `fields` have one value for each model, or one for all.
        Raises what `velcodec.compress` raises; earlier batches stay. Only the first batch warns of
        suspicious values.
        """
        batch = make_batch(
            models, self._description, keys, fields or {},
            advise=self.summary is None, exact=self._encoder.target.lossless, first=len(self),
        )  # fmt: skip
        self.add_batch(batch)

    def add_batch(self, batch: Batch) -> None:
        """Encode a checked batch and append it."""
        self._encoder.add(batch)

    def advise(self) -> None:
        """Log what is probably a mistake, which only shows when all models were added."""
        if self.summary is not None:
            warn_of_unused_mask(self._description.mask, self.summary.masked, "models")

    def close(self) -> None:
        """Write the index. Raises EmptyInputError if nothing was added."""
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
    effort: int = DEFAULT_EFFORT,
    decoder: str | Path | Decoder | None = None,
    device: str = "auto",
    embed_decoder: bool = False,
    on_progress: Progress | None = None,
) -> Iterator[ArchiveWriter]:
    """Create an archive and add models to it batch by batch; it is complete when the block ends.

    `target` is a path, written whole or not at all, or a binary stream, written from front to back.
    The coding options are those of `velcodec.compress`. Raises OutputExistsError unless `force`,
    OutputPathError, OptionError.
    """
    promised = Target(psnr, max_error, lossless, bytes_per_model, keep_latent, latent_only)
    coding = Coding(promised, effort, decoder, device, embed_decoder)
    description = description or Description()
    with create_archive(
        target, description, coding, force=force, on_progress=on_progress
    ) as writer:
        yield writer
        writer.advise()


@contextmanager
def create_archive(
    target: str | Path | BinaryIO,
    description: Description,
    coding: Coding,
    *,
    force: bool = False,
    on_progress: Progress | None = None,
) -> Iterator[ArchiveWriter]:
    """As `create`, for a `Description` and a `Coding`."""
    need_torch("velcodec.create")

    def writer_to(stream: BinaryIO) -> ArchiveWriter:
        def begin(header: Any) -> VlatWriter:
            embedded = decoder_to_embed(header.decoder_hash, coding)
            return VlatWriter(stream, header, decoder=embedded)

        return ArchiveWriter(description, coding, begin, None, on_progress)

    if not isinstance(target, str | os.PathLike):
        writer = writer_to(target)
        yield writer
        writer.close()
        return
    with atomic_write(Path(target), force=force) as stream:
        writer = writer_to(stream)
        yield writer
        writer.close()


@contextmanager
def append(
    target: str | Path,
    *,
    ignore_rest: bool = False,
    description: Description | None = None,
    psnr: float | None = None,
    bytes_per_model: float | None = None,
    max_error: float | None = None,
    lossless: bool = False,
    keep_latent: bool = False,
    latent_only: bool = False,
    effort: int = DEFAULT_EFFORT,
    decoder: str | Path | Decoder | None = None,
    device: str = "auto",
    embed_decoder: bool = False,
    on_progress: Progress | None = None,
) -> Iterator[ArchiveWriter]:
    """Add models to an archive without rewriting it; they belong to it when the block ends.

    An interruption leaves the archive unchanged. Arguments as for `create`. Spacing and origin that
    neither `description` nor the models state are those of the archive, if all its models have the
    same; the decoder may differ from that of earlier models. Raises LockedError while another
    process appends, and DamagedEndError if the last index is damaged, so that models which only it
    lists would be cut off; `ignore_rest` cuts them off.
    """
    need_torch("velcodec.append")
    promised = Target(psnr, max_error, lossless, bytes_per_model, keep_latent, latent_only)
    coding = Coding(promised, effort, decoder, device, embed_decoder)

    def begin(header: Any) -> VlatWriter:
        raise AssertionError("the archive is there already")

    with append_to(target, ignore_rest=ignore_rest) as archive:
        about = description or Description()
        about = about.like(layouts_of(archive.headers(), about.stated_facts()))
        writer = ArchiveWriter(about, coding, begin, archive, on_progress)
        embedded = decoder_to_embed(writer.decoder_hash, coding)
        if embedded is not None:
            archive.embed(embedded)
        yield writer
        writer.advise()


def layouts_of(headers: Sequence[Header], facts: Facts) -> list[Layout]:
    """Every layout that the headers name in which z is what it is by these facts: metres of depth
    are no milliseconds.
    """
    return [
        layout
        for header in headers
        if header.facts.is_time is facts.is_time
        for layout in header.layouts
    ]


def decoder_to_embed(identity: bytes, coding: Coding) -> bytes | None:
    """The file of the decoder with this hash; None unless `coding.embed_decoder`.

    Raises MissingDecoderError.
    """
    if not coding.embed_decoder:
        return None
    return file_bytes(identity, coding.decoder if isinstance(coding.decoder, str | Path) else None)
