"""The decoders that an archive's headers name, each loaded once.

Torch is imported only where nothing else can evaluate the decoder: on a GPU, for gradients, and for
some architectures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from velcodec.decode.stored import tables_of
from velcodec.decoder.registry import settled
from velcodec.formats.container.header import Header
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import DecoderFileError, MissingDecoderError
from velcodec.formats.extras import need_torch

if TYPE_CHECKING:
    import torch

    from velcodec.decoder import Decoder
    from velcodec.decoder.siren_mixture.frozen import FrozenMixture
    from velcodec.formats.decoder_file import DecoderFile
    from velcodec.formats.latent_coding.stream import LatentTables


class Evaluators:
    """The decoders of one archive; `wanted` and `device` are those of `velcodec.open`.

    Raises MissingDecoderError, naming the archive, when a decoder is needed and not found.
    """

    def __init__(
        self, reader: RecordReader, wanted: str | Path | Decoder | None, device: str
    ) -> None:
        self._reader, self._device = reader, device
        self._wanted: str | Path | Decoder | None = settled(wanted)
        self._decoders: dict[tuple[bytes, str], Decoder] = {}
        self._frozen: dict[bytes, FrozenMixture | None] = {}

    def decoder(self, header: Header, device: str | torch.device | None = None) -> Decoder:
        """The decoder that a header names, as a torch module, on `device` or else the archive's
        device.
        """
        from velcodec.decode.output import decoder_for
        from velcodec.device import pick_device

        place = header.decoder_hash, str(pick_device(self._device if device is None else device))
        if place not in self._decoders:
            with self._named():
                self._decoders[place] = decoder_for(
                    header, self._wanted, self._reader.embedded_decoders, place[1]
                )
        return self._decoders[place]

    def evaluator(self, header: Header) -> Decoder | FrozenMixture:
        """What renders a header's models on the archive's device: without torch on the CPU, if the
        decoder allows.
        """
        from velcodec.decode.output import frozen_for
        from velcodec.device import is_cpu

        name = header.decoder_hash
        if name not in self._frozen:
            loaded = self._wanted is not None and not isinstance(self._wanted, str | Path)
            self._frozen[name] = None
            if not loaded and is_cpu(self._device):
                wanted = cast("str | Path | None", self._wanted)
                with self._named():
                    self._frozen[name] = frozen_for(header, wanted, self._reader.embedded_decoders)
        if self._frozen[name] is None and is_cpu(self._device):
            need_torch(f"{self._reader.name}: decoder {header.decoder_name!r}")
        return self._frozen[name] or self.decoder(header)

    def file(self, header: Header) -> DecoderFile:
        """The file of a header's decoder. Raises DecoderFileError if a loaded one was given."""
        from velcodec.decode.output import decoder_file_for

        if self._wanted is not None and not isinstance(self._wanted, str | Path):
            raise DecoderFileError(f"{self._reader.name}: its decoder was given without its file")
        with self._named():
            return decoder_file_for(header, self._wanted, self._reader.embedded_decoders)

    def tables(self, header: Header) -> LatentTables:
        """The frequency tables that a header's latents are coded with."""
        return tables_of(self.evaluator(header))

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Put the archive's name before MissingDecoderError."""
        try:
            yield
        except MissingDecoderError as error:
            raise MissingDecoderError(f"{self._reader.name}: {error}") from error
