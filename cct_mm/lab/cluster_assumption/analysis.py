"""Go through the evaluated images of a domain, and write what their distances say."""

import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS
from mmseg.utils import register_all_modules
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Subset

from cct_mm.apis.model import check_segmentor, domains_of, init_model
from cct_mm.engine.config_file import read_config
from cct_mm.files import write_atomically
from cct_mm.lab.markdown import markdown_table
from cct_mm.labels import IGNORE_INDEX
from cct_mm.models import MultiDomainSegmentor
from cct_mm.progress_bar import progress_bar
from cct_mm.quiet import quiet_losses
from cct_mm.visualization import viewable

from .distances import neighbor_distances, on_boundary
from .pictures import Picture, draw
from .scores import Scores

TITLES = {'input': 'input', 'encoder': "the encoder's last map", 'z': 'z'}
"""Of the levels at which distances are computed."""


@dataclass(frozen=True)
class Settings:
    """How distances are computed and which images are looked at.

    Args:
        split: ``'test'`` or ``'val'``, the dataloader whose images are evaluated.
        width: How far a label boundary reaches to each side, in pixels of the network's input.
        patch: Side of the patches that are compared at the input, in pixels.
        limit: Number of images, spread over all; None takes all.
        pictures: Number of images to draw.
    """

    split: str = 'test'
    width: int = 5
    patch: int = 20
    limit: int | None = None
    pictures: int = 4


def analyze(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike | None,
    domain: str | None,
    out: str | os.PathLike,
    settings: Settings,
    options: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Analyze one domain, or with ``'all'`` each, and write NAME.json and NAME.png for it.

    Args:
        config: Config file of the network.
        checkpoint: Its checkpoint; None takes the encoder with the weights that training starts
            from, and leaves z out, which a neck without training has made.
        domain: Name of a domain; a network with one domain needs none.
        out: Folder for the results.
        settings: See :class:`Settings`.
        options: As after ``--cfg-options``.

    Returns:
        What is in the JSON file of each domain.

    Raises:
        ValueError: If network, domain or split cannot be had.
        OSError: If data or weights cannot be read, or results cannot be written.
        ImportError: If the package with the encoder's weights is missing.
    """
    cfg = read_config(config, options)
    loader = cfg.get(f'{settings.split}_dataloader')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model = init_model(cfg, checkpoint, device) if checkpoint else _untrained(cfg, device)
    results = {}
    for name in domains_of(model, domain):
        source = (loader or {}).get('dataset', {}).get('domains', {}).get(name)
        if source is None:
            raise ValueError(
                f'{config}: {settings.split}_dataloader has no images of domain {name}, expected '
                'some to analyze; choose another --domain or --split'
            )
        results[name] = _of_domain(model, name, loader, checkpoint is not None, settings, Path(out))
        facts = dict(domain=name, config=str(config), checkpoint=checkpoint and str(checkpoint))
        results[name] = {**facts, **results[name]}
        write_atomically(Path(out) / f'{name}.json', json.dumps(results[name], indent=2) + '\n')
    return results


def table(result: Mapping[str, Any]) -> str:
    """Return what was found for a domain as Markdown.

    Args:
        result: What :func:`analyze` returns for it.
    """
    columns = ('boundary', 'inside', 'ratio', 'auc')
    rows = [
        [level, *('-' if values[key] is None else f'{values[key]:.3g}' for key in columns)]
        for level, values in result['levels'].items()
    ]
    header = [f'{result["domain"]}: mean distance', 'on boundaries', 'inside', 'ratio', 'AUC']
    return markdown_table(header, rows)


def _untrained(cfg: Config, device: str) -> MultiDomainSegmentor:
    """Return the network as training starts."""
    register_all_modules(init_default_scope=False)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    with quiet_losses():
        model = MODELS.build(cfg.model)
    check_segmentor(model)
    model.init_weights()
    return model.to(device).eval()


def _of_domain(
    model: MultiDomainSegmentor, name: str, loader: dict, trained: bool, cfg: Settings, out: Path
) -> dict[str, Any]:
    loader = copy.deepcopy(loader)
    loader['dataset']['domains'] = {name: loader['dataset']['domains'][name]}
    dataset = DATASETS.build(loader['dataset'])
    number = min(cfg.limit or len(dataset), len(dataset))
    images = Subset(dataset, [i * len(dataset) // number for i in range(number)])
    drawn = {(2 * i + 1) * number // (2 * cfg.pictures) for i in range(cfg.pictures)}
    scores: dict[str, Scores] = {}
    pictures, shares, done = [], [], 0
    with progress_bar(f'images of {name}', number) as update:
        for batch in Runner.build_dataloader({**loader, 'dataset': images}, seed=0):
            for picture, boundary in _measured(model, name, batch, trained, cfg):
                known = picture.labels != IGNORE_INDEX
                for level, distances in picture.distances.items():
                    score = scores.setdefault(level, Scores())
                    score.add(distances[boundary], distances[known & ~boundary])
                shares.append([boundary.sum(), known.sum()])
                if done in drawn:
                    pictures.append(picture)
                done += 1
                update(done)
    if pictures:
        palette = dataset.metainfo['domains'][name]['palette']
        titles = {level: TITLES[level] for level in scores}
        write_atomically(out / f'{name}.png', draw(pictures, palette, titles))
    on, of = np.sum(shares, axis=0)
    return {
        'split': cfg.split,
        'images': number,
        'boundary_width': cfg.width,
        'boundary_share': float(on / of) if of else None,
        'patch': cfg.patch,
        'levels': {level: score.summary() for level, score in scores.items()},
    }


@torch.no_grad()
def _measured(
    model: MultiDomainSegmentor, domain: str, batch: dict, trained: bool, cfg: Settings
) -> Iterator[tuple[Picture, np.ndarray]]:
    """Yield each image of a batch, without padding, and its positions on boundaries."""
    inputs = model.data_preprocessor(batch, training=False)['inputs']
    sizes = [image.shape[1:] for image in batch['inputs']]
    valid = inputs.new_zeros(len(inputs), 1, *inputs.shape[2:], dtype=torch.bool)
    labels = torch.full_like(valid[:, 0], IGNORE_INDEX, dtype=torch.long)
    for i, (height, width) in enumerate(sizes):
        valid[i, :, :height, :width] = True
        truth = batch['data_samples'][i].gt_sem_seg.data[None].float()
        # In evaluation labels stay at their own size.
        labels[i, :height, :width] = F.interpolate(truth, (height, width), mode='nearest-exact')[0]
    distances = {'input': neighbor_distances(inputs, valid, cfg.patch)}
    for level, maps in _levels(model, domain, inputs, trained).items():
        distances[level] = neighbor_distances(maps, valid)
    boundary = on_boundary(labels, cfg.width).cpu().numpy()
    for i, (height, width) in enumerate(sizes):
        cut = np.s_[i, :height, :width]
        picture = Picture(
            Path(batch['data_samples'][i].metainfo['img_path']).name,
            viewable(batch['inputs'][i].permute(1, 2, 0).numpy().clip(0, 255)),
            labels.cpu().numpy()[cut],
            {level: maps[:, 0].cpu().numpy()[cut] for level, maps in distances.items()},
        )
        yield picture, boundary[cut]


def _levels(
    model: MultiDomainSegmentor, domain: str, inputs: Tensor, trained: bool
) -> dict[str, Tensor]:
    """Return the maps that are analyzed, [B, D, h, w]; z only where its neck has been trained."""
    model = model.predictor
    with model.active(domain) as active:
        maps = model.backbone(inputs)
        if model.neck is None:
            return {'z': active.z(maps)}
        levels = {'encoder': maps[-1]}
        if trained:
            levels['z'] = active.z(model.neck(maps))
    return levels
