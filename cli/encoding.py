"""Translate command-line options to the library's: models, description, coding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from velcodec.encode.description import Description
    from velcodec.encode.encode import Encoded
    from velcodec.encode.setup import Coding
    from velcodec.files.job import Job
    from velcodec.formats.files.npy import ModelArray


def encode_models(
    models: ModelArray, settings: Mapping[str, Any], update: Callable[[int, int, str], None]
) -> Encoded:
    """Encode models in memory; options that a command lacks keep their defaults."""
    from velcodec.api import encode
    from velcodec.parallel import set_threads

    set_threads(settings["threads"])
    description = replace(description_of(settings), source_sha256=models.sha256)
    return encode(models, description, coding_of(settings), update)


def read_npy(path: Path, settings: Mapping[str, Any]) -> ModelArray:
    """The models of an `.npy` file, with order and units by the options."""
    from velcodec.formats.files.npy import read_models

    array = read_models(path, order=settings["order"] or "zx", units=settings["units"])
    if settings["z_positive"] == "up":
        return replace(array, models=array.models[:, ::-1], z_up=True)
    return array


def job_of(sources: Sequence[Path], settings: Mapping[str, Any]) -> Job:
    """The compression job for these files and options."""
    from velcodec.encode.description import check_geometry
    from velcodec.files.job import Job
    from velcodec.formats.extras import need_torch
    from velcodec.formats.files import Ground, open_models
    from velcodec.parallel import set_threads

    need_torch("velcodec.compress_files")  # told before files are opened, as a wrong option is
    description = description_of(settings)
    check_geometry(description)
    coding_of(settings)
    set_threads(settings["threads"])
    x, z = settings["origin"] or (None, None)
    models = open_models(
        sources[0] if len(sources) == 1 else sources,
        format=settings["file_format"],
        order=settings["order"],
        units=settings["units"],
        ground=Ground(
            settings["dx"], settings["dz"], x, z, settings.get("dy"), settings.get("origin_y")
        ),
        array=settings["array"],
        shape=settings["shape"],
        dtype=settings["dtype"],
        z_positive=settings["z_positive"],
        no_data=settings["mask"],
        volume=settings.get("volume", False),
        facts=description.stated_facts(),
    )
    if len({part.path for part in models.parts}) == 1:
        description = replace(description, source_sha256=models.sha256())
    keys = chosen_keys(settings["keys"], settings["key_prefix"], len(models))
    coding = coding_of(with_bytes(settings, {part.form.samples for part in models.parts}))
    return Job(models, description, coding, keys, fields_of(settings))


def with_bytes(settings: Mapping[str, Any], samples: set[int]) -> Mapping[str, Any]:
    """The options with `bits_per_sample` as bytes of a model of so many samples.

    Raises OptionError for models of several sizes.
    """
    bits = settings.get("bits_per_sample")
    if bits is None:
        return settings
    if settings["bytes_per_model"] is not None:
        raise click.UsageError("--bits-per-sample and --bytes-per-model exclude each other")
    if len(samples) > 1:
        from velcodec.formats.errors import OptionError

        raise OptionError(
            f"bits per sample: found models of {min(samples):,} to {max(samples):,} samples, "
            "expected one size: say --bytes-per-model"
        )
    return {**settings, "bytes_per_model": bits * next(iter(samples)) / 8}


def fields_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Columns with one value for all models."""
    fields = {name: settings[name] for name in ("family",) if settings[name] is not None}
    return {**fields, **settings["field"]}


def description_of(settings: Mapping[str, Any]) -> Description:
    """The description of the models by the options; defaults for options not given."""
    from velcodec.encode.description import Description
    from velcodec.formats.facts import NAMES

    names = (
        "dx", "dz", "dy", "origin", "origin_y", "units", "order", "mask", "volume",
    )  # fmt: skip
    given = {name: settings.get(name) for name in names}
    given["facts"] = {name: settings.get(name) for name in NAMES if settings.get(name)}
    return Description(**{name: value for name, value in given.items() if value is not None})


def coding_of(settings: Mapping[str, Any]) -> Coding:
    """The coding by the options."""
    from velcodec.encode.setup import Coding
    from velcodec.encode.target import Target

    target = Target(
        psnr=settings.get("psnr"),
        max_error=settings.get("max_error"),
        lossless=settings.get("lossless", False),
        bytes_per_model=settings["bytes_per_model"],
        keep_latent=settings.get("keep_latent", False),
        latent_only=settings.get("latent_only", False),
    )
    embed = settings.get("embed_decoder", False)
    return Coding(
        target,
        settings["effort"],
        settings["decoder"],
        settings["device"],
        embed,
        settings.get("fit", "lm"),
    )


def chosen_keys(file: Path | None, prefix: str | None, models: int) -> Sequence[str] | None:
    """The models' keys: the lines of a file, a prefix and the number, or None."""
    if file is not None and prefix is not None:
        raise click.UsageError("--keys and --key-prefix exclude each other")
    if file is not None:
        from velcodec.archive.select import read_keys

        return read_keys(file)
    if prefix is not None:
        return [f"{prefix}{number}" for number in range(models)]
    return None
