"""Sizes are those of written archives."""

from __future__ import annotations

import pytest

from velcodec.progress import no_progress
from velcodec.report.coding import CodedFamily
from velcodec.report.storage import Collection, split_cost, storage_table


def test_a_collection_of_a_family_is_as_large_as_its_own_file(coded: CodedFamily) -> None:
    assert Collection([coded]).size([0, 1]) == coded.latents.size


def test_the_fixed_part_and_the_models_add_up_to_the_file(coded: CodedFamily) -> None:
    split = split_cost(Collection([coded]), [1, 0])
    assert split is not None
    fixed, each = split
    assert fixed + 2 * each == pytest.approx(coded.latents.size)
    assert 0 < fixed < coded.latents.size


def test_one_model_cannot_be_split(coded: CodedFamily) -> None:
    assert split_cost(Collection([coded]), [0]) is None


def test_written_and_extrapolated_sizes_agree(coded: CodedFamily) -> None:
    table = storage_table([coded], 1000, no_progress, sizes=(400,))
    (row,) = table["collections"]
    assert row["written_bytes"] == pytest.approx(row["extrapolated_bytes"], rel=0.1)
    assert table["files"][0]["bytes"] == coded.latents.size


def test_the_largest_collections_are_extrapolated_only(coded: CodedFamily) -> None:
    (row,) = storage_table([coded], 1000, no_progress, sizes=(100_000,))["collections"]
    assert row["written_bytes"] is None
    assert row["extrapolated_bytes"] > 0
