"""What features were made with, and the check before training that they fit the model."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from cct_mm.datasets import AlternatingDomainSampler, CachedFeaturesDataset
from cct_mm.datasets.feature_files import FeatureFolder
from cct_mm.models.segmentors import MultiDomainSegmentor
from cct_mm.result_folder import as_in_json, difference


def digest(module: nn.Module) -> str:
    """Return a name for the weights and statistics of a network."""
    content = hashlib.sha256()
    for name, value in module.state_dict().items():
        content.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        content.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return f'sha256 {content.hexdigest()}'


def recipe(
    model: MultiDomainSegmentor, network: Mapping[str, Any], dataset: CachedFeaturesDataset, i: int
) -> dict[str, Any]:
    """Return all that the features of source i depend on, besides the images.

    Args:
        model: The model, with its weights.
        network: Its config.
        dataset: The data.
        i: Index of the source.
    """
    start = ('init_cfg', 'pretrained')
    settings = dict(
        weights=digest(model.backbone),
        backbone={key: value for key, value in network['backbone'].items() if key not in start},
        data_preprocessor=network.get('data_preprocessor'),
    )
    return as_in_json(settings | dataset.settings(i))


def used_sources(dataset: CachedFeaturesDataset, sampler: AlternatingDomainSampler) -> list[int]:
    """Return the indices of the sources that a training loads images of."""
    return [
        i
        for i, source in enumerate(dataset.sources)
        if source.domain in sampler.order and source.supervision in sampler.per_batch[source.domain]
    ]


def check_features(
    model: MultiDomainSegmentor,
    network: Mapping[str, Any],
    dataset: CachedFeaturesDataset,
    sampler: AlternatingDomainSampler,
) -> None:
    """Check that the features are there and that the model's backbone has made them.

    Args:
        model: The model, with the weights that its training starts from.
        network: Its config.
        dataset: The data of training.
        sampler: What says which sources are used.

    Raises:
        FileNotFoundError: If features are missing.
        ValueError: If they are of other settings or weights, or the backbone would be trained.
    """
    if not model.frozen_backbone:
        raise ValueError(
            'train_dataloader brings features of a backbone, and this model trains its backbone, '
            'expected model.frozen_backbone=True, or dataset.type=MultiDomainDataset for images'
        )
    for i in used_sources(dataset, sampler):
        folder, wanted = dataset.folder(i), recipe(model, network, dataset, i)
        there = folder / FeatureFolder.SETTINGS
        found = json.loads(there.read_text(encoding='utf-8')) if there.is_file() else wanted
        if found != wanted:
            raise ValueError(
                f'{folder} holds features of other settings:\n{difference(found, wanted)}\n'
                'expected those of this config: make them by tools/cache_features.py with the same '
                f'config and options, and with another {FeatureFolder.OPTION}'
            )
        files = dataset.files(i)
        missing = [file for file in files if not file.is_file()]
        if missing:
            raise FileNotFoundError(
                f'{dataset.sources[i].name}: {len(missing)} of {len(files)} features are missing, '
                f'such as {missing[0]}; make them by tools/cache_features.py with the same config '
                'and options'
            )
