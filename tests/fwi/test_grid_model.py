"""The parametrisation by samples, which latents are compared with."""

from __future__ import annotations

import pytest
import torch

from velcodec.fwi.grid import GridModel, gaussian, roughness

START = 2000.0 + 20.0 * torch.arange(30.0)[:, None].expand(30, 20)


def test_no_changes_give_the_start() -> None:
    assert GridModel.at(START, 0, None)().detach() == pytest.approx(START)
    assert GridModel.at(START, 0, (1500.0, 4500.0))().detach() == pytest.approx(START, abs=0.5)


def test_changes_are_smooth_and_grow_with_depth() -> None:
    model = GridModel.at(START, 0, None)
    with torch.no_grad():
        model.changes[2, 10] = model.changes[25, 10] = 1.0
    change = (model() - START).detach()
    assert 0 < change[2].max() < change[25].max() / 2
    assert change[25, 12] > change[25].max() / 4


def test_no_value_leaves_the_bounds() -> None:
    model = GridModel.at(START, 2, (1800.0, 2500.0))
    with torch.no_grad():
        model.changes.normal_(generator=torch.Generator().manual_seed(0)).mul_(50)
    found = model().detach()
    assert found.min() >= 1800
    assert found.max() <= 2500


def test_smoothing_keeps_constants() -> None:
    assert gaussian(torch.full((9, 12), 7.0), 2.0) == pytest.approx(torch.full((9, 12), 7.0))


def test_an_edge_is_rougher_than_no_edge_and_as_rough_as_a_slope() -> None:
    flat = torch.full((20, 20), 2000.0)
    edge, slope = flat.clone(), flat.clone()
    edge[10:] += 1000
    slope += torch.linspace(0, 1000, 20)[:, None]
    assert roughness(flat) < 0.3 * roughness(edge)
    assert float(roughness(edge)) == pytest.approx(float(roughness(slope)), rel=0.2)
