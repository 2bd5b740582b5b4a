"""Measure checkpoints of CCT on batches of their training data, and write what was found."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from cct_mm.engine.checkpoints.files import require_writable
from cct_mm.engine.checkpoints.loading import load_weights
from cct_mm.engine.config_file import read_config
from cct_mm.files import write_atomically
from cct_mm.models.pretraining import skip_pretraining
from cct_mm.models.progress import set_progress
from cct_mm.models.segmentors import CCT
from cct_mm.progress_bar import progress_bar
from cct_mm.schedules import Progress

from .figure import draw
from .measure import GradientMeans, average, measure
from .tables import Measured, records

SEED = 0
"""Of the batches, the same at every checkpoint, and of what is drawn for them at each."""


def analyze(
    config: str,
    checkpoints: Sequence[str],
    out: str | Path,
    batches: int,
    command: str,
    options: Sequence[str] | None = None,
) -> list[Path]:
    """Measure checkpoints of one run and write tables and figures.

    Args:
        config: The config file.
        checkpoints: Its checkpoints.
        out: Folder for ``gradients.json``, ``perturbations.json`` and a figure of each domain.
        batches: Batches of training that are measured at each checkpoint.
        command: What the tables say that they were made by.
        options: As for :func:`~cct_mm.engine.config_file.read_config`.

    Returns:
        The files.

    Raises:
        ValueError: If the config trains no CCT, or a batch has labeled or unlabeled images alone.
        CheckpointError: If a checkpoint is of another network, or ``out`` cannot be written to.
        FileNotFoundError: If the config or data are missing.
    """
    require_writable(out, '--out')
    cfg = read_config(config, options)
    model = _build(cfg, config)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=SEED)
    measured = []
    with progress_bar('batches', len(checkpoints) * batches) as update:
        for i, path in enumerate(checkpoints):
            iteration = _load(model, path, cfg.train_cfg.max_iters)
            compared, kinds = defaultdict(GradientMeans), defaultdict(list)
            for number, batch in enumerate(islice(loader, batches)):
                # For dropout of the network.
                with torch.random.fork_rng():
                    torch.manual_seed(number)
                    data = model.data_preprocessor(batch, True)
                    domain, gradients, of_kinds = measure(model, **data)
                compared[domain].add(gradients)
                kinds[domain].append(of_kinds)
                update(i * batches + number + 1)
            for domain, own in kinds.items():
                values = compared[domain].values(), average(own)
                measured.append(Measured(domain, iteration, len(own), *values))
    measured.sort(key=lambda one: one.iteration)
    return _write(measured, Path(out), command)


def _build(cfg: Config, path: str) -> CCT:
    register_all_modules(init_default_scope=True)
    skip_pretraining(cfg.model)
    model = MODELS.build(cfg.model)
    if not isinstance(model, CCT):
        raise ValueError(
            f'{path}: its model is a {type(model).__name__}, expected CCT, whose losses are '
            'compared; take a config such as configs/cct/cct_toy.py'
        )
    return model.to('cuda' if torch.cuda.is_available() else 'cpu').train()


def _load(model: CCT, path: str, length: int) -> int:
    """Load a checkpoint and return its iteration: the last one of the run, if it does not say."""
    iteration = load_weights(model, path).get('meta', {}).get('iter', length)
    set_progress(model, Progress(iteration, length, SEED))
    return iteration


def _write(measured: list[Measured], out: Path, command: str) -> list[Path]:
    files = []
    for name, record in records(measured, command).items():
        files.append(out / f'{name}.json')
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
        write_atomically(files[-1], text + '\n')
    for domain in dict.fromkeys(one.domain for one in measured):
        files.append(out / f'gain_{domain}.png')
        write_atomically(files[-1], draw([one for one in measured if one.domain == domain]))
    return files
