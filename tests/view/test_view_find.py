"""Finding and ordering the models of a gallery, with the conditions of --where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich_archives import rich_archive

import velcodec
from velcodec.archive.listing import column_of
from velcodec.decoder import Decoder
from velcodec.formats.errors import OptionError
from velcodec.view.find import columns, find


@pytest.fixture
def archive(tiny: Decoder) -> velcodec.Archive:
    fields = {
        "family": ["salt" if i % 2 else "flat" for i in range(12)],
        "depth_m": np.where(np.arange(12) == 3, np.nan, 100.0 * (np.arange(12) % 5)),
    }
    return velcodec.open(rich_archive(tiny, fields=fields))


def test_without_conditions_all_models_come_in_order(archive: velcodec.Archive) -> None:
    assert find(archive).tolist() == list(range(12))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["family=salt"], [1, 3, 5, 7, 9, 11]),
        (["psnr_db>=38", "family=flat"], [8, 10]),
        (["key=m7"], [7]),
        (["number<2"], [0, 1]),
        (["depth_m="], [3]),
        (["distance>1"], []),
        (["bytes>0", "max_error_m_s<=60", "number>10"], [11]),
    ],
)
def test_fields_and_figures_are_conditions(
    archive: velcodec.Archive, where: list[str], expected: list[int]
) -> None:
    assert find(archive, where).tolist() == expected


def test_the_command_line_knows_the_same_figures(tiny: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(rich_archive(tiny))
    from click.testing import CliRunner

    from velcodec.cli import main

    found = CliRunner().invoke(main, ["ls", str(path), "--where", "psnr_db>=40", "--json"])
    assert '"chosen": 2' in found.output


def test_models_are_sorted_by_any_column_with_missing_values_last(
    archive: velcodec.Archive,
) -> None:
    rising = find(archive, sort="depth_m").tolist()
    assert rising == [0, 5, 10, 1, 6, 11, 2, 7, 8, 4, 9, 3]
    falling = find(archive, sort="depth_m", descending=True).tolist()
    assert falling == [4, 9, 8, 2, 7, 1, 6, 11, 0, 5, 10, 3]
    assert find(archive, sort="psnr_db", descending=True).tolist() == list(range(11, -1, -1))
    assert find(archive, ["family=salt"], "family").tolist() == [1, 3, 5, 7, 9, 11]


@pytest.mark.parametrize("where", ["nothing", "no_field=3", "depth_m>x", "family<3"])
def test_conditions_that_mean_nothing_are_refused(archive: velcodec.Archive, where: str) -> None:
    with pytest.raises(OptionError):
        find(archive, [where])


def test_errors_that_were_not_measured_are_missing(tiny: Decoder) -> None:
    from latent_archives import latent_archive

    from velcodec.formats.container.header import Layout

    unmeasured = velcodec.open(latent_archive(tiny, Layout(9, 14), 3))
    assert np.isnan(column_of(unmeasured, "psnr_db")).all()
    assert find(unmeasured, ["psnr_db<1000"]).tolist() == []


def test_columns_offer_the_choices_of_texts(archive: velcodec.Archive) -> None:
    found = {each["name"]: each for each in columns(archive)}
    assert found["family"]["choices"] == ["flat", "salt"]
    assert not found["depth_m"]["texts"]
    assert {"number", "key", "bytes", "psnr_db", "distance"} <= found.keys()
