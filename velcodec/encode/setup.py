"""How models are to be coded, and the encoder that does it: target, decoder, effort, device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from velcodec.effort import DEFAULT_EFFORT
from velcodec.encode.description import Description, check_geometry
from velcodec.encode.target import Target
from velcodec.formats.container.header import MAX_HEADER_BYTES, Header, Layout, Source
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import OptionError
from velcodec.formats.latent_coding.coding import USUAL_CODING
from velcodec.version import release

if TYPE_CHECKING:
    from velcodec.decoder import Decoder
    from velcodec.encode.fitting import Fitter
    from velcodec.encode.groups import GroupEncoder
    from velcodec.fit import Method
    from velcodec.progress import Progress


@dataclass(frozen=True)
class Coding:
    """How models are coded: the target, effort, decoder and device. `embed_decoder` puts the
    decoder itself into the archive; `fit` is the method of fits: lm, or adam, the paper's.
    """

    target: Target = field(default_factory=Target)
    effort: int = DEFAULT_EFFORT
    decoder: str | Path | Decoder | None = None
    device: str = "auto"
    embed_decoder: bool = False
    fit: Method = "lm"


def group_encoder(
    description: Description,
    coding: Coding,
    begin: Callable[[Header], VlatWriter],
    writer: VlatWriter | None = None,
    on_progress: Progress | None = None,
) -> GroupEncoder:
    """What encodes batches to the archive of `writer`, or of the one that `begin` makes.

    Raises OptionError, MissingDecoderError.
    """
    from velcodec.encode.groups import GroupEncoder

    check_geometry(description)
    fitter = make_fitter(coding, on_progress)
    template = Header(
        decoder_hash=fitter.decoder.identity or b"",
        decoder_name=fitter.decoder.name,
        layouts=(Layout(1, 1),),
        coding=USUAL_CODING,
        source=Source.of(description.source_sha256),
        user=_plain(description.user),
        software=release(),
    ).with_facts(description.stated_facts())
    _check_storable(template)
    return GroupEncoder(fitter, coding.target, template, begin, writer)


def make_fitter(coding: Coding, on_progress: Progress | None = None) -> Fitter:
    """The decoder, its encoder and the method that `coding` asks for, ready to fit with.

    Raises OptionError, MissingDecoderError.
    """
    from velcodec.decode.output import place_decoder
    from velcodec.decoder import Decoder, load_decoder
    from velcodec.device import pick_device
    from velcodec.encode import fitting
    from velcodec.progress import no_progress

    place = str(pick_device(coding.device))
    if isinstance(coding.decoder, Decoder):
        decoder = place_decoder(coding.decoder, place)
    else:
        decoder = load_decoder(coding.decoder, place)
    return fitting.make_fitter(decoder, coding.effort, on_progress or no_progress, coding.fit)


def _plain(value: Any) -> Any:
    """User's values with NumPy's numbers and arrays as Python's, which are what a header holds."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _check_storable(header: Header) -> None:
    """OptionError where free text or user fields are not what a header can hold."""
    try:
        size = len(header.to_bytes())
    except (TypeError, ValueError, OverflowError) as error:
        raise OptionError(f"metadata: expected text and JSON-like fields: {error}") from error
    if size > MAX_HEADER_BYTES:
        raise OptionError(f"metadata: found {size} bytes, expected at most {MAX_HEADER_BYTES}")
