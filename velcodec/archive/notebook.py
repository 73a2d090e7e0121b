"""An archive as HTML, for notebooks: what it holds, and small pictures of its first models."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from importlib import resources
from typing import Any

import numpy as np

from velcodec.decode.thumbnail import Thumbnail

PICTURES, PIXELS = 6, 112
"""Models that are pictured, and pixels of a picture."""

PNG = b"\x89PNG\r\n\x1a\n"
GREY = bytes((208, 208, 208))
"""Colour of absent samples."""


def html_of(info: Mapping[str, Any], pictures: Sequence[tuple[str, Thumbnail]], note: str) -> str:
    """A table of facts, those of `Archive.info`, and pictures under their keys; a `note` says why
    there are none.
    """
    grids = sorted({_grid(layout) for layout in info["layouts"]})
    facts = {
        "models": f"{info['models']:,}",
        "bytes": f"{info['bytes']:,} ({info['bytes_per_model']:,.1f} per model)",
        "grid": ", ".join(grids[:4]) + (" …" if len(grids) > 4 else ""),
        "decoder": info["decoder"]["name"],
        "fields": ", ".join(info["fields"]),
        "licence": info["licence"],
    }
    quality = info["quality"]
    if quality is not None:
        mean, least = quality["mean_psnr_db"], quality["worst_psnr_db"]
        facts["PSNR"] = f"{mean:.1f} dB (least {least:.1f})"
    rows = "".join(
        f"<tr><th style='text-align:left'>{name}</th>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in facts.items()
        if value
    )
    shown = "".join(map(_picture, *zip(*pictures, strict=True))) if pictures else ""
    told = f"<div>{escape(note)}</div>" if note else ""
    return f"<div><strong>velcodec archive</strong><table>{rows}</table>{shown}{told}</div>"


def _grid(layout: Mapping[str, Any]) -> str:
    sizes = (layout.get(name) for name in ("nz", "ny", "nx"))
    return " x ".join(str(size) for size in sizes if size is not None)


def _picture(key: str, small: Thumbnail) -> str:
    data = base64.b64encode(png_of(small)).decode()
    title = escape(f"{key}: {small.low:,.0f} to {small.high:,.0f} m/s", quote=True)
    return (
        f"<figure style='display:inline-block;margin:4px;width:{PIXELS}px;vertical-align:top'>"
        f"<img alt='{title}' title='{title}' src='data:image/png;base64,{data}'>"
        "<figcaption style='overflow:hidden;text-overflow:ellipsis;white-space:nowrap'>"
        f"{escape(key)}</figcaption></figure>"
    )


def png_of(small: Thumbnail) -> bytes:
    """A thumbnail as a PNG, whose palette is viridis, and grey where samples are absent."""
    nz, nx = small.levels.shape
    rows = np.zeros((nz, nx + 1), np.uint8)  # each row begins with its filter, none
    rows[:, 1:] = small.levels
    size = struct.pack(">IIBBBBB", nx, nz, 8, 3, 0, 0, 0)
    parts = {
        b"IHDR": size,
        b"PLTE": _palette(),
        b"IDAT": zlib.compress(rows.tobytes()),
        b"IEND": b"",
    }
    return PNG + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts.items()
    )


@lru_cache
def _palette() -> bytes:
    path = resources.files("velcodec").joinpath("data", "colour-maps.json")
    colours = bytes.fromhex(json.loads(path.read_text("utf-8"))["viridis"])
    return colours[: 3 * 255] + GREY
