"""From a command's options to the library's: reading an `.npy` file and encoding it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from velcodec.api import Coding, Description
    from velcodec.codec.encode import Encoded
    from velcodec.formats.npy import ModelArray


def encode_file(
    path: Path, settings: Mapping[str, Any], update: Callable[[int, int, str], None]
) -> Encoded:
    """Read the models of `path` and encode them as the options say."""
    from velcodec.formats.npy import read_models

    models = read_models(path, order=settings["order"], units=settings["units"])
    return encode_models(models, settings, update)


def encode_models(
    models: ModelArray, settings: Mapping[str, Any], update: Callable[[int, int, str], None]
) -> Encoded:
    """Encode models that were read. Options that a command does not have keep their defaults."""
    keys = chosen_keys(settings.get("keys"), settings.get("key_prefix"), len(models.models))

    from velcodec.api import encode
    from velcodec.device import set_threads

    set_threads(settings["threads"])
    description = replace(description_of(settings), keys=keys, source_sha256=models.sha256)
    return encode(models, description, coding_of(settings), update)


def description_of(settings: Mapping[str, Any]) -> Description:
    """What the options say of the models beside their values."""
    from velcodec.api import Description

    return Description(
        dx=settings["dx"],
        dz=settings["dz"],
        origin=settings["origin"],
        units=settings["units"],
        order=settings["order"],
        provenance=settings.get("provenance", ""),
        licence=settings.get("licence", ""),
    )


def coding_of(settings: Mapping[str, Any]) -> Coding:
    """How the options want models coded."""
    from velcodec.api import Coding

    return Coding(
        bytes_per_model=settings["bytes_per_model"],
        fit=settings["fit"],
        decoder=settings["decoder"],
        device=settings["device"],
        max_error=settings.get("max_error"),
        lossless=settings.get("lossless", False),
        keep_latent=settings.get("keep_latent", False),
        latent_only=settings.get("latent_only", False),
        psnr=settings.get("psnr"),
    )


def chosen_keys(file: Path | None, prefix: str | None, models: int) -> Sequence[str] | None:
    """The models' names: the lines of a file, a prefix and the number, or None."""
    if file is not None and prefix is not None:
        raise click.UsageError("--keys and --key-prefix exclude each other")
    if file is not None:
        return file.read_text(encoding="utf-8").splitlines()
    if prefix is not None:
        return [f"{prefix}{number}" for number in range(models)]
    return None
