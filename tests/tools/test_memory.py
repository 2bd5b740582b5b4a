"""A training that runs out of memory, through ``tools/train.py``."""

import pytest
import torch


@pytest.mark.parametrize(
    'error', ['torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB")', 'MemoryError()']
)
def test_ends_with_advice_and_whole_checkpoints(tools, straight, error):
    name = f'memory-{error.partition("(")[0]}'
    plugin = tools.root / f'{name}.py'
    plugin.write_text(
        'import torch\n'
        'from cct_mm.models.segmentors import CCT\n'
        'loss = CCT.loss_labeled\n'
        'def fail(self, *rest):\n'
        '    if self.progress.iteration == 4:\n'
        f'        raise {error}\n'
        '    return loss(self, *rest)\n'
        'CCT.loss_labeled = fail\n'
    )
    run = tools.fork('tools/train.py', work_dir=name, PLUGIN=str(plugin))
    assert run.code == 1
    assert 'Traceback' not in run.output
    said = run.output[run.output.index('out of memory: ') :]
    assert '1. half the images at a time' in said
    assert said.rstrip().endswith('--resume')
    assert f'To go on from {run.work_dir}/iter_3.pth: python tools/train.py' in said
    found = torch.load(run.work_dir / 'iter_3.pth', weights_only=False)
    for key, value in straight.checkpoint(3)['state_dict'].items():
        assert torch.equal(found['state_dict'][key], value)
    assert [path.name for path in run.work_dir.glob('*.pth')] == ['iter_3.pth']
