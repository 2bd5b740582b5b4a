"""Networks of configs/zoo train, validate and go on from a checkpoint, as a user starts them."""

import shutil

import pytest
import torch
from tiny_zoo import NETWORKS, tiny_zoo_config


@pytest.mark.slow
@pytest.mark.parametrize('network', NETWORKS)
def test_trains_validates_and_resumes(tools, network):
    config = tools.root / f'{network}.py'
    config.write_text(tiny_zoo_config('cct', network))

    def train(work_dir, *arguments):
        run = tools.fork('tools/train.py', *arguments, work_dir=work_dir, config=config)
        assert run.code == 0, run.output
        return run

    straight = train(network)
    assert {'mIoU', 'day/mIoU'} <= set(straight.scalars[-1])
    assert ('day.aux.loss_ce' in straight.losses[1]) is (network == 'upernet-r18')
    folder = tools.root / f'{network}-resumed'
    folder.mkdir()
    shutil.copy(straight.work_dir / 'iter_1.pth', folder)
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
    resumed = train(folder.name, '--resume')
    weights, expected = (run.checkpoint(2)['state_dict'] for run in (resumed, straight))
    assert weights.keys() == expected.keys()
    different = [name for name in expected if not torch.equal(weights[name], expected[name])]
    assert different == []
