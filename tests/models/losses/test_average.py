"""Means over pixels; over several ranks they are tested by tests/tools/test_dist.py."""

import torch

from cct_mm.models.losses.average import mean_over_ranks, mean_weight


def test_on_one_rank_a_number_is_its_own_mean():
    count = torch.tensor(7)
    assert mean_over_ranks(count) is count


def test_weights_make_a_mean_over_what_counts():
    counts = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert torch.equal(mean_weight(counts), counts / 3)


def test_nothing_that_counts_weighs_nothing():
    assert torch.equal(mean_weight(torch.zeros(2, 3)), torch.zeros(2, 3))
