"""Compute the features of all images that a training will see, and keep them on disk."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import load_checkpoint
from mmseg.registry import DATASETS, MODELS
from mmseg.utils import register_all_modules
from torch.utils.data import DataLoader, Dataset

from cct_mm.datasets import CachedFeaturesDataset
from cct_mm.datasets.feature_files import FeatureFolder, features_to_bytes, read_features
from cct_mm.engine.config_file import read_config
from cct_mm.models.segmentors import MultiDomainSegmentor
from cct_mm.processes import leave_interrupts
from cct_mm.progress_bar import progress_bar

from .recipe import recipe, used_sources


def cache_features(config: str, options: Sequence[str] | None = None) -> str:
    """Make the features that are missing or damaged; whole ones stay.

    Args:
        config: A config that trains on a ``CachedFeaturesDataset``. Its ``load_from``, if any, is
            the checkpoint with the backbone's weights.
        options: As for :func:`~cct_mm.engine.config_file.read_config`.

    Returns:
        What was done, in a sentence.

    Raises:
        ValueError: If the config trains on images, an image cannot be read, features of other
            settings are there, or as for :func:`~cct_mm.datasets.feature_files.features_to_bytes`.
        OSError: If the disk is too small, or a file is missing or cannot be written.
    """
    cfg = read_config(config, options)
    register_all_modules(init_default_scope=True)
    dataset, sources = _data(cfg, config)
    model = _model(cfg)
    print(_room(model, dataset, sources), flush=True)
    total = sum(len(dataset.files(i)) for i in sources)
    done = made = 0
    with progress_bar('features', total) as update:
        for i in sources:
            folder = FeatureFolder(dataset.folder(i), recipe(model, cfg.model, dataset, i))
            for found in _loader(_Versions(dataset, i)):
                if found is not None:
                    folder.write(found.file, _features(model, dataset, i, found))
                    made += 1
                done += 1
                update(done)
            folder.close()
    return f'{made} features made, {total - made} were there. Results: {dataset.cache}'


def _data(cfg: Config, path: str) -> tuple[CachedFeaturesDataset, list[int]]:
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    if not isinstance(dataset, CachedFeaturesDataset):
        raise ValueError(
            f'{path}: it trains on a {type(dataset).__name__}, expected a CachedFeaturesDataset, '
            'as in configs/cached'
        )
    defaults = dict(dataset=dataset, seed=0)
    sampler = DATA_SAMPLERS.build(cfg.train_dataloader.sampler, default_args=defaults)
    return dataset, used_sources(dataset, sampler)


def _model(cfg: Config) -> MultiDomainSegmentor:
    """Return the model with the weights that its training starts from, as mmengine loads them."""
    model = MODELS.build(cfg.model)
    model.init_weights()
    if cfg.get('load_from'):
        load_checkpoint(model, cfg.load_from, map_location='cpu', logger='silent')
    return model.to('cuda' if torch.cuda.is_available() else 'cpu').eval()


@dataclass(frozen=True)
class _Missing:
    """One version of an image whose features are to be made.

    Args:
        file: Name of the file.
        sample: The packed version.
        damaged: What is wrong with the features that are there.
        problem: Why there is no sample.
    """

    file: str
    sample: dict[str, Any] | None = None
    damaged: str = ''
    problem: str = ''


class _Versions(Dataset):
    """All versions of a source's images: what has to be made, None for what is there."""

    def __init__(self, dataset: CachedFeaturesDataset, source: int) -> None:
        self.dataset, self.source = dataset, source
        self.files = dataset.files(source)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, item: int) -> _Missing | None:
        file, damaged = self.files[item], ''
        if file.is_file():
            try:
                read_features(file)
                return None
            except ValueError as error:
                damaged = str(error)
        try:
            version = divmod(item, self.dataset.versions[self.source])
            return _Missing(file.name, self.dataset.augmented(self.source, *version), damaged)
        # Handed over, because a loader would hide its sentence in a traceback.
        except (OSError, ValueError) as error:
            return _Missing(file.name, problem=str(error))


def _loader(versions: _Versions) -> DataLoader:
    return DataLoader(
        versions, batch_size=None, num_workers=1, multiprocessing_context='fork',
        collate_fn=_as_it_is, worker_init_fn=leave_interrupts,
    )  # fmt: skip


def _as_it_is(found: _Missing | None) -> _Missing | None:
    return found


@torch.no_grad()
def _features(
    model: MultiDomainSegmentor, dataset: CachedFeaturesDataset, source: int, found: _Missing
) -> bytes:
    """Return the content of a file.

    Images go through the backbone one by one: in a batch of others results differ by rounding, and
    a computation that was interrupted would not leave the same files.
    """
    if found.problem:
        raise ValueError(found.problem)
    if found.damaged:
        print(f'made again: {found.damaged}', flush=True)
    data = {key: [found.sample[key]] for key in ('inputs', 'data_samples')}
    with model.active(dataset.sources[source].domain):
        maps = model.backbone(model.data_preprocessor(data, training=True)['inputs'])
    return features_to_bytes(found.sample, [level[0] for level in maps], dataset.dtype)


def _room(model: MultiDomainSegmentor, dataset: CachedFeaturesDataset, sources: list[int]) -> str:
    """Say how much room all features take.

    Raises:
        OSError: If the disk has less for those that are missing.
    """
    sentences, needed = [], 0
    for i in sources:
        first = _Missing('', dataset.augmented(i, 0, 0))
        size = len(_features(model, dataset, i, first))
        files = dataset.files(i)
        needed += size * sum(not file.is_file() for file in files)
        sentences.append(
            f'{dataset.sources[i].name}: {len(files)} features of {size / 1e3:.0f} kB, '
            f'{len(files) * size / 1e9:.2f} GB'
        )
    free = shutil.disk_usage(_existing(dataset.cache)).free
    if needed > free:
        raise OSError(
            f'{dataset.cache} has room for {free / 1e9:.1f} GB, expected {needed / 1e9:.1f} GB for '
            'the features that are missing: choose fewer train_dataloader.dataset.versions or '
            f'another {FeatureFolder.OPTION}'
        )
    return '\n'.join(sentences)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
