"""Fields, embedded decoders, and archives that grow batch by batch."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkers import layered

import velcodec
from velcodec import Archive
from velcodec.archive.create import append, create
from velcodec.decoder import Decoder, registry
from velcodec.encode.description import Description
from velcodec.formats.container.copying import copy_records
from velcodec.formats.container.reader import VlatReader
from velcodec.formats.container.writer import VlatWriter
from velcodec.formats.errors import (
    DecoderFileError,
    KeyNotFoundError,
    MissingDecoderError,
    OptionError,
    OutputExistsError,
)

EXACT: dict[str, Any] = {"lossless": True, "decoder": "tiny"}
LATENT: dict[str, Any] = {"latent_only": True, "psnr": 20.0, "decoder": "tiny"}
FAMILIES = ["flat", "curved", "flat", "salt", "flat", "curved"]


@pytest.fixture(scope="module")
def models() -> np.ndarray:
    return layered(6, 12, 9, seed=4)


@pytest.fixture
def archive(models: np.ndarray, tiny: Decoder) -> Archive:
    """Six models with fields of every kind."""
    fields = {
        "family": FAMILIES,
        "crs": "EPSG:32631",
        "depth": np.arange(6) / 4,
        "shots": 30,
        "salt": [name == "salt" for name in FAMILIES],
    }
    keys = [f"k{i}" for i in range(6)]
    return velcodec.open(velcodec.compress(models, keys=keys, fields=fields, **EXACT))


def check_models(archive: Archive, models: Sequence[np.ndarray]) -> None:
    assert len(archive) == len(models)
    for found, model in zip(archive, models, strict=True):
        np.testing.assert_array_equal(found, model)


# --- fields ---------------------------------------------------------------------------------------


def test_fields_come_back_for_all_models(archive: Archive, models: np.ndarray) -> None:
    check_models(archive, list(models))
    assert archive.fields["family"].tolist() == FAMILIES
    assert archive.fields["crs"].tolist() == ["EPSG:32631"] * 6
    np.testing.assert_array_equal(archive.fields["depth"], np.arange(6) / 4)
    assert archive.fields["shots"].tolist() == [30] * 6
    assert archive.fields["salt"].dtype == bool
    assert archive.info()["fields"] == ["crs", "depth", "family", "salt", "shots"]


def test_fields_come_back_for_one_model(archive: Archive) -> None:
    expected = {"family": "salt", "crs": "EPSG:32631", "depth": 0.75, "shots": 30, "salt": True}
    for which in (3, -3, "k3"):
        found = archive.metadata(which)
        assert found == expected
        assert json.loads(json.dumps(found)) == expected


def test_an_archive_without_fields_has_none(models: np.ndarray, tiny: Decoder) -> None:
    archive = velcodec.open(velcodec.compress(models, **EXACT))
    assert archive.fields == {}
    assert archive.metadata(0) == {}


def test_models_are_selected_by_masks_and_lists(archive: Archive, models: np.ndarray) -> None:
    def check(which: Any, rows: list[int]) -> None:
        np.testing.assert_array_equal(archive[which], models[rows])

    check(archive.fields["family"] == "flat", [0, 2, 4])
    check(archive.fields["salt"], [3])
    check((archive.fields["depth"] > 0.5).tolist(), [3, 4, 5])
    check([5, "k0", -2], [5, 0, 4])
    check(np.array([4, 1]), [4, 1])
    check(("k1", 1), [1, 1])
    check(slice(4, None, -2), [4, 2, 0])
    assert archive[np.zeros(6, dtype=bool)] == []
    assert archive[[]] == []


def test_a_mask_of_the_wrong_length_is_refused(archive: Archive) -> None:
    for mask in ([True] * 5, np.ones(7, dtype=bool)):
        with pytest.raises(OptionError, match=r"mask: found [57] values, expected 6"):
            _ = archive[mask]
    with pytest.raises(KeyNotFoundError):
        _ = archive[["k0", "none"]]


@pytest.mark.parametrize(
    "fields",
    [
        {"depth": [1, 2]},
        {"depth": [[1] * 6]},
        {"depth": object()},
        {"": 1},
        {"depth": None},
        {"depth": [1, "a", 3, 4, 5, 6]},
        {"depth": b"text"},
    ],
    ids=lambda fields: ", ".join(fields) or "no name",
)
def test_fields_that_do_not_fit_are_refused(
    models: np.ndarray, tiny: Decoder, fields: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match="field"):
        velcodec.compress(models, fields=fields, **EXACT)


def test_fields_place_each_model(models: np.ndarray, tiny: Decoder) -> None:
    fields = {"dx_m": [5.0, 25.0], "origin_x_m": [100, 200], "origin_z_m": -30.0}
    archive = velcodec.open(
        velcodec.compress(models[:2], dx=10, dz=2.5, origin=(7, 8), fields=fields, **LATENT)
    )
    for number, (dx, x) in enumerate([(5.0, 100.0), (25.0, 200.0)]):
        layout, ground = archive.layout(number), archive.geometry(number)
        for one in (layout, ground):
            assert (one.dx_m, one.dz_m, one.origin_x_m, one.origin_z_m) == (dx, 2.5, x, -30.0)
        values = archive.sample(number, ground.sample_points())
        np.testing.assert_allclose(values.reshape(12, 9), archive[number], atol=0.05)
        slopes = archive.gradient(number, ground.sample_points())
        assert np.isfinite(slopes).all()


@pytest.mark.parametrize(
    "bad", [{"dx_m": -1.0}, {"dz_m": 0.0}, {"dx_m": "ten"}, {"origin_x_m": np.inf}]
)
def test_impossible_spacing_or_origin_is_refused(
    models: np.ndarray, tiny: Decoder, bad: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match=f"field '{next(iter(bad))}'"):
        velcodec.compress(models[:1], fields=bad, **EXACT)


def test_a_model_without_a_place_lies_where_its_layout_says(
    models: np.ndarray, tiny: Decoder, tmp_path: Path
) -> None:
    path = tmp_path / "a.vlat"
    with create(path, **EXACT) as writer:
        writer.add(models[:2], fields={"dx_m": [5, np.nan], "family": "flat"})
        writer.add(models[2:3])
    with append(path, **EXACT) as writer:
        writer.add(models[3:4])
    with velcodec.open(path) as archive:
        assert [archive.layout(i).dx_m for i in range(4)] == [5.0, 10.0, 10.0, 10.0]


# --- archives that grow ---------------------------------------------------------------------------


def test_batches_make_the_same_archive_as_one_call(
    models: np.ndarray, tiny: Decoder, tmp_path: Path
) -> None:
    keys, path = [f"k{i}" for i in range(6)], tmp_path / "a.vlat"
    fields = {"family": FAMILIES, "shots": 3}
    whole = velcodec.open(velcodec.compress(models, keys=keys, fields=fields, **EXACT))
    with create(path, **EXACT) as writer:
        for some in (slice(0, 1), slice(1, 4)):
            own = {"family": FAMILIES[some], "shots": 3}
            writer.add(models[some], keys=keys[some], fields=own)
        assert len(writer) == 4
        assert not path.exists()
    with append(path, **EXACT) as writer:
        writer.add(models[4:], keys=keys[4:], fields={"family": FAMILIES[4:], "shots": 3})
        assert (len(writer), writer.summary.models) == (6, 2)
    with velcodec.open(path) as grown:
        check_models(grown, list(whole))
        assert list(grown.keys) == keys
        assert repr(grown.quality) == repr(whole.quality)
        for name, column in whole.fields.items():
            assert grown.fields[name].tolist() == column.tolist()


def test_batches_of_different_layouts_get_their_own_headers(tiny: Decoder, tmp_path: Path) -> None:
    path, parts = tmp_path / "a.vlat", [layered(2, 12, 9), layered(1, 7, 14), layered(2, 12, 9, 5)]
    with create(path, description=Description(dx=5.0), **EXACT) as writer:
        for part in parts:
            writer.add(part)
    about = Description(units="km/s", order="xz", dx=7.0)
    extra = layered(1, 10, 8)[0].astype(np.float64) / 1000.0
    with append(path, description=about, **EXACT) as writer:
        writer.add(extra.T)
    with velcodec.open(path) as archive:
        check_models(archive, [model for part in parts for model in part] + [extra.T])
        assert [archive.layout(i).dx_m for i in (0, 2, 5)] == [5.0, 5.0, 7.0]
        assert archive.layout(5).units == "km/s"
        assert len(archive.info()["layouts"]) == 3
        np.testing.assert_array_equal(archive.decode([0, 4]), [archive[0], archive[4]])


def test_one_archive_holds_latents_of_two_decoders(
    models: np.ndarray, tiny: Decoder, other: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.vlat"
    with create(path, embed_decoder=True, **LATENT) as writer:
        writer.add(models[:2])
    with append(path, embed_decoder=True, **LATENT | {"decoder": other}) as writer:
        writer.add(models[2:4])
    alone = velcodec.open(
        velcodec.compress(models[2:4], **LATENT | {"decoder": other}), decoder=other
    )
    with velcodec.open(path) as archive:
        found = archive.decode([3, 0, 2], 16)
        np.testing.assert_allclose(found[[2, 0]], alone.decode([0, 1], 16), atol=0.05)
        assert [archive.header_of(i).decoder_name for i in range(4)] == ["tiny"] * 2 + ["other"] * 2
        info = archive.info()
        assert [each["name"] for each in info["decoders"]] == ["tiny", "other"]
        assert len(info["embedded_decoders"]) == 2


def test_an_archive_is_written_to_a_stream(models: np.ndarray, tiny: Decoder) -> None:
    stream = io.BytesIO()
    with create(stream, **EXACT) as writer:
        writer.add(models)
    check_models(velcodec.open(stream.getvalue()), list(models))


def test_a_failed_block_leaves_the_old_archive(
    models: np.ndarray, tiny: Decoder, tmp_path: Path
) -> None:
    path = tmp_path / "a.vlat"

    def fail(verb: Any) -> None:
        with verb(path, **EXACT) as writer:
            writer.add(models[:1])
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail(create)
    assert not list(tmp_path.iterdir())
    path.write_bytes(velcodec.compress(models[1:3], **EXACT))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="stop"):
        fail(append)
    assert path.read_bytes() == before
    with pytest.raises(OutputExistsError), create(path, **EXACT):
        pass


# --- embedded decoders ----------------------------------------------------------------------------


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function that hides all installed decoders."""

    def leave() -> None:
        monkeypatch.setenv("VELCODEC_HOME", str(tmp_path / "empty"))
        monkeypatch.setattr(registry, "shipped_folder", lambda: tmp_path / "no package")

    return leave


def test_an_embedded_decoder_suffices(models: np.ndarray, tiny: Decoder, nowhere: Any) -> None:
    bare = velcodec.compress(models[:3], **LATENT)
    data = velcodec.compress(models[:3], embed_decoder=True, **LATENT)
    expected = velcodec.decompress(bare, 20)
    nowhere()
    with pytest.raises(MissingDecoderError, match="'tiny' with hash"):
        velcodec.decompress(bare, 20)
    np.testing.assert_array_equal(velcodec.decompress(data, 20), expected)


def test_a_decoder_is_embedded_once(models: np.ndarray, tiny: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(velcodec.compress(models[:1], embed_decoder=True, **EXACT))
    with append(path, embed_decoder=True, **EXACT) as writer:
        writer.add(models[1:2])
    with append(path, embed_decoder=True, **EXACT) as writer:
        writer.add(models[2:3])
    with velcodec.open(path) as archive:
        assert len(archive.info()["embedded_decoders"]) == 1
        check_models(archive, list(models[:3]))


def test_an_altered_embedded_decoder_is_refused(
    models: np.ndarray, tiny: Decoder, nowhere: Any
) -> None:
    data = velcodec.compress(models[:1], embed_decoder=True, **LATENT)
    reader = VlatReader(data)
    decoder = bytearray(reader.embedded_decoders()[0])
    decoder[-5] ^= 1
    stream = io.BytesIO()  # all checksums of the file hold: only the decoder's own hash does not
    writer = VlatWriter(stream, reader.header, decoder=bytes(decoder))
    writer.add_many(list(reader.payloads()))
    writer.close()
    nowhere()
    with pytest.raises(DecoderFileError):
        velcodec.decompress(stream.getvalue(), 20)


def test_an_embedded_decoder_of_another_hash_does_not_help(
    models: np.ndarray, tiny: Decoder, other: Path, nowhere: Any
) -> None:
    reader = VlatReader(velcodec.compress(models[:1], **LATENT))
    stream = io.BytesIO()
    writer = VlatWriter(stream, reader.header, decoder=other.read_bytes())
    copy_records(reader, writer)
    writer.close()
    nowhere()
    with pytest.raises(MissingDecoderError, match="'tiny' with hash"):
        velcodec.decompress(stream.getvalue(), 20)
