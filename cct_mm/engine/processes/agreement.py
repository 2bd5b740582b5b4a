"""Check that all processes of a run have the same versions, config, data and weights."""

import hashlib
import re
from difflib import unified_diff
from typing import Any

import mmcv
import mmengine
import mmseg
import numpy
import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor

import cct_mm
from cct_mm.datasets import MultiDomainDataset, leaf_datasets

from ..config_text import config_text


@HOOKS.register_module()
class AgreementHook(Hook):
    """Compare what all processes have before they train or test together.

    Hosts with different lists of images, versions or checkpoints would otherwise wait for each
    other until a timeout, or train on silently. Paths may differ; only their last parts count.
    """

    def before_run(self, runner) -> None:
        """Compare versions, configs and data.

        Raises:
            ValueError: If they differ; the error names the processes and the difference.
        """
        if get_world_size() == 1:
            return
        packages = (cct_mm, mmcv, mmengine, mmseg, numpy, torch)
        facts = {package.__name__: package.__version__ for package in packages}
        facts['config'] = config_text(Config(_without_folders(runner.cfg.to_dict())))
        for name in ('train', 'val', 'test'):
            loop = getattr(runner, f'_{name}_loop')
            # A loop that this run does not use is still a config.
            if hasattr(loop, 'dataloader'):
                facts |= _describe(loop.dataloader.dataset, f'{name}_dataloader')
        check_agreement(facts)

    def before_train(self, runner) -> None:
        """Compare weights and iterations after a checkpoint has been loaded.

        Raises:
            ValueError: If they differ.
        """
        if get_world_size() == 1:
            return
        facts = {'iteration': str(runner.iter), 'weights': _digest(runner.model.state_dict())}
        check_agreement(facts)


def _without_folders(value: Any) -> Any:
    """Keep the last part of each path, before a text is laid out by the lengths of its lines."""
    if isinstance(value, dict):
        return {key: _without_folders(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_without_folders, value))
    return re.sub(r'\S*/', '', value) if isinstance(value, str) else value


def check_agreement(facts: dict[str, str]) -> None:
    """Check that every process has the same facts.

    Args:
        facts: Name and content of each thing to compare; long texts are compared line by line.

    Raises:
        ValueError: If they differ; every process raises it.
    """
    everyone = all_gather_object(facts)
    for name in sorted(set().union(*everyone)):
        values = [other.get(name, 'none') for other in everyone]
        ranks: dict[str, list[int]] = {}
        for rank, value in enumerate(values):
            ranks.setdefault(value, []).append(rank)
        if len(ranks) == 1:
            continue
        (first, having_first), (second, having_second), *_ = ranks.items()
        if '\n' in first + second:
            lines = unified_diff(first.splitlines(), second.splitlines(), lineterm='', n=0)
            changed = [line for line in lines if line[0] in '+-' and line[:3] not in ('---', '+++')]
            removed, added = (
                '; '.join(line[1:].strip() for line in changed if line[0] == sign) or 'nothing'
                for sign in '-+'
            )
        else:
            removed, added = first, second
        raise ValueError(
            f'the processes of this run differ in {name}: rank {_join(having_first)} has '
            f'{removed}, rank {_join(having_second)} has {added}; give all hosts the same '
            'versions, config, lists of images and work dir'
        )


def _join(ranks: list[int]) -> str:
    return ', '.join(map(str, ranks))


def _describe(dataset, name: str) -> dict[str, str]:
    """Describe the images of each source by their number and a digest of their file names."""
    if not isinstance(dataset, MultiDomainDataset):
        return {name: f'{len(dataset)} images'}
    facts = {}
    for source in dataset.sources:
        names = hashlib.blake2b(digest_size=8)
        for leaf in leaf_datasets(source.dataset):
            if not hasattr(leaf, 'get_data_info'):
                continue
            for index in range(len(leaf)):
                path = leaf.get_data_info(index).get('img_path', '')
                names.update(path.rpartition('/')[2].encode() + b'\n')
        facts[f'{name}, {source.domain}, {source.supervision} source'] = (
            f'{len(source.dataset)} images, whose names have the digest {names.hexdigest()}'
        )
    return facts


def _digest(weights: dict[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for value in weights.values():
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return f'the digest {digest.hexdigest()}'
