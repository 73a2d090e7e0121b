"""A relative path means one file, whatever folder the process, or its workers, go to."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from latent_archives import latent_archive
from torch.utils.data import DataLoader

import velcodec
from velcodec.formats.container.header import Layout
from velcodec.torch import VelocityDataset

ROUNDING = 0.05
"""m/s by which a rendering may differ from that of another batch."""


@pytest.mark.parametrize("sharded", [False, True])
def test_a_relative_path_means_the_same_archive_after_a_change_of_folder(
    sharded: bool, models: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, values in ((tmp_path, models), (tmp_path / "run", models + 1000)):
        folder.mkdir(exist_ok=True)
        (folder / "a.vlat").write_bytes(velcodec.compress(values, lossless=True))
        velcodec.split(folder / "a.vlat", folder / "shards", models_per_shard=3)
    monkeypatch.chdir(tmp_path)
    name = "shards" if sharded else "a.vlat"
    dataset = VelocityDataset(name)
    kept = velcodec.open(name)
    monkeypatch.chdir(tmp_path / "run")
    np.testing.assert_array_equal(dataset[5][0], models[5])
    np.testing.assert_array_equal(kept[5], models[5])
    other = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(other[5][0], models[5])
    dataset.close()
    np.testing.assert_array_equal(dataset[5][0], models[5])
    for batch in DataLoader(dataset, batch_size=7, num_workers=1):
        np.testing.assert_array_equal(batch[:, 0], models)


def test_a_decoders_relative_path_means_the_same_file_after_a_change_of_folder(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.vlat"
    path.write_bytes(latent_archive(velcodec.load_decoder(other), Layout(20, 16)))
    monkeypatch.chdir(other.parent)
    dataset = VelocityDataset(path, decoder=other.name)
    archive = velcodec.open(path, decoder=other.name)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_allclose(dataset[0][0], archive[0], atol=ROUNDING)
