"""What an archive says of its models, and which of them are meant, without decoding any."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich_archives import rich_archive

import velcodec
from velcodec.archive.listing import rows_of
from velcodec.archive.select import Choice, Condition, read_mask
from velcodec.decoder import Decoder
from velcodec.formats.errors import (
    InputDtypeError,
    InputFileError,
    KeyNotFoundError,
    ModelNumberError,
    OptionError,
)


@pytest.fixture
def archive(tiny: Decoder) -> velcodec.Archive:
    return velcodec.open(rich_archive(tiny))


def numbers(archive: velcodec.Archive, *where: str, **named: object) -> list[int]:
    conditions = [Condition.parse(text) for text in where]
    return list(Choice(where=conditions, **named).numbers(archive))  # type: ignore[arg-type]


def test_a_row_says_what_the_archive_says(archive: velcodec.Archive) -> None:
    rows = list(rows_of(archive, [7, 0]))
    assert [row.number for row in rows] == [7, 0]
    row = rows[0]
    assert (row.key, row.nz, row.nx, row.stored) == ("m7", 9, 14, "latent")
    assert row.bytes == archive.record_bytes[7]
    assert row.quality == archive.quality[7]  # type: ignore[index]
    assert row.fields == {"family": "salt", "depth_m": 700.0, "checked": False}
    assert row.to_dict()["psnr_db"] == 37.0


def test_rows_of_one_kind_of_models_read_no_record(
    archive: velcodec.Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive.reader, "payload", lambda number: pytest.fail("read a record"))
    assert len(list(rows_of(archive, range(12)))) == 12


def test_how_each_of_several_kinds_is_stored_is_told(tiny: Decoder) -> None:
    models = np.tile(np.linspace(1500, 3000, 12, dtype=np.float32)[:, None], (1, 14))
    stream = io.BytesIO()
    with velcodec.create(stream, lossless=True, decoder="tiny") as writer:
        writer.add(models)
        writer.add(models[:8, :9])
    with velcodec.open(stream.getvalue()) as archive:
        rows = list(rows_of(archive, [0, 1]))
    assert [(row.key, row.nz, row.nx, row.stored) for row in rows] == [
        ("0", 12, 14, "samples"),
        ("1", 8, 9, "samples"),
    ]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (("family=salt",), [1, 3, 5, 7, 9, 11]),
        (("family!=salt", "depth_m>=800"), [8, 10]),
        (("depth_m<200",), [0, 1]),
        (("depth_m=300",), [3]),
        (("depth_m<=100", "depth_m>0"), [1]),
        (("checked=true",), [0, 3, 6, 9]),
        (("checked!=true", "family=salt"), [1, 5, 7, 11]),
        (("family=sand",), []),
    ],
)
def test_models_are_chosen_by_what_their_fields_say(
    archive: velcodec.Archive, where: tuple[str, ...], expected: list[int]
) -> None:
    assert numbers(archive, *where) == expected


def test_models_are_chosen_by_number_slice_key_and_mask(archive: velcodec.Archive) -> None:
    assert numbers(archive) == list(range(12))
    assert numbers(archive, models=[slice(8, None), 0]) == [8, 9, 10, 11, 0]
    assert numbers(archive, models=[-1], keys=["m3"]) == [11, 3]
    assert numbers(archive, "family=salt", models=[slice(4, 8)]) == [5, 7]
    assert numbers(archive, mask=np.arange(12) % 5 == 0) == [0, 5, 10]


def test_a_model_without_a_value_meets_no_condition_on_it(tiny: Decoder) -> None:
    fields = {"depth_m": [1.0, np.nan, 3.0], "site": ["north", "", "south"]}
    with velcodec.open(rich_archive(tiny, 3, fields=fields)) as archive:
        for where, expected in (
            ("depth_m>0", [0, 2]),
            ("depth_m!=1", [2]),
            ("site!=north", [2]),
            ("site=north", [0]),
            ("site=", [1]),
            ("site!=", [0, 2]),
            ("depth_m=", [1]),
            ("depth_m!=", [0, 2]),
        ):
            assert numbers(archive, where) == expected, where


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("depth", "found 'depth', expected one such as"),
        ("colour=red", "'colour'.*checked, depth_m, family"),
        ("depth_m>deep", "'deep', expected a number"),
        ("family>flat", "texts"),
        ("checked=perhaps", "true or false"),
        ("depth_m>", "no value"),
    ],
)
def test_a_condition_that_cannot_be_asked_is_refused(
    archive: velcodec.Archive, where: str, said: str
) -> None:
    with pytest.raises(OptionError, match=said):
        numbers(archive, where)


def test_a_model_named_twice_is_refused(archive: velcodec.Archive) -> None:
    with pytest.raises(OptionError, match="model 3: found it twice"):
        numbers(archive, models=[slice(0, 5)], keys=["m3"])


def test_models_that_are_not_there_are_told(archive: velcodec.Archive) -> None:
    with pytest.raises(ModelNumberError):
        numbers(archive, models=[12])
    with pytest.raises(KeyNotFoundError):
        numbers(archive, keys=["m12"])


def test_a_mask_is_one_boolean_for_each_model(archive: velcodec.Archive, tmp_path: Path) -> None:
    for mask in (np.zeros(11, bool), np.zeros(12, int), np.zeros((12, 1), bool)):
        with pytest.raises(OptionError, match="mask: found"):
            numbers(archive, mask=mask)
    np.save(tmp_path / "mask.npy", np.arange(12) == 4)
    assert numbers(archive, mask=read_mask(tmp_path / "mask.npy")) == [4]
    with pytest.raises(InputFileError):
        read_mask(tmp_path / "none.npy")
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    with pytest.raises((InputFileError, InputDtypeError)):
        read_mask(tmp_path / "objects.npy")
