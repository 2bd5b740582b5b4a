"""Modules know the iteration after ``before_train_iter``, and say so where nobody told them."""

import re
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from loss_scale import ScaledOptimWrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from torch.nn import DataParallel

from cct_mm.datasets import AlternatingDomainSampler
from cct_mm.engine import TrainingProgressHook
from cct_mm.engine.divergence.step_guard import StepGuard
from cct_mm.models.progress import NeedsProgress
from cct_mm.schedules import Progress


def test_is_registered_in_mmengine():
    assert HOOKS.get('TrainingProgressHook') is TrainingProgressHook


def modules_that_need_it(model):
    return [module for module in model.modules() if isinstance(module, NeedsProgress)]


@pytest.mark.parametrize('wrap', [lambda model: model, DataParallel])
def test_sets_iteration_length_and_seed_on_every_module_that_needs_them(runner, wrap):
    modules = modules_that_need_it(runner.model)
    # The segmentor itself and the loss of each domain's head.
    assert len(modules) == 3
    runner.model = wrap(runner.model)
    TrainingProgressHook().before_train_iter(runner, batch_idx=0)
    assert [module.progress for module in modules] == [Progress(3, 40, 7)] * 3
    runner.iter = 4
    TrainingProgressHook().before_train_iter(runner, batch_idx=0)
    assert [module.progress for module in modules] == [Progress(4, 40, 7)] * 3


def test_a_step_without_it_is_refused(make_model, data):
    model = make_model()
    sentence = (
        'AnnealedCrossEntropy does not know the iteration, which its ramp-up and random draws '
        "need: add dict(type='TrainingProgressHook') to custom_hooks, or call "
        'cct_mm.models.progress.set_progress(model, Progress(...)) in your own loop'
    )
    with pytest.raises(RuntimeError, match=f'^{re.escape(sentence)}$'):
        model.loss(**model.data_preprocessor(data, training=True))


def test_is_no_part_of_the_checkpoint(make_model, model):
    assert list(make_model().state_dict()) == list(model.state_dict())


def prepare(runner, kind=OptimWrapper, **kwargs):
    """Give a runner what its training begins with."""
    runner.train_dataloader = SimpleNamespace(sampler=mock.Mock(AlternatingDomainSampler))
    runner.optim_wrapper = kind(torch.optim.SGD(runner.model.parameters(), lr=0.01), **kwargs)


def test_ranks_with_seeds_of_their_own_share_the_runs(runner):
    prepare(runner)
    runner.seed, runner.rank = 9, 2
    runner.cfg = dict(randomness=dict(seed=7, diff_rank_seed=True))
    TrainingProgressHook().before_train(runner)
    assert runner.train_dataloader.sampler.seed == 7
    TrainingProgressHook().before_train_iter(runner, batch_idx=0)
    assert {m.progress.seed for m in modules_that_need_it(runner.model)} == {7}


def test_draws_of_third_party_layers_belong_to_the_iteration(runner):
    def drawn(iteration, rank=0, draws_before=0):
        torch.rand(draws_before)
        runner.iter, runner.rank = iteration, rank
        TrainingProgressHook().before_train_iter(runner, batch_idx=0)
        return torch.rand(3).tolist()

    assert drawn(5) == drawn(5, draws_before=7)
    assert drawn(5) != drawn(6)
    assert drawn(5) != drawn(5, rank=1)


@pytest.mark.parametrize(('every', 'expected'), [(1, [1, 2, 3, 4]), (2, [0, 1, 1, 2])])
def test_a_method_acts_after_each_optimizer_step(runner, data, every, expected):
    prepare(runner, accumulative_counts=every)
    runner.optim_wrapper.initialize_count_status(runner.model, 0, 4)
    hook, found = TrainingProgressHook(), []
    hook.before_train(runner)
    with mock.patch.object(runner.model, 'after_step') as after_step:
        for t in range(4):
            runner.model.train_step(data, runner.optim_wrapper)
            hook.after_train_iter(runner, t)
            found.append(after_step.call_count)
    assert found == expected


class Scaled(ScaledOptimWrapper):
    def __init__(self, *args):
        super().__init__(*args)
        self.loss_scaler = torch.amp.GradScaler('cpu')


@pytest.mark.parametrize('kind', [OptimWrapper, Scaled])
def test_a_method_does_not_act_after_a_step_that_is_left_out(runner, kind):
    prepare(runner, kind)
    if kind is OptimWrapper:
        StepGuard(runner.model, runner.optim_wrapper)
    hook, found = TrainingProgressHook(), []
    hook.before_train(runner)
    weight = next(runner.model.parameters())
    with mock.patch.object(runner.model, 'after_step') as after_step:
        for t, factor in enumerate((1.0, float('inf'), 1.0, float('nan'))):
            before = weight.detach().clone()
            runner.optim_wrapper.update_params(factor * weight.square().sum())
            hook.after_train_iter(runner, t)
            found.append(after_step.call_count)
            assert torch.equal(weight, before) is (factor != 1)
    assert found == [1, 1, 2, 2]
