"""A run ends where its loss is no number, and says what to do."""

from types import SimpleNamespace

import pytest
import torch

from cct_mm.engine import DivergenceHook


@pytest.fixture
def runner():
    return SimpleNamespace(iter=99, work_dir='work_dirs/x')


def outputs(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_loss_that_is_no_number_is_named(runner, value):
    losses = {'loss': torch.tensor(value), 'day.loss_ab_ce': torch.tensor(1.0)}
    with pytest.raises(FloatingPointError, match='^iteration 100: loss not finite, .*lower its'):
        DivergenceHook(interval=50).after_train_iter(runner, 0, outputs=losses)


def test_numbers_and_what_is_no_loss_pass(runner):
    values = outputs(loss=1e9, distance=float('nan'))
    DivergenceHook(interval=50).after_train_iter(runner, 0, outputs=values)


def test_it_looks_every_so_often(runner):
    runner.iter = 98
    DivergenceHook(interval=50).after_train_iter(runner, 0, outputs=outputs(loss=float('nan')))


def test_it_sees_the_losses_of_each_of_two_domains_that_alternate(runner):
    hook = DivergenceHook(interval=50)
    runner.iter = 98
    hook.after_train_iter(runner, 0, outputs={'day.loss': torch.tensor(float('nan'))})
    runner.iter = 99
    with pytest.raises(FloatingPointError, match='day.loss not finite'):
        hook.after_train_iter(runner, 0, outputs={'night.loss': torch.tensor(1.0)})


def test_weights_that_are_no_numbers_are_not_saved(runner):
    hook = DivergenceHook()
    good = dict(weight=torch.ones(2), count=torch.tensor(3))
    hook.before_save_checkpoint(runner, dict(state_dict=good))
    with pytest.raises(FloatingPointError, match='^iteration 100: bias holds nan or infinity'):
        bad = dict(good, bias=torch.tensor([0.0, float('nan')]))
        hook.before_save_checkpoint(runner, dict(state_dict=bad))
