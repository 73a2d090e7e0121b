"""Encoding volumes: each for itself, its records under one header, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from velcodec.decode.volumes import open_volume
from velcodec.encode.encode import Group, Summary
from velcodec.encode.pack import Contents, Packed
from velcodec.encode.target import Target
from velcodec.encode.volume_coder import CodedVolume, Volume, VolumeCoder
from velcodec.formats.container.columns import take_fields
from velcodec.formats.container.quality import StoredQuality
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.record import Record, pack_record
from velcodec.formats.errors import OptionError, VerificationError
from velcodec.formats.sample_coding.coding import ExactCoding
from velcodec.formats.sample_coding.label_map.network import EXACT_NETWORK
from velcodec.progress import Progress
from velcodec.sampler.volume.form import NEWEST_VOLUME_SAMPLER


def encode_volumes(
    volumes: Sequence[Volume], contents: Contents, target: Target, saved: int, on_progress: Progress
) -> Group:
    """Encode volumes of one layout to the target, each for itself; every brick is read back.

    `saved` bytes of what an archive has once are not counted towards a size. Raises BudgetError,
    QualityError, VerificationError, and OptionError for a target that keeps latents: volumes have
    none.
    """
    for name in ("keep_latent", "latent_only"):
        if getattr(target, name):
            raise OptionError(f"{name}: found it for volumes, which are stored as samples alone")
    coded = []
    for number, volume in enumerate(volumes):
        name = f"model {contents.key(number)}"
        layout = contents.header.layouts[0]
        coder = VolumeCoder(volume, layout.units, name, on_progress, layout.no_data)
        coded.append(_coded(coder, target, contents, saved))
    quality = [each.quality for each in coded]
    packed = _packed(contents, coded)
    coded = [each.without_streams() for each in coded]
    data = packed.to_bytes()
    _check_read_back(data, contents, coded)
    masked = sum(each.absent is not None and bool(each.absent.any()) for each in coded)
    summary = _summary(volumes, contents, quality, len(data))
    return Group(packed, replace(summary, masked=masked))


def _check_read_back(data: bytes, contents: Contents, coded: Sequence[CodedVolume]) -> None:
    """Raise VerificationError unless an archive's records hold the streams that were measured, in
    their domains, as the reader's own code finds them.
    """
    reader = VlatReader(data)
    for row, each in enumerate(coded):
        stored = open_volume(reader, row)
        domain = stored.header.exact and stored.header.exact.domains[stored.table.domain]
        same = stored.table.bricks == each.bricks and domain == each.domain
        same &= each.absent is None or np.array_equal(stored.table.absent, each.absent)
        same &= np.array_equal(stored.table.checksums, each.checksums)
        if not same or sum(1 for _ in stored.streams()) != len(each.bricks):
            raise VerificationError(f"model {contents.key(row)}: does not read back as coded")


def _packed(contents: Contents, coded: Sequence[CodedVolume]) -> Packed:
    """The records of coded volumes under one header, the first ones of `contents`."""
    layout = contents.header.layouts[0]
    domains = list(dict.fromkeys(each.domain for each in coded))
    exact = ExactCoding(EXACT_NETWORK, tuple(domains), NEWEST_VOLUME_SAMPLER)
    header = replace(contents.header, exact=exact)
    records = []
    for row, each in enumerate(coded):
        bricks = each.record(domains.index(each.domain))
        at = int(contents.layout_of[row])
        records.append(
            pack_record(Record(at, 0, 0, layout.nz, layout.nx, [], bricks=bricks), header)
        )
    keys = None if contents.keys is None else contents.keys[: len(coded)]
    fields = take_fields(contents.fields, slice(0, len(coded)))
    return Packed(header, records, keys, [each.quality for each in coded], fields)


def _coded(coder: VolumeCoder, target: Target, contents: Contents, saved: int) -> CodedVolume:
    if target.lossless:
        return coder.exactly()
    if target.within is not None:
        return coder.within(target.within)
    if target.bytes_per_model is not None:

        def size(coded: CodedVolume) -> int:
            return len(_packed(contents, [coded]).to_bytes()) - saved

        return coder.to_size(target.bytes_per_model, size)
    wanted = target.psnr_for(coder.deviation())
    assert wanted is not None
    return coder.to_psnr(wanted)


def _summary(
    volumes: Sequence[Volume], contents: Contents, quality: Sequence[StoredQuality], size: int
) -> Summary:
    psnr = np.array([each.psnr_db for each in quality])
    worst = int(psnr.argmin())
    return Summary(
        models=len(volumes),
        tiles=0,
        bytes=size,
        input_bytes=sum(volume.nbytes for volume in volumes),
        mean_psnr=float(psnr.mean()),
        worst_psnr=float(psnr[worst]),
        worst_model=contents.key(worst),
        max_error_m_s=max(each.max_error_m_s for each in quality),
        latent=0,
        samples=len(volumes),
        both=0,
        distance=None,
        farthest_model=None,
    )
