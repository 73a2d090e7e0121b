"""Archives decoded from prefixes of their latents: coarser models from fewer bytes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from velcodec.archive.archive import Archive
from velcodec.archive.layouts import place_of
from velcodec.archive.volumes import Volumes
from velcodec.decode.stored import EXACT, StoredModel, read_latents, read_record, stored_as
from velcodec.decode.volumes import StoredVolume
from velcodec.formats.errors import OptionError
from velcodec.formats.latent_coding.prefix import Prefix, decode_prefixes

if TYPE_CHECKING:
    from velcodec.decoder import Decoder


log = logging.getLogger(__name__)


class PreviewArchive(Archive):
    """An open archive that decodes only a prefix of every tile's stream.

    Samples beside a latent are ignored; models stored as samples only are decoded whole, with a
    warning. Records are read and checked whole. Decoding raises OptionError if no model has a
    latent, and for a prefix that ends before the first coefficient.
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
        self._warned = False
        self._volumes = _NoVolumes(self._reader)

    def _models(self, numbers: Sequence[int]) -> list[StoredModel]:
        read = read_latents(
            self._reader,
            self._tables,
            numbers,
            partial(decode_prefixes, prefix=self._prefix),
        )
        models = [model for _, _, model in read]
        without = [row for row, model in enumerate(models) if not model.has_latent]
        if without:
            self._warn_of_samples(numbers[without[0]], all_samples=len(without) == len(models))
            whole = super()._models([numbers[row] for row in without])
            for row, model in zip(without, whole, strict=True):
                models[row] = model
        return models

    def _warn_of_samples(self, number: int, *, all_samples: bool) -> None:
        """Warn once that a model stored as samples only is decoded whole. Raises OptionError if no
        model of the archive has a latent.
        """
        if self._warned:
            return
        if all_samples and all(
            stored_as(read_record(self._reader, each)[1]) == EXACT for each in range(len(self))
        ):
            raise OptionError(
                f"{self._reader.name}: model {number}: stored as samples alone, as all others, "
                "expected a latent: compress with --keep-latent (keep_latent=True) or --latent-only"
            )
        self._warned = True
        log.warning(
            "%s: model %d: stored as samples alone, which have no shorter form: it and others like "
            "it are given whole",
            self._reader.name,
            number,
        )


class _NoVolumes(Volumes):
    """Raises OptionError for volumes, which have no latents to take a first part of."""

    def stored(self, number: int) -> StoredVolume:
        raise OptionError(
            f"{place_of(self._reader, number)}: a volume, which has no latent to preview"
        )
