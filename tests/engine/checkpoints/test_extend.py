"""An extended run has the learning rates of one that had its new length from the beginning."""

import copy
import warnings
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmseg.registry import MODELS
from torch import nn

from cct_mm.engine.checkpoints.extend import ExtendHook, ramps
from cct_mm.engine.checkpoints.files import CheckpointError
from cct_mm.schedules import Progress, RampUp


def schedule(kind, **arguments):
    return dict(type=kind, by_epoch=False, **arguments)


SCHEDULES = {
    'poly': [schedule('PolyLR', power=0.9, eta_min=0)],
    'warm-up and poly': [
        schedule('LinearLR', start_factor=0.01, begin=0, end=7),
        schedule('PolyLR', power=0.9, eta_min=1e-4, begin=7),
    ],
    'two polys in a chain': [
        schedule('PolyLR', power=0.9, eta_min=0),
        schedule('PolyLR', power=0.5, eta_min=1e-3),
    ],
    'cosine with restarts': [
        schedule('CosineRestartLR', periods=[9, 200], restart_weights=[1, 0.5], eta_min=0)
    ],
    'steps, and momentum': [
        schedule('MultiStepLR', milestones=[5, 12], gamma=0.1),
        schedule('PolyMomentum', power=1.0, eta_min=0.5),
    ],
}


class Run:
    """Optimizer and schedules of a run of a length."""

    def __init__(self, kind, length, lrs=(0.1, 0.01)):
        self.max_iters = length
        groups = [dict(params=[nn.Parameter(torch.ones(2))], lr=lr) for lr in lrs]
        self.optim_wrapper = OptimWrapper(torch.optim.SGD(groups, lr=lrs[0], momentum=0.9))
        self.param_schedulers = [
            PARAM_SCHEDULERS.build(
                {'end': length, **config}, default_args=dict(optimizer=self.optim_wrapper)
            )
            for config in copy.deepcopy(SCHEDULES[kind])
        ]
        self.model = nn.Linear(2, 2)
        self.model.weight_of_u = RampUp(30.0, shape='linear', length=0.5)
        self.logger = mock.MagicMock()

    def step(self):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            for scheduler in self.param_schedulers:
                scheduler.step()

    @property
    def values(self):
        groups = self.optim_wrapper.param_groups
        return [(g['lr'], g['momentum'], g.get('initial_lr')) for g in groups]

    def checkpoint(self, iteration):
        return copy.deepcopy(
            dict(
                meta=dict(iter=iteration),
                optimizer=self.optim_wrapper.state_dict(),
                param_schedulers=[s.state_dict() for s in self.param_schedulers],
            )
        )

    def resume(self, checkpoint):
        """As mmengine's runner does after its hooks have seen the checkpoint."""
        self.optim_wrapper.load_state_dict(checkpoint['optimizer'])
        for scheduler, state in zip(
            self.param_schedulers, checkpoint['param_schedulers'], strict=True
        ):
            scheduler.load_state_dict(state)


class TestExtendHook:
    @pytest.mark.parametrize('lrs', [(0.1,), (0.1, 0.01, 0.5)], ids=['one group', 'three groups'])
    @pytest.mark.parametrize('kind', SCHEDULES)
    @settings(max_examples=10, deadline=None)
    @given(
        old=st.integers(10, 40), at=st.floats(0, 1), more=st.integers(-5, 60), base=st.booleans()
    )
    def test_gives_every_later_iteration_the_values_of_a_fresh_run(
        self, kind, lrs, old, at, more, base
    ):
        iteration = round(at * old)
        length = max(old + more, iteration + 1, 9)
        # The config's learning rate may be another one now, too.
        started = Run(kind, old, [lr * 3 for lr in lrs] if base else lrs)
        for _ in range(iteration):
            started.step()
        checkpoint = started.checkpoint(iteration)

        extended = Run(kind, length, lrs)
        ExtendHook(old).after_load_checkpoint(extended, checkpoint)
        extended.resume(checkpoint)
        fresh = Run(kind, length, lrs)
        for _ in range(iteration):
            fresh.step()
        for _ in range(iteration, length):
            assert extended.values == fresh.values
            extended.step()
            fresh.step()

    def test_says_learning_rates_and_ramps_before_and_after(self):
        started = Run('poly', 10, [0.1])
        for _ in range(10):
            started.step()
        extended = Run('poly', 20, [0.1])
        ExtendHook(10).after_load_checkpoint(extended, started.checkpoint(10))
        (text,) = extended.logger.info.call_args.args
        assert 'Extended from 10 to 20 iterations; at iteration 10' in text
        # mmengine's schedules reach their end one iteration before it.
        assert f'lr of group 0: 0 -> {0.1 * (9 / 19) ** 0.9:.6g}' in text
        assert 'weight_of_u: 30 -> 30' in text

    def test_says_the_same_change_of_several_groups_once(self):
        started = Run('poly', 10, [0.1, 0.1, 0.2])
        extended = Run('poly', 20, [0.1, 0.1, 0.2])
        ExtendHook(10).after_load_checkpoint(extended, started.checkpoint(0))
        (text,) = extended.logger.info.call_args.args
        assert text.count('lr of group') == 2
        assert 'lr of groups 0-1, 3: 0.1 -> 0.1' in text
        assert 'lr of group 2: 0.2 -> 0.2' in text

    def test_refuses_a_schedule_that_follows_the_metrics(self):
        run = Run('poly', 10)
        checkpoint = run.checkpoint(3)
        run.param_schedulers = [
            PARAM_SCHEDULERS.build(
                dict(type='ReduceOnPlateauLR', monitor='mIoU'),
                default_args=dict(optimizer=run.optim_wrapper),
            )
        ]
        with pytest.raises(CheckpointError, match='ReduceOnPlateauLR follows the metrics'):
            ExtendHook(5).after_load_checkpoint(run, checkpoint)

    @pytest.mark.parametrize(
        ('eta_min', 'end', 'refused'), [(0, 8, True), (0, 9, False), (0.01, 8, False)]
    )
    def test_refuses_a_learning_rate_of_0_to_the_end(self, eta_min, end, refused):
        poly = schedule('PolyLR', power=0.9, eta_min=eta_min, end=end)
        with mock.patch.dict(SCHEDULES, ended=[schedule('LinearLR', end=3), poly]):
            checkpoint, run = (Run('ended', length, [0.1]) for length in (8, 20))
            checkpoint = checkpoint.checkpoint(8)
        if refused:
            with pytest.raises(CheckpointError, match='PolyLR .* ends at 8, and 8 iterations'):
                ExtendHook(8).after_load_checkpoint(run, checkpoint)
        else:
            ExtendHook(8).after_load_checkpoint(run, checkpoint)


def test_ramps_of_a_model_are_all_found(model):
    found = dict(ramps(model))
    assert {'unsupervised_weight', 'weak_weight'} <= set(found)
    thresholds = {name: ramp for name, ramp in found.items() if name.endswith('threshold')}
    assert len(thresholds) == 2
    (day,) = (ramp for name, ramp in thresholds.items() if '.day.' in name)
    assert day(Progress(0, 10, 0)) == pytest.approx(1 / 3)
    assert day.final == 0.9


def test_ramp_of_one_of_several_losses_is_found():
    cross_entropy = dict(type='CrossEntropyLoss', avg_non_ignore=True)
    annealed = dict(type='AnnealedCrossEntropy', threshold=0.8)
    head = dict(type='FCNHead', in_channels=4, channels=4, num_classes=5)
    head = MODELS.build(dict(head, loss_decode=[cross_entropy, annealed]))
    ((name, ramp),) = ramps(head)
    assert name == 'loss_decode.1.threshold'
    assert (ramp(Progress(0, 10, 0)), ramp.final) == (pytest.approx(0.2), 0.8)
