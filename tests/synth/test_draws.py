"""The random numbers: a known hash, independent of the batch, with the stated distributions."""

import torch

from velcodec.synth.draws import Draws, mix


def test_the_hash_is_splitmix64():
    # First three outputs of splitmix64 seeded with 0: the finaliser of 1, 2, 3 times its gamma.
    gamma = 0x9E3779B97F4A7C15
    states = [(k * gamma) % 2**64 for k in (1, 2, 3)]
    signed = torch.tensor([s - 2**64 if s >= 2**63 else s for s in states])
    hashed = [value % 2**64 for value in mix(signed).tolist()]
    assert hashed == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_numbers_do_not_depend_on_the_batch():
    def draws(start, count):
        source = Draws(3, 42, start, count)
        return source.uniform(5), source.normal(4), source.noise(7, 3), source.integers(2, 9)

    whole = draws(0, 50)
    part = draws(17, 6)
    for all_models, some in zip(whole, part, strict=True):
        assert torch.equal(all_models[17:23], some)


def test_split_batches_continue_at_the_same_slot():
    whole, other = Draws(0, 5, 0, 11), Draws(0, 5, 0, 11)
    whole.uniform(3)
    other.uniform(3)
    parts = [part.uniform(4) for part in other.split(4)]
    assert [len(part) for part in parts] == [4, 4, 3]
    assert torch.equal(torch.cat(parts), whole.uniform(4))


def test_seeds_families_and_models_differ():
    rows = [
        Draws(family, seed, number, 1).uniform(8)
        for family in (0, 1)
        for seed in (0, 1, -1, 2**63)
        for number in (0, 1, 10**9)
    ]
    numbers = torch.cat(rows)
    assert len(torch.unique(numbers, dim=0)) == len(rows)
    assert len(torch.unique(numbers)) == numbers.numel()


def test_uniform_numbers_fill_the_open_interval_evenly():
    numbers = Draws(0, 1, 0, 1000).uniform(100)
    assert numbers.min() > 0.0
    assert numbers.max() < 1.0
    counts = torch.histc(numbers, bins=50, min=0.0, max=1.0)
    # Chi-square with 49 degrees of freedom; 100 is far beyond the 99.99 % point.
    assert ((counts - 2000.0) ** 2 / 2000.0).sum() < 100.0
    correlation = torch.corrcoef(numbers[:, :10].T)
    assert (correlation - torch.eye(10)).abs().max() < 0.15


def test_normal_and_noise_have_their_stated_moments():
    source = Draws(0, 2, 0, 1000)
    for numbers in (source.normal(100), source.noise(10, 10)):
        assert abs(float(numbers.mean())) < 0.02
        assert abs(float(numbers.std()) - 1.0) < 0.02


def test_choices_follow_their_weights():
    chosen = Draws(0, 3, 0, 20000).choice((1.0, 2.0, 5.0))
    shares = torch.bincount(chosen, minlength=3) / 20000
    assert torch.allclose(shares, torch.tensor([0.125, 0.25, 0.625]), atol=0.015)
    whole = Draws(0, 3, 0, 20000).integers(4, 8)
    assert torch.bincount(whole).nonzero().flatten().tolist() == [4, 5, 6, 7, 8]
