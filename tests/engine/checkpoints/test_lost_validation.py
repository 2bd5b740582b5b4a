"""A validation between a checkpoint and a kill is made up for."""

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from cct_mm.engine import CheckpointHook, LostValidationHook
from cct_mm.engine.checkpoints.lost_validation import last_validation


class Network(BaseModel):
    """Moves one number toward the mean of what it sees."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode='tensor', **_):
        if mode == 'loss':
            return dict(loss=(self.weight - inputs.float().mean()) ** 2)
        return [dict(weight=self.weight.item())]


class Weight(BaseMetric):
    default_prefix = ''

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(weight=results[0]['weight'])


def runner_of(work_dir, length=4, resume=True, **loop):
    def loader():
        data = [dict(inputs=torch.tensor([float(i)])) for i in range(8)]
        return DataLoader(data, 2, sampler=DefaultSampler(data, shuffle=False))

    return Runner(
        Network(),
        str(work_dir),
        train_dataloader=loader(),
        val_dataloader=loader(),
        train_cfg={'by_epoch': False, 'max_iters': length, 'val_interval': 2, **loop},
        val_cfg={},
        val_evaluator=[Weight()],
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            checkpoint=CheckpointHook(interval=1, by_epoch=False, save_best='weight', rule='less'),
            logger=None,
        ),
        custom_hooks=[LostValidationHook()],
        resume=resume,
        log_level='ERROR',
        experiment_name=f'{work_dir.name}-{length}-{torch.rand(1).item()}',
    )


@pytest.fixture
def validated(monkeypatch):
    """Iterations at which there was a validation."""
    found, compute = [], Weight.compute_metrics

    def noting(self, results):
        found.append(round(results[0]['weight'], 6))
        return compute(self, results)

    monkeypatch.setattr(Weight, 'compute_metrics', noting)
    return found


@pytest.fixture
def interrupted(tmp_path, validated):
    """A run of two of four iterations, and what its validation has found."""
    runner_of(tmp_path / 'run', length=2, resume=False).train()
    assert last_validation(tmp_path / 'run') == 2
    values = list(validated)
    validated.clear()
    return tmp_path / 'run', values


def test_run_whose_checkpoint_was_validated_goes_on(interrupted, validated):
    work_dir, _ = interrupted
    runner_of(work_dir).train()
    assert len(validated) == 1
    assert last_validation(work_dir) == 4


def test_run_killed_before_the_validation_validates_first(interrupted, validated):
    work_dir, before = interrupted
    (work_dir / 'last_validation').write_text('0')
    runner_of(work_dir).train()
    assert validated[:1] == before
    assert len(validated) == 2


def test_iteration_that_is_not_validated_is_left_alone(interrupted, validated):
    work_dir, _ = interrupted
    (work_dir / 'last_validation').write_text('0')
    runner_of(work_dir, val_interval=3).train()
    # Iterations 3 and 4, and not 2.
    assert len(validated) == 2


def test_new_run_forgets_the_validations_of_the_one_before(interrupted, validated):
    work_dir, _ = interrupted
    runner_of(work_dir, length=1, resume=False, val_begin=5).train()
    assert (validated, last_validation(work_dir)) == ([], 0)


def test_nothing_tells_where_there_was_no_run(tmp_path):
    assert last_validation(tmp_path) is None
