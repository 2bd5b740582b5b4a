"""What a run goes on with, and that its optimizer can take over the state."""

from unittest import mock

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from cct_mm.engine.checkpoints.files import CheckpointError
from cct_mm.engine.checkpoints.resume import ResumeHook, prepare_resume


def config(folder, **hook):
    return Config(
        dict(work_dir=str(folder / 'work'), default_hooks=dict(checkpoint=hook), load_from='x.pth')
    )


class TestPrepareResume:
    def test_without_any_checkpoint_is_a_new_start(self, tmp_path):
        new = config(tmp_path)
        assert prepare_resume(new, extend=False, command=[]) is None
        # What it starts from stays.
        assert (new.resume, new.load_from) == (False, 'x.pth')

    def test_to_extend_needs_one(self, tmp_path):
        with pytest.raises(CheckpointError, match='--extend: .*work .*--work-dir'):
            prepare_resume(config(tmp_path), extend=True, command=[])

    @pytest.mark.parametrize('out_dir', [None, 'elsewhere'])
    def test_one_that_is_named_and_absent_is_no_new_start(self, tmp_path, out_dir):
        # Such as one that was moved, or another out_dir than before.
        (tmp_path / 'work').mkdir()
        (tmp_path / 'work/last_checkpoint').write_text('/before/iter_8.pth')
        out_dir = out_dir and str(tmp_path / out_dir)
        with pytest.raises(CheckpointError, match=r"last_checkpoint names '/before/iter_8.pth'"):
            prepare_resume(config(tmp_path, out_dir=out_dir), extend=False, command=[])

    def test_from_another_machine_is_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match='out_dir of CheckpointHook is s3://bucket/x'):
            prepare_resume(config(tmp_path, out_dir='s3://bucket/x'), extend=False, command=[])


class TestResumeHook:
    @staticmethod
    def optimizer(*sizes):
        groups = [
            dict(params=[nn.Parameter(torch.ones(2)) for _ in range(size)], lr=0.1)
            for size in sizes
        ]
        return OptimWrapper(torch.optim.SGD(groups, lr=0.1))

    @pytest.mark.parametrize('sizes', [(3,), (1, 1), (2, 1)])
    def test_refuses_other_groups_of_parameters(self, sizes):
        plan = mock.Mock(checkpoint='iter_3.pth', new_run='python tools/train.py ...')
        checkpoint = dict(optimizer=self.optimizer(1, 2).state_dict())
        runner = mock.Mock(optim_wrapper=self.optimizer(1, 2))
        ResumeHook(plan).after_load_checkpoint(runner, checkpoint)
        runner.optim_wrapper = self.optimizer(*sizes)
        with pytest.raises(CheckpointError) as error:
            ResumeHook(plan).after_load_checkpoint(runner, checkpoint)
        assert '3 parameters in 2 group(s) (of [1, 2])' in str(error.value)
        assert f'{sum(sizes)} parameters in {len(sizes)} group(s)' in str(error.value)
        assert 'python tools/train.py ...' in str(error.value)
