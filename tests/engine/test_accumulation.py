"""Gradient accumulation equals the large batch, domain by domain, and leaves idle heads alone."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from tiny_network import tiny_backbone
from torch.optim import SGD

from cct_mm.engine.accumulation import accumulative_counts, lost_gradients
from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

DOMAINS = dict(day=dict(classes=('sky', 'ground', 'car')), night=dict(classes=('sky', 'lamp')))


def make(method='SupervisedSegmentor', norm='frozen', **options):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type=method,
            data_preprocessor=dict(
                type='SegDataPreProcessor', mean=[127.0] * 3, std=[64.0] * 3, size_divisor=8
            ),
            backbone=tiny_backbone(),
            decode_head=dict(type='SubPixelHead', in_channels=32),
            domains=DOMAINS,
            norm=norm,
            **options,
        )
    )
    set_progress(model, Progress(iteration=0, max_iters=10, seed=0))
    return model.train()


def batch_of_images():
    """Two images with labels, as the dataloader gives them."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for i in range(2):
        sample = SegDataSample(metainfo=dict(img_shape=(32, 48), sample_key=f'0/{i}'))
        labels = torch.randint(0, 3, (1, 32, 48), generator=generator)
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    images = torch.randint(0, 256, (2, 3, 32, 48), generator=generator).byte()
    return dict(inputs=list(images), data_samples=samples)


def batch(data, images, domain):
    """Some of the images, all labeled, as a batch of one domain."""
    samples = copy.deepcopy([data['data_samples'][i] for i in images])
    for sample in samples:
        sample.set_metainfo(dict(domain=domain, supervision='labeled'))
        sample.gt_sem_seg.data %= len(DOMAINS[domain]['classes'])
    return dict(inputs=[data['inputs'][i] for i in images], data_samples=samples)


def train(model, batches, every, length=100, **settings):
    """Train on the batches, one iteration each; a step after ``every`` of them."""
    settings = {'lr': 0.1, **settings}
    wrapper = OptimWrapper(SGD(model.parameters(), **settings), accumulative_counts=every)
    wrapper.initialize_count_status(model, 0, length)
    for own in batches:
        model.train_step(own, wrapper)
        if wrapper.should_update():
            model.after_step()
    return wrapper.optimizer


def changes(model, before):
    return {name: value.detach() - before[name] for name, value in model.named_parameters()}


def assert_close(found, expected):
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_two_small_batches_equal_the_large_one(data):
    large, small = make(), make()
    settings = dict(momentum=0.9, weight_decay=0.01)
    train(large, [batch(data, [0, 1, 2, 3], 'day')] * 2, every=1, **settings)
    train(small, [batch(data, [0, 1], 'day'), batch(data, [2, 3], 'day')] * 2, every=2, **settings)
    assert_close(small.state_dict(), large.state_dict())


def test_two_domains_make_the_mean_of_their_gradients(data):
    batches = [batch(data, [0, 1], 'day'), batch(data, [2, 3], 'night')]
    before = copy.deepcopy(make().state_dict())
    alone = []
    for own in batches:
        model = make()
        train(model, [own], every=1)
        alone.append(changes(model, before))
    both = make()
    train(both, batches, every=2)
    mean = {name: (day + alone[1][name]) / 2 for name, day in alone[0].items()}
    assert_close(changes(both, before), mean)


def test_a_last_window_that_is_shorter_weighs_as_much(data):
    batches = [batch(data, images, 'day') for images in ([0], [1], [2])]
    short, expected = make(), make()
    train(short, batches, every=2, length=3)
    train(expected, batches[:2], every=2)
    train(expected, batches[2:], every=1)
    assert_close(short.state_dict(), expected.state_dict())


def test_a_domain_that_is_in_no_iteration_of_a_step_stays_as_it_is(data):
    model = make(norm='domain-specific')
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 100)

    def step(domains):
        for i, domain in enumerate(domains):
            model.train_step(batch(data, [2 * i, 2 * i + 1], domain), wrapper)

    def state(domain):
        """Weights, statistics and momentum of a domain."""
        found = {n: x.clone() for n, x in model.state_dict().items() if domain in n}
        assert any('running_mean' in name for name in found)
        for name, p in model.named_parameters():
            if domain in name:
                found[f'momentum of {name}'] = optimizer.state[p]['momentum_buffer'].clone()
        return found

    # So that both have momentum.
    step(['day', 'night'])
    day, night = state('day'), state('night')
    step(['day', 'day'])
    assert all(torch.equal(x, night[name]) for name, x in state('night').items())
    assert not any(torch.equal(x, day[name]) for name, x in state('day').items())


def test_a_mean_teacher_moves_once_a_step_and_not_where_its_domain_was_idle(data):
    model = make('MeanTeacher')
    before = copy.deepcopy(model.teacher.state_dict())
    batches = [batch(data, [i], 'day') for i in range(4)]
    train(model, batches, every=2, weight_decay=0.1)
    assert model.steps == 2
    moved = {n for n, value in model.teacher.state_dict().items() if not value.equal(before[n])}
    assert any('domains.day' in name for name in moved)
    assert not any('night' in name for name in moved)


TWO = """
import sys
sys.path[:0] = HELPERS
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from test_accumulation import batch, batch_of_images, make

with DefaultScope.overwrite_default_scope('mmseg'):
    data = batch_of_images()

    def trained(wrap, images):
        # The first step has both domains, the second only one.
        model = make()
        net = wrap(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        wrapper = OptimWrapper(optimizer, accumulative_counts=2)
        wrapper.initialize_count_status(model, 0, 100)
        for domain in ('day', 'night', 'day', 'day'):
            net.train_step(batch(data, images, domain), wrapper)
        return model.state_dict()

    options = dict(broadcast_buffers=False, find_unused_parameters=True)
    found = trained(lambda m: MMDistributedDataParallel(m, device_ids=None, **options), [rank])
distributed.destroy_process_group()
with DefaultScope.overwrite_default_scope('mmseg'):
    expected = trained(lambda m: m, [0, 1])
for name, value in expected.items():
    torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
"""


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one(on_two_processes):
    folder = Path(__file__).parent
    paths = [str(folder), str(folder.parent / 'helpers')]
    on_two_processes(TWO.replace('HELPERS', repr(paths)))


class TestSettings:
    @pytest.mark.parametrize('count', [0, -2, 1.5, True, '2'])
    def test_a_count_that_is_none_is_named(self, count):
        config = dict(optim_wrapper=dict(accumulative_counts=count))
        with pytest.raises(ValueError, match='accumulative_counts is .*expected the number of'):
            accumulative_counts(config)

    @pytest.mark.parametrize(
        ('count', 'hook', 'advice'),
        [
            (1, dict(by_epoch=False, interval=3), None),
            (2, dict(by_epoch=False, interval=100), None),
            (8, dict(by_epoch=False, interval=100), 104),
            (8, dict(by_epoch=False, interval=3), 8),
            (2, dict(interval=1), None),
            (2, None, None),
        ],
    )
    def test_checkpoints_between_two_steps_are_named(self, count, hook, advice):
        config = dict(
            optim_wrapper=dict(accumulative_counts=count), default_hooks=dict(checkpoint=hook)
        )
        said = lost_gradients(config)
        assert said.endswith(f'such as {advice}') if advice else said == ''

    @pytest.mark.parametrize(('interval', 'advice'), [(4, ''), (5, '6'), (-1, '')])
    def test_so_is_one_of_early_stopping(self, interval, advice):
        config = dict(
            optim_wrapper=dict(accumulative_counts=2),
            default_hooks=dict(checkpoint=dict(by_epoch=False, interval=4)),
            custom_hooks=[dict(type='EarlyStoppingHook', monitor='mIoU')],
            train_cfg=dict(val_interval=interval),
        )
        said = lost_gradients(config)
        assert said.startswith('train_cfg.val_interval is 5') if advice else said == ''
        assert said.endswith(advice)
        assert lost_gradients(config | dict(custom_hooks=[])) == ''
