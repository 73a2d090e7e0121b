"""The latents of an archive's models: stored ones, fitted ones, and models between two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from velcodec.decode import output
from velcodec.decode.absent import put_no_data
from velcodec.decode.decoders import Evaluators
from velcodec.decode.stored import StoredModel
from velcodec.formats.container.record_reader import RecordReader
from velcodec.formats.errors import MixedShapesError, OptionError
from velcodec.resolution import Resolution, check_resolution

if TYPE_CHECKING:
    from velcodec.encode.latents import ModelLatent


class Latents:
    """Gives the latents of an archive's models; those that had to be fitted are kept. `stored`
    reads models.
    """

    def __init__(
        self,
        reader: RecordReader,
        evaluators: Evaluators,
        stored: Callable[[Sequence[int]], list[StoredModel]],
    ) -> None:
        self._reader, self._evaluators, self._stored = reader, evaluators, stored
        self._fitted: dict[tuple[int, int], ModelLatent] = {}

    def latent(self, number: int, effort: int) -> ModelLatent:
        """The latent of a model, as `Archive.latent`."""
        from velcodec.encode.fitting import make_fitter
        from velcodec.encode.latents import fitted_latent, stored_latent

        (model,) = self._stored([number])
        decoder = self._evaluators.decoder(self._reader.header_of(number))
        if model.has_latent:
            return stored_latent(decoder, model)
        if (number, effort) not in self._fitted:
            fitter = make_fitter(decoder, effort)
            self._fitted[number, effort] = fitted_latent(fitter, model)
        return self._fitted[number, effort]

    def between(
        self, numbers: tuple[int, int], share: float, res: Resolution | None, effort: int
    ) -> NDArray[np.generic]:
        """A model between two others, as `Archive.between`."""
        if not np.isfinite(share):
            raise OptionError(f"share: found {share}, expected a finite number, 0 to 1 as a rule")
        headers = [self._reader.header_of(number) for number in numbers]
        if len({header.decoder_hash for header in headers}) > 1:
            raise MixedShapesError(f"{self._reader.name}: models {numbers}: of different decoders")
        grid = check_resolution(res, 1, False)
        first, second = (self.latent(number, effort) for number in numbers)
        mixed, decoder = first.mixed(second, share), self._evaluators.decoder(headers[0])
        (model,) = self._stored(numbers[:1])
        values = output.to_array(mixed.render(decoder, grid), model.layout)
        return put_no_data(values, model.layout, model.absent)
