"""Images/s of the loader beside those of the training step."""

import argparse
import copy
import time
from collections.abc import Iterable

from mmengine.runner import Runner

from . import report
from .config import load_config
from .measure import counter
from .step import Variant, build_step, step_work
from .timing import seconds_of


def seconds_per_batch(loader: Iterable[dict], skip: int, batches: int) -> float:
    """Return the seconds per batch of a loader whose batches are taken at once.

    Args:
        loader: Yields batches without end.
        skip: Number of batches before the clock starts, during which workers start.
        batches: Number of batches that count.
    """
    iterator = iter(loader)
    for _ in range(skip):
        next(iterator)
    start = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return (time.perf_counter() - start) / batches


def report_loader(args: argparse.Namespace) -> dict[str, list]:
    """Time the config's loader for each number of workers, in turns with its training step.

    Returns:
        ``results`` and ``ratios`` as :func:`report_groups` returns them, with seconds per batch.
    """
    cfg = load_config(args.config, args.cfg_options)
    loaders = {}
    for workers in args.workers:
        config = copy.deepcopy(cfg.train_dataloader)
        config.update(num_workers=workers, persistent_workers=False)
        if not workers:
            config.pop('prefetch_factor', None)
        name = f'loader, {workers} worker{"s" * (workers != 1)}'
        loaders[name] = Runner.build_dataloader(config, seed=args.seed)
    batch = next(iter(next(iter(loaders.values()))))
    times: dict[str, list[float]] = {name: [] for name in loaders}
    step = None
    if not args.no_step:
        step = step_work(*build_step(cfg, Variant('fused'), args.device, args.seed), [batch])
        times['step, fused'] = []
        for _ in range(args.warmup):
            step.run()
    with counter('figures', args.repeats * len(times)) as advance:
        for _ in range(args.repeats):
            for name, loader in loaders.items():
                times[name].append(seconds_per_batch(loader, args.skip, args.batches))
                advance()
            if step:
                times['step, fused'].append(seconds_of(step.run, args.device)[0])
                advance()
    results = [
        {'case': name, **report.timed(seconds, len(batch['inputs']))}
        for name, seconds in times.items()
    ]
    ratios = [report.ratio(entry, results[-1]) for entry in results[:-1]] if step else []
    return {'results': results, 'ratios': ratios}
