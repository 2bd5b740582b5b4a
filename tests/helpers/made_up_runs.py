"""Work dirs and evaluations as reports read them, made up without any training."""

import json

import numpy as np
import torch

from cct_mm.evaluation import class_scores
from cct_mm.lab.grids.record import result_file
from cct_mm.lab.report.evaluation import Evaluation, Picture

CONFIG = """
model = dict(
    type={method!r},
    backbone=dict(type='TinyNet', depth=18),
    domains=dict(day=dict(classes=('sky', 'ground'))),
)
train_cfg = dict(max_iters=4)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
randomness = dict(seed={seed})
work_dir = '/elsewhere'
"""


def write_run(folder, miou=50.0, method='SupervisedSegmentor', seed=0, session='1', steps=(2, 4)):
    """Write the work dir of a training that validated at each of its logged steps."""
    data = folder / session / 'vis_data'
    data.mkdir(parents=True)
    (data / 'config.py').write_text(CONFIG.format(method=method, seed=seed))
    lines = []
    for step in steps:
        loss = {'day.loss_ce': 1 / step, 'loss': 1 / step, 'lr': 0.1, 'time': 0.5}
        lines.append({**loss, 'iter': step, 'step': step})
        scores = {'day/IoU.sky': miou + 10, 'day/IoU.ground': miou - 10, 'day/mIoU': miou}
        lines.append({**scores, 'mIoU': miou, 'step': step})
    (data / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    return folder


def write_grid_run(grid, method, seed, miou, split='test', **axes):
    """Write a finished run of a grid, evaluated on test or another split."""
    point = [f'{axis}={value}' for axis, value in axes.items()]
    folder = grid / '_'.join([method, *point, f'seed{seed}'])
    write_run(folder / 'train', miou, seed=seed)
    machine = dict(gpu=None, cpu='a CPU', cores=2, torch='2.14')
    record = dict(method=method, axes=axes, seed=seed, split=split, machine=machine)
    (folder / result_file(split)).write_text(json.dumps(record))
    (folder / f'evaluation_{split}').mkdir()
    scores = {'day/IoU.sky': miou, 'day/IoU.ground': None, 'day/mIoU': miou, 'mIoU': miou}
    (folder / f'evaluation_{split}' / 'metrics.json').write_text(json.dumps(scores))
    return folder


def make_evaluation(classes=('sky', 'ground'), domain='day', images=2, side=8, seed=0):
    """Make up what an evaluation of random predictions keeps."""
    numbers = np.random.default_rng(seed)
    size = len(classes)
    counts = numbers.integers(1, 50, (size, size))
    scores = class_scores(torch.from_numpy(counts))
    metrics = {f'{domain}/IoU.{n}': v for n, v in zip(classes, scores['IoU'].tolist(), strict=True)}
    metrics |= {f'{domain}/m{name}': v.mean().item() for name, v in scores.items()}
    metrics |= {f'{domain}/aAcc': 50.0, 'mIoU': metrics[f'{domain}/mIoU']}
    pictures = [
        Picture(
            domain,
            f'{i}.png',
            numbers.integers(0, 256, (side, side, 3), dtype=np.uint8),
            *numbers.integers(0, size, (2, side, side), dtype=np.uint8),
        )
        for i in range(images)
    ]
    palette = numbers.integers(0, 256, (size, 3)).tolist()
    domains = {domain: {'classes': list(classes), 'palette': palette}}
    return Evaluation('iter_4.pth', metrics, domains, {domain: counts}, pictures, {})
