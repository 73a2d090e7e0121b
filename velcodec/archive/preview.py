"""Archives read by prefixes of their latents: coarser models from fewer bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from velcodec.archive.archive import Archive
from velcodec.decode.stored import StoredModel, read_latents
from velcodec.formats.errors import OptionError
from velcodec.formats.latent_coding.prefix import Prefix, decode_prefixes

if TYPE_CHECKING:
    from velcodec.decoder import Decoder


class PreviewArchive(Archive):
    """An open archive whose models are what a prefix of every tile's stream tells.

    Latents alone: samples that stand beside one do not count. Records are read and checked whole.
    Raises OptionError, when something is decoded, for a model without a latent and for a prefix
    that is shorter than what comes before the coefficients.
    """

    def __init__(
        self,
        source: str | Path | bytes | BinaryIO,
        prefix: Prefix,
        *,
        decoder: str | Path | Decoder | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__(source, decoder=decoder, device=device)
        self._prefix = prefix

    def _models(self, numbers: Sequence[int]) -> list[StoredModel]:
        read = read_latents(
            self._reader,
            self._tables,
            numbers,
            partial(decode_prefixes, prefix=self._prefix),
        )
        models = [model for _, _, model in read]
        for number, model in zip(numbers, models, strict=True):
            if not model.has_latent:
                raise OptionError(
                    f"{self._reader.name}: model {number}: stored as samples alone, expected a "
                    "latent: compress with --keep-latent (keep_latent=True) or --latent-only"
                )
        return models
