"""The first image of each data set is loaded at once, so that a broken pipeline is found."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmcv.transforms import BaseTransform
from mmseg.datasets.transforms import PhotoMetricDistortion
from torch.utils.data import Dataset

from cct_mm import keyed

from ..filling import FillingError, name_of
from ..transforms import AddView, LoadCheckedImage
from ..wrappers import leaf_datasets, pipelines


def check_first_samples(name: str, dataset: Dataset) -> None:
    """Load the first image of a source and of each data set in it.

    Args:
        name: What errors call the source.
        dataset: Its data set, wrappers included.

    Raises:
        ValueError: If a transform fails or is made for other images, samples are not packed, or
            only some data sets load label maps.
    """
    for steps in pipelines(dataset):
        _check_colors(name, steps)
    parts = {id(part): part for part in (*leaf_datasets(dataset), dataset)}
    samples = [_first_sample(name, part) for part in parts.values()]
    # The last is that of the whole source: a wrapper may pack what its parts do not.
    whole = samples[-1]
    if not isinstance(whole, Mapping) or not {'inputs', 'data_samples'} <= whole.keys():
        raise ValueError(
            f"{name}: its pipeline does not pack the sample, expected dict(type='PackSegInputs') "
            'at its end'
        )
    packed = [sample['data_samples'] for sample in samples if 'data_samples' in sample]
    without = [sample for sample in packed if 'gt_sem_seg' not in sample]
    if without and len(without) < len(packed):
        raise ValueError(
            f'{name}: some of its data sets load label maps, and others none, such as that of '
            f'{without[0].img_path}, expected the same of all: let each load them, or none'
        )


def _check_colors(name: str, steps: Sequence[Callable]) -> None:
    """Check that colors are distorted where there are colors.

    Of four channels OpenCV would leave out the last, without a word.
    """
    channels = [t.channels for t in steps if isinstance(t, LoadCheckedImage)] or [3]
    views = [step for t in steps if isinstance(t, AddView) for step in t.transforms.transforms]
    distorts = any(isinstance(t, PhotoMetricDistortion) for t in (*steps, *views))
    if distorts and channels[0] != 3:
        raise ValueError(
            f'{name}: PhotoMetricDistortion distorts colors, and LoadCheckedImage loads images of '
            f'{channels[0]} channel(s), expected 3; leave it out, or write a transform for your '
            'channels'
        )


def _first_sample(name: str, dataset: Dataset) -> Any:
    with keyed.global_generators_seeded(0, 'probe'):
        try:
            return dataset[0]
        except FillingError as error:
            raise ValueError(f'{name}: {error}') from error
        # Errors about files and labels say what they are about.
        except (OSError, ValueError, MemoryError, ImportError):
            raise
        # Transforms assert and look up what they need, often without a message.
        except Exception as error:
            raise ValueError(f'{name}: {_failure(error)}') from error


def _failure(error: Exception) -> str:
    """Say which transform of a pipeline has failed, and why."""
    frames = traceback.walk_tb(error.__traceback__)
    owners = [frame.f_locals.get('self') for frame, _ in frames]
    failed = [owner for owner in owners if isinstance(owner, BaseTransform)]
    name = name_of(failed[-1]) if failed else 'its pipeline'
    text = f'{name} fails on its first image: {type(error).__name__}: {error or "no reason given"}'
    if failed and hasattr(failed[-1], 'get_indices'):
        return (
            f'{text}; it joins several images, expected as a transform of a wrapper: '
            "dict(type='MultiImageMixDataset', dataset=..., pipeline=[...])"
        )
    if isinstance(error, KeyError) and error.args[:1] == ('img',):
        return f"{text}; load the image before it: dict(type='LoadCheckedImage')"
    return f'{text}; look at the transforms of the pipeline, their order and arguments'
