"""Run the first three iterations of a config on small images, and write what they computed.

    python tests/helpers/dump_behavior.py CONFIG OUT.json DATA [OPTION ...]

Written are a hash of the parameters' names and shapes, sums over the initial weights of each part,
the samples of the first six iterations and the losses of the first three. Images are resized to
64 x 96, and no pretrained weights are read, so that it takes seconds.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from cct_mm.engine.config_file import read_config

ITERATIONS = 3


class Enough(Exception):
    """Ends a training that has shown what it does."""


@HOOKS.register_module()
class BehaviorHook(Hook):
    """Keep the weights at the start and the losses of the first iterations."""

    def __init__(self):
        self.weights, self.losses = {}, []

    def before_train(self, runner):
        for name, value in runner.model.state_dict().items():
            parts = name.split('.')
            part = '.'.join(parts[: 3 if parts[0] == 'domains' else 1])
            tensors, elements, size = self.weights.get(part, (0, 0, 0.0))
            size += value.double().abs().sum().item()
            self.weights[part] = tensors + 1, elements + value.numel(), size

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({name: float(value) for name, value in outputs.items()})
        if runner.iter + 1 == ITERATIONS:
            raise Enough


def make_small(cfg):
    """Let a config train on small images alone, without validation, log, checkpoints, downloads."""
    cfg.launcher, cfg.work_dir, cfg.log_level, cfg.load_from = (
        'none',
        tempfile.mkdtemp(),
        'ERROR',
        None,
    )
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.default_hooks.update(checkpoint=None, logger=None)
    cfg.visualizer.vis_backends = []
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    if cfg.model.data_preprocessor.get('size') is not None:
        cfg.model.data_preprocessor.update(size=None, size_divisor=32)
    if '://' in (cfg.model.backbone.get('init_cfg') or {}).get('checkpoint', ''):
        cfg.model.backbone.init_cfg = None
    for sources in cfg.train_dataloader.dataset.domains.values():
        for source in sources.values():
            pack = next(i for i, t in enumerate(source.pipeline) if t['type'] == 'PackSegInputs')
            source.pipeline.insert(pack, dict(type='Resize', scale=(96, 64), keep_ratio=False))
    cfg.custom_hooks.append(dict(type='BehaviorHook'))


def samples_of(sampler):
    """Name what the sampler yields in the first iterations."""
    names = []
    for t in range(2 * ITERATIONS):
        for sample in sampler.iteration(t):
            source = sampler.dataset.sources[sample.source]
            image = Path(source.dataset.get_data_info(sample.index)['img_path']).stem
            names.append(f'{source.domain}/{source.supervision}/{image}/{sample.number}')
    return names


def main():
    config, out, data, *options = sys.argv[1:]
    os.environ['CCT_MM_DATA'] = data
    cfg = read_config(config, options)
    make_small(cfg)
    runner = Runner.from_cfg(cfg)
    names = '\n'.join(f'{k} {tuple(v.shape)}' for k, v in runner.model.state_dict().items())
    result = dict(names=hashlib.sha256(names.encode()).hexdigest())
    try:
        runner.train()
    except Enough:
        hook = next(hook for hook in runner.hooks if isinstance(hook, BehaviorHook))
        result.update(
            samples=samples_of(runner.train_dataloader.sampler),
            weights={part: list(values) for part, values in hook.weights.items()},
            losses=hook.losses,
        )
    except (FileNotFoundError, ValueError) as error:
        result.update(error=f'{type(error).__name__}: {error}')
    Path(out).write_text(json.dumps(result, indent=1, sort_keys=True) + '\n')


if __name__ == '__main__':
    main()
