"""What a training says when memory is exhausted."""

import re

import numpy as np
import pytest
import torch
from doc_pages import ROOT

from cct_mm.engine.config_file import read_config
from cct_mm.engine.memory import advice_on_memory, is_out_of_memory


def errors():
    yield torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 MiB.')
    yield RuntimeError('CUDA error: out of memory')
    for allocate in (torch.empty, np.empty):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate((1 << 30, 1 << 22))
        yield caught.value


@pytest.mark.parametrize('error', [*errors()], ids=lambda error: type(error).__name__)
def test_is_known_by_its_error(error):
    assert is_out_of_memory(error)
    assert advice_on_memory(error, {}).startswith(f'out of memory: {str(error).splitlines()[0]}')


@pytest.mark.parametrize('error', [RuntimeError('shapes differ'), ValueError('out of memory')])
def test_is_not_seen_in_other_errors(error):
    assert not is_out_of_memory(error)


def options(text):
    return re.findall(r'\S+=\d+', re.search(r'--cfg-options (.*?);', text)[1])


@pytest.mark.parametrize('name', ['cct/cct_toy', 'baselines/supervised_toy'])
def test_its_options_make_the_same_step_of_half_the_images(name):
    path = f'{ROOT}/configs/{name}.py'
    before = read_config(path)
    found = options(advice_on_memory(MemoryError(), before))
    after = read_config(path, found)
    counts = ('labeled_per_batch', 'unlabeled_per_batch')
    loader = after.train_dataloader
    assert loader.batch_size == sum(loader.sampler[key] for key in counts)
    for key in counts:
        assert 2 * loader.sampler[key] == before.train_dataloader.sampler[key]
    assert after.optim_wrapper.accumulative_counts == 2
    # Twice is four times.
    found = options(advice_on_memory(MemoryError(), after))
    assert read_config(path, found).optim_wrapper.accumulative_counts == 4


def test_only_what_can_be_changed_is_advised():
    config = read_config(f'{ROOT}/configs/cct/cct_toy.py')
    text = advice_on_memory(MemoryError(), config)
    places = [text.index(word) for word in ('_per_batch', '--amp', 'crop_size', 'num_workers')]
    assert places == sorted(places)
    assert 'preprocessor.size' not in text
    config.optim_wrapper.type = 'AmpOptimWrapper'
    config.train_dataloader.sampler.labeled_per_batch = 1
    config.model.data_preprocessor.size = (64, 64)
    text = advice_on_memory(MemoryError(), config)
    assert '--amp' not in text
    assert '_per_batch' not in text
    assert 'preprocessor.size' in text
