"""Plans divide the decoders into groups, and know what fits a device."""

import pytest
import torch

from cct_mm.models.cct.plan import Group, Plan, cpu_plan, gpu_plan, groups_of, plan_for


def divided(count, compared, size):
    index, marks = torch.arange(count), torch.zeros(count, dtype=torch.int64)
    marks[compared] = 1
    return groups_of(count, compared, index, marks, Plan(size, 1, 1), torch.float64)


@pytest.mark.parametrize('compared', [[], [1, 4, 6]])
@pytest.mark.parametrize('size', [1, 3, 8, 100, None])
def test_every_decoder_is_in_one_group(compared, size):
    groups = divided(10, compared, size)
    assert sorted(k for group in groups for k in group.decoders) == list(range(10))
    assert all(group.index.tolist() == group.decoders for group in groups)
    assert all(group.decoders == sorted(group.decoders) for group in groups)
    if size is None:
        assert len(groups) == 1


@pytest.mark.parametrize('size', [1, 3, None])
def test_compared_decoders_share_a_group_and_their_shares_add_up(size):
    (group,) = [group for group in divided(10, [1, 4, 6], size) if group.share is not None]
    shares = dict(zip(group.decoders, group.share.tolist(), strict=True))
    assert {k for k, share in shares.items() if share > 0} == {1, 4, 6}
    assert group.share.sum().item() == pytest.approx(1)


def test_without_eq_10_there_are_no_shares():
    assert all(group.share is None for group in divided(5, [], 2) + divided(5, [], None))


@pytest.mark.parametrize('decoders', [[2, 3, 4], [0, 3, 5]])
def test_take_and_put(decoders):
    group = Group(decoders, torch.tensor(decoders))
    values = torch.randn(6, 2)
    assert torch.equal(group.take(values), values[decoders])
    other = torch.zeros(6, 2)
    group.put(other, group.take(values))
    assert torch.equal(other[decoders], values[decoders]) and other.count_nonzero() == 6


def test_a_gpu_has_as_many_chunks_for_any_batch():
    assert gpu_plan(10).chunk_elements == 5 * gpu_plan(2).chunk_elements
    assert gpu_plan(2).group_size is None and gpu_plan(2).copies is None


def test_the_plan_is_that_of_the_device():
    assert plan_for(torch.zeros(2, 3, 4, 4)) == cpu_plan()
    assert plan_for(torch.zeros(2, 3, 4, 4, device='meta')) == gpu_plan(2)
