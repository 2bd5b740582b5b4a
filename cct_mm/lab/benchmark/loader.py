"""Images/s of the loader beside those of the training step."""

import argparse
import copy
import time
from collections.abc import Iterable

from mmengine.runner import Runner

from . import report
from .config import load_config
from .step import build_step, step_work
from .timing import seconds_of
from .variants import Variant


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


def measure_loader(args: argparse.Namespace, figures: dict[str, list]) -> None:
    """Time the config's loader for each number of workers, in turns with its training step.

    Args:
        args: The parsed command line.
        figures: Gets ``results`` and ``ratios`` as in :func:`measure_groups`, with seconds per
            batch.
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
    try:
        for turn in range(args.repeats):
            for name in times:
                seconds = (
                    seconds_per_batch(loaders[name], args.skip, args.batches)
                    if name in loaders
                    else seconds_of(step.run, args.device)[0]
                )
                times[name].append(seconds)
                report.say(f'{name}: {1000 * seconds:.1f} ms ({turn + 1} of {args.repeats})')
    finally:
        results = [
            {'case': name, **report.timed(seconds, len(batch['inputs']))}
            for name, seconds in times.items()
            if seconds
        ]
        figures['results'] += results
        if len(results) == len(times) and step:
            figures['ratios'] += [report.ratio(entry, results[-1]) for entry in results[:-1]]
