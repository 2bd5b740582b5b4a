"""Gradient accumulation through ``tools/train.py``: length, schedule, resume."""

import shutil

import torch

OPTIONS = {'optim_wrapper__accumulative_counts': 2, 'default_hooks__checkpoint__interval': 2}


def test_a_run_goes_on_between_two_steps_bit_for_bit(tools, straight):
    whole = tools.train('accumulated', **OPTIONS)
    assert 'accumulative_counts=2 iterations' not in whole.output
    # Rates, ramps and images are those of the iterations, whatever makes a step.
    keys = ('iter', 'lr')
    assert [[line[k] for k in keys] for line in whole.losses.values()] == [
        [line[k] for k in keys] for line in straight.losses.values()
    ]
    folder = tools.root / 'accumulated-resumed'
    folder.mkdir()
    shutil.copy(whole.work_dir / 'iter_4.pth', folder)
    tools.train(folder.name, '--resume', **OPTIONS)
    found = torch.load(folder / 'iter_6.pth', weights_only=False)
    expected = whole.checkpoint(6)
    for name, value in expected['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value), name
    for index, state in expected['optimizer']['state'].items():
        momentum = found['optimizer']['state'][index]['momentum_buffer']
        assert torch.equal(momentum, state['momentum_buffer'])


def test_weights_change_with_each_second_iteration(tools):
    options = {**OPTIONS, 'default_hooks__checkpoint__interval': 1}
    run = tools.train('each', **options)
    assert 'interval is 1, and a step of the optimizer takes' in run.output
    assert 'set the interval to a multiple, such as 2' in run.output
    name = 'domains.day.decode_head.conv_seg.weight'
    # The rate of the last iteration is 0.
    weights = [run.checkpoint(i)['state_dict'][name] for i in range(1, 6)]
    same = [torch.equal(*pair) for pair in zip(weights, weights[1:], strict=False)]
    assert same == [False, True, False, True]
