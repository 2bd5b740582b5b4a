"""What to change when the memory of a GPU or of the machine does not suffice."""

import re
from collections.abc import Mapping

import torch

IN_OTHER_WORDS = (
    r"DefaultCPUAllocator|can't allocate memory|not enough memory|CUDA error: out of memory|"
    r'_STATUS_ALLOC_FAILED'
)
"""Pattern of errors that PyTorch raises as a plain ``RuntimeError``."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that no memory was left."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and re.search(IN_OTHER_WORDS, str(error)) is not None
    )


def advice_on_memory(error: BaseException, config: Mapping) -> str:
    """Say what to change in a training that ran out of memory, what costs least first.

    Args:
        error: The error.
        config: The config of the run.
    """
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    ways = [*_in_training(config), *ELSEWHERE]
    lines = [f'  {i}. {way}' for i, way in enumerate(ways, start=1)]
    return '\n'.join([f'out of memory: {said}', 'Change, in this order, until it fits:', *lines])


ELSEWHERE = (
    'if it was in validation: val_dataloader.batch_size=1, or a sliding window, '
    "model.test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341))",
    'if it was the memory of the machine and not that of a GPU: fewer workers, '
    'train_dataloader.num_workers',
)


def _in_training(config: Mapping) -> list[str]:
    ways = []
    loader, wrapper = config.get('train_dataloader') or {}, config.get('optim_wrapper') or {}
    if halves := _half_the_images(loader.get('sampler') or {}):
        size, steps = sum(halves.values()), 2 * wrapper.get('accumulative_counts', 1)
        options = [f'train_dataloader.sampler.{key}={n}' for key, n in halves.items()]
        ways.append(
            'half the images at a time, as many for each step of the optimizer: --cfg-options '
            f'{" ".join(options)} train_dataloader.batch_size={size} '
            f'optim_wrapper.accumulative_counts={steps}; in a new run, train_cfg.max_iters twice '
            'as large'
        )
    if 'Amp' not in str(wrapper.get('type')):
        ways.append('half the memory of the maps: --amp')
    size = ', model.data_preprocessor.size' if _has_size(config) else ''
    ways.append(f'smaller crops: crop_size in the pipelines of training{size}')
    return ways


def _half_the_images(sampler: Mapping) -> dict[str, int]:
    """Return half of each count of an ``AlternatingDomainSampler``; nothing if that cannot be."""
    counts = {'labeled_per_batch': 4, 'unlabeled_per_batch': 4}
    counts |= {key: n for key, n in sampler.items() if key.endswith('_per_batch')}
    if sampler.get('type') != 'AlternatingDomainSampler' or not all(
        isinstance(n, int) and n % 2 == 0 for n in counts.values()
    ):
        return {}
    return {key: n // 2 for key, n in counts.items()}


def _has_size(config: Mapping) -> bool:
    return bool(((config.get('model') or {}).get('data_preprocessor') or {}).get('size'))
