"""Archives in notebooks: HTML with pictures, and nothing of theirs is markup."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from rich_archives import rich_archive
from volumes import folded_volume

import velcodec
from velcodec.archive.notebook import GREY, png_of
from velcodec.decode.thumbnail import Thumbnail
from velcodec.decoder import Decoder
from velcodec.formats.errors import MissingDecoderError

EVIL = "'\"><script>alert(1)</script>"


def test_an_archive_shows_its_facts_and_first_models(tiny: Decoder) -> None:
    html = velcodec.open(rich_archive(tiny))._repr_html_()
    assert html is not None
    assert html.count("<img ") == 6
    for text in ("12", "9 x 14", "tiny", "checked, depth_m, family", "m0", "35.5 dB (least 30.0)"):
        assert text in html


def test_pictures_are_png_files_of_each_models_own_range(tiny: Decoder) -> None:
    from matplotlib.image import imread

    html = velcodec.open(rich_archive(tiny))._repr_html_()
    assert html is not None
    data = re.findall(r"base64,([A-Za-z0-9+/=]+)", html)
    image = imread(io.BytesIO(base64.b64decode(data[0])), format="png")
    assert image.shape[:2] == (18, 112)  # 45 m x 280 m


def test_volumes_show_the_section_through_their_middle() -> None:
    from matplotlib.image import imread

    blob = velcodec.compress(folded_volume(20, 25, 30), volume=True, lossless=True)
    html = velcodec.open(blob)._repr_html_()
    assert html is not None
    assert "20 x 25 x 30" in html
    (data,) = re.findall(r"base64,([A-Za-z0-9+/=]+)", html)
    image = imread(io.BytesIO(base64.b64decode(data)), format="png")
    assert image.shape[:2] == (75, 112)
    assert np.ptp(image[..., :3]) > 0.5


def test_a_png_has_a_colour_for_each_level_and_one_for_absent_samples() -> None:
    from matplotlib.image import imread

    levels = np.array([[0, 127, 254], [255, 1, 2]], np.uint8)
    image = imread(io.BytesIO(png_of(Thumbnail(levels, 0.0, 1.0))), format="png")
    found = np.rint(image[..., :3] * 255).astype(int)
    assert found[0, 0].tolist() == [68, 1, 84]
    assert bytes(found[1, 0].tolist()) == GREY
    assert len({tuple(colour) for colour in found.reshape(-1, 3).tolist()}) == 6


def test_keys_and_fields_of_an_enemy_are_text(tiny: Decoder) -> None:
    fields = {EVIL: [EVIL] * 3}
    html = velcodec.open(
        rich_archive(tiny, 3, keys=[f"{EVIL}{i}" for i in range(3)], fields=fields)
    )
    shown = html._repr_html_()
    assert shown is not None
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") >= 4
    attributes = re.findall(r"(?:alt|title)='([^']*)'", shown)
    assert len(attributes) == 6
    assert all("m/s" in each for each in attributes)


def test_without_pictures_the_reason_is_told(
    tiny: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = velcodec.open(rich_archive(tiny, 3))

    def missing(*_: object) -> object:
        raise MissingDecoderError("decoder 'x' not found")

    monkeypatch.setattr(archive, "stored", missing)
    html = archive._repr_html_()
    assert html is not None
    assert "<img" not in html
    assert "decoder &#x27;x&#x27; not found" in html


def test_a_stream_is_shown_as_text(tiny: Decoder) -> None:
    stream = velcodec.stream(io.BytesIO(rich_archive(tiny, 3)))
    assert stream._repr_html_() is None  # type: ignore[func-returns-value]
    assert len(list(stream)) == 3
