"""The benchmark: its variants are what they claim, its figures mean what they say."""

import importlib.util
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cct_mm import benchmark
from cct_mm.benchmark import Case, Work

ROOT = Path(__file__).parents[2]
CPU = torch.device('cpu')
MIB = 2**20


def load_tool():
    spec = importlib.util.spec_from_file_location('benchmark', ROOT / 'tools/benchmark.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = load_tool()

CONFIG = """
default_scope = 'mmseg'
norm_cfg = dict(type='BN')
model = dict(
    type='CCT',
    data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=8),
    backbone=dict(
        type='ResNetV1c', depth=18, stem_channels=8, base_channels=8, out_indices=(3,),
        strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='nowhere')),
    neck=dict(type='PSPNeck', in_channels=64, out_channels=16, norm_cfg=norm_cfg),
    decode_head=dict(type='SubPixelHead', in_channels=16, stride=8),
    domains=dict(field=dict(classes=('soil', 'leaf'), foreground=('leaf',))),
    auxiliary=dict(
        in_channels=16,
        stride=8,
        perturbations=[
            dict(type='F-Drop', num=2), dict(type='I-VAT'), dict(type='G-Cutout'),
        ],
    ),
)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4))
source = dict(
    type='ListDataset',
    data_root=DATA_ROOT,
    metainfo=dict(classes=('soil', 'leaf'), palette=[[0, 0, 0], [0, 255, 0]]))
load = dict(type='LoadImageFromFile')
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    prefetch_factor=2,
    persistent_workers=True,
    sampler=dict(type='AlternatingDomainSampler', labeled_per_batch=2, unlabeled_per_batch=2),
    dataset=dict(type='MultiDomainDataset', domains=dict(field=dict(
        labeled=dict(
            **source, ann_file='labeled.txt', labeled=True,
            pipeline=[load, dict(type='LoadAnnotations'), dict(type='PackSegInputs')]),
        unlabeled=dict(
            **source, ann_file='labeled.txt', labeled=False,
            pipeline=[load, dict(type='PackSegInputs')])))),
)
"""


@pytest.fixture
def config(tmp_path):
    """A tiny CCT; images of 30x40, which the preprocessor pads."""
    data = tmp_path / 'data'
    data.mkdir()
    lines = []
    for i in range(3):
        cv2.imwrite(str(data / f'{i}.jpg'), np.full((30, 40, 3), 80 * i, np.uint8))
        cv2.imwrite(str(data / f'{i}.png'), np.eye(30, 40, dtype=np.uint8))
        lines.append(f'{i}.jpg {i}.png\n')
    (data / 'labeled.txt').write_text(''.join(lines))
    path = tmp_path / 'cct.py'
    path.write_text(CONFIG.replace('DATA_ROOT', repr(str(data))))
    return str(path)


@pytest.fixture
def run(config, tmp_path, capsys):
    """Runs the command and returns its JSON and what it printed."""

    def run(command, *arguments):
        out = tmp_path / 'out' / 'figures.json'
        quick = ('--repeats', '1', '--warmup', '0', '--device', 'cpu')
        tool.main([command, '--config', config, '--out', str(out), *quick, *arguments])
        return json.loads(out.read_text()), capsys.readouterr().out

    return run


def refused(capsys, *arguments):
    """The last line of what the command says when it ends with an error."""
    with pytest.raises(SystemExit):
        tool.main(list(arguments))
    return capsys.readouterr().err.strip().splitlines()[-1]


# What is compared


def losses_of(cfg, variant, labeled=0):
    model, _ = tool.build_step(cfg, variant, CPU, seed=0)
    (domain,) = model.domains
    batch = tool.made_up_batch(domain, 2, (32, 40), labeled=labeled, unlabeled=2, seed=0)
    return model, model(**model.data_preprocessor(batch, True), mode='loss')


def test_a_step_without_decoders_trains_the_encoder_on_the_unlabeled_images(config):
    model, losses = losses_of(tool.load_config(config), tool.Variant('k0'))
    losses['field.loss_unsupervised'].backward()
    for name, parameter in model.named_parameters():
        moved = parameter.grad is not None and parameter.grad.abs().max() > 0
        assert moved == name.startswith(('backbone.', 'neck.')), name


def test_fast_and_reference_compute_the_same_step(config):
    cfg = tool.load_config(config)
    _, fast = losses_of(cfg, tool.Variant('fast'), labeled=2)
    _, reference = losses_of(cfg, tool.Variant('reference'), labeled=2)
    assert fast.keys() == reference.keys()
    for name in fast:
        torch.testing.assert_close(fast[name], reference[name], msg=name)
    assert fast['field.loss_unsupervised'] > 0


def test_every_repeat_of_a_step_computes_the_same(config):
    cfg = tool.load_config(config)
    model, wrapper = tool.build_step(cfg, tool.Variant('fast'), CPU, seed=0)
    work = tool.step_work(model, wrapper, [tool.made_up_batch('field', 2, (32, 32), 2, 2, 0)])
    assert work.run() == work.run() == work.run()


def test_variants_differ_in_precision_and_memory_format_as_named(config):
    variant = tool.Variant.parse('fast+channels-last+bfloat16')
    assert variant.name == 'fast, bfloat16, channels last'
    model, wrapper = tool.build_step(tool.load_config(config), variant, CPU, seed=0)
    assert type(wrapper).__name__ == 'CPUAmpOptimWrapper'
    weight = model.neck.bottleneck.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    plain, wrapper = tool.build_step(tool.load_config(config), tool.Variant('fast'), CPU, seed=0)
    assert type(wrapper).__name__ == 'OptimWrapper'
    torch.testing.assert_close(plain.neck.bottleneck.conv.weight, weight)


def test_the_mix_of_perturbations_keeps_its_proportions():
    mix = [dict(type='F-Noise', num=6, bound=0.3), dict(type='I-VAT', num=2), dict(type='Obj-Msk')]
    counts = [[entry['num'] for entry in tool.with_decoders(mix, count)] for count in (9, 18, 4, 1)]
    assert counts == [[6, 2, 1], [12, 4, 2], [3, 1], [1]]
    assert tool.with_decoders(mix, 9)[0]['range'] == 0.3
    assert tool.with_decoders(mix, 0) == []


# Figures


def test_ratios_are_taken_round_by_round():
    # The second round ran on a machine three times as slow: 9 / 3, not 9 / 1.
    one = {'case': 'a', **benchmark.timed([2.0, 9.0, 3.0])}
    other = {'case': 'b', **benchmark.timed([1.0, 3.0, 1.0])}
    ratio = benchmark.ratio(one, other)
    assert ratio['time']['all'] == [2.0, 3.0, 3.0]
    assert ratio['time']['median'] == 3.0
    assert ratio['time']['quartiles'] == [2.5, 3.0]


def test_images_a_second_follow_from_the_median():
    entry = benchmark.timed([0.5, 2.0, 0.25], images=4)
    assert entry['images_per_second'] == 8.0
    assert benchmark.timed([0.5])['seconds']['quartiles'] == [0.5, 0.5]


def test_works_take_turns_and_warm_up_does_not_count():
    calls = []

    def work(name, loss):
        return Work(lambda: calls.append(name) or torch.tensor(loss))

    works = {'a': work('a', 1.0), 'b': work('b', 2.0)}
    times, losses = benchmark.measure_times(works, CPU, warmup=1, repeats=2, seed=0)
    assert calls == ['a', 'b'] * 3
    assert [len(seconds) for seconds in times.values()] == [2, 2]
    assert losses == {'a': 1.0, 'b': 2.0}


@pytest.mark.parametrize('loss', [1.01, float('nan')])
def test_cases_that_compute_different_losses_are_not_compared(loss):
    benchmark.check_same_loss({'fast': 1.0001, 'reference': 1.0}, [('fast', 'reference')])
    with pytest.raises(ValueError, match='"fast" and "reference" computed the losses'):
        benchmark.check_same_loss({'fast': loss, 'reference': 1.0}, [('fast', 'reference')])


@pytest.mark.skipif(
    not os.access('/proc/self/clear_refs', os.W_OK), reason='this kernel cannot set the peak back'
)
@pytest.mark.parametrize('size', [32, 128])
def test_memory_is_what_a_run_holds_at_its_peak(size):
    def build():
        kept = torch.ones(40 * MIB // 4)

        def run():
            first = torch.ones(size * MIB // 4)
            del first
            return torch.ones(size * MIB // 4).sum() + kept.sum()

        return Work(run, gradient_bytes=MIB)

    above_before = benchmark.measure_memory(Case('', build), CPU, seed=0)
    assert above_before['bytes'] == pytest.approx(size * MIB, abs=2 * MIB)
    assert above_before['beyond_gradients'] == above_before['bytes'] - MIB
    above_bare = benchmark.measure_memory(Case('', build, above_bare=True), CPU, seed=0)
    assert above_bare['bytes'] == pytest.approx((40 + size) * MIB, abs=2 * MIB)
    assert above_bare['beyond_gradients'] is None


def test_a_memory_process_that_fails_says_why():
    with pytest.raises(ValueError, match='memory process of "fast" failed: no such thing'):
        benchmark.memory_in_fresh_process('fast', ['sh', '-c', 'echo no such thing >&2; exit 1'])
    with pytest.raises(ValueError, match='ended by signal 9; 9 usually means'):
        benchmark.memory_in_fresh_process('fast', ['sh', '-c', 'kill -9 $$'])


# The commands


def test_step(run):
    arguments = ('--size', '30x40', '--classes', '3', '--repeats', '2')
    report, text = run('step', '--only', 'time', *arguments)
    zero, reference, fast, low = report['results']
    assert [zero['case'], zero['K'], fast['K']] == ['K = 0', 0, 4]
    assert fast['loss'] == pytest.approx(reference['loss'], rel=1e-4)
    assert low['loss'] == pytest.approx(fast['loss'], rel=0.1)
    assert zero['images'] == 4
    assert len(zero['seconds']['all']) == 2
    pairs = [(ratio['of'], ratio['over']) for ratio in report['ratios']]
    assert pairs == [
        ('reference', 'K = 0'),
        ('fast', 'K = 0'),
        ('fast, bfloat16, channels last', 'K = 0'),
        ('reference', 'fast'),
        ('reference', 'fast, bfloat16, channels last'),
    ]
    assert report['machine']['threads'] == torch.get_num_threads()
    assert report['machine']['cpu'] in text
    assert report['command'].startswith('python tools/benchmark.py step --config')
    assert '| case | time, ms | quartiles | images/s | loss |' in text


def test_decoders_with_memory_from_a_fresh_process(run):
    arguments = ('--rows', 'all', '--paths', 'fast', '--sizes', '4x5', '--classes', '3')
    report, text = run('decoders', *arguments, '--only', 'memory')
    (entry,) = report['results']
    assert entry['case'] == 'all (4), z 4x5, fast'
    assert entry['z'] == [1, 4, 5]
    weights = 3 * 16 + 3 * (3 * 12 + 12)
    difference = entry['memory']['bytes'] - entry['memory']['beyond_gradients']
    assert difference == 4 * 4 * weights
    assert len(entry['memory']['peak']) == len(entry['memory']['before']) == 3
    assert '| case | peak memory, MiB |' in text


def test_decoders_has_a_row_for_the_main_decoder_and_each_perturbation(run):
    report, _ = run('decoders', '--only', 'time', '--sizes', '3x4', '2x2', '--classes', '3')
    cases = [entry['case'] for entry in report['results']]
    assert len(cases) == 2 * 4 * 2
    assert cases[:3] == ['main, z 3x4, reference', 'main, z 3x4, fast', 'F-Drop, z 3x4, reference']
    for slow, fast in zip(report['results'][::2], report['results'][1::2], strict=True):
        assert fast['loss'] == pytest.approx(slow['loss'], rel=1e-4), fast['case']


def test_data(run):
    report, _ = run('data', '--workers', '0', '1', '--batches', '2', '--skip', '1')
    cases = {entry['case']: entry for entry in report['results']}
    assert list(cases) == ['loader, 0 workers', 'loader, 1 worker', 'step, fast']
    assert all(entry['images'] == 4 for entry in cases.values())
    assert [ratio['over'] for ratio in report['ratios']] == ['step, fast'] * 2


def test_scale(run):
    report, _ = run(
        *(
            'scale',
            '--only',
            'time',
            '--size',
            '32x32',
            '--classes',
            '2',
            '--counts',
            '0',
            '2',
            '4',
        ),
        *('--sizes', '24x32', '--domains', '1', '2'),
    )
    assert [(entry['case'], entry['K']) for entry in report['results']] == [
        ('decoders alone, K = 2', 2),
        ('decoders alone, K = 4', 4),
        ('step, K = 0', 0),
        ('step, K = 2', 2),
        ('step, K = 4', 4),
        ('step, 24x32, K = 0', 0),
        ('step, 24x32, fast', 4),
        ('step, domains = 1', 4),
        ('step, domains = 2', 4),
    ]
    assert report['results'][-1]['domains'] == 2
    assert report['ratios'][0]['over'] == 'decoders alone, K = 2'


@pytest.mark.parametrize(
    'arguments, message',
    [
        (('step', '--size', '320'), "argument --size: found '320', expected HEIGHTxWIDTH such as"),
        (('step', '--repeats', '0'), 'argument --repeats: found 0, expected a whole number >= 1'),
        (('step', '--variants', 'slow'), "found 'slow', expected one of k0, reference, fast"),
        (('step', '--variants', 'fast+tf32'), "found 'fast+tf32', expected one of k0"),
        (('step', '--device', 'gpu'), "found 'gpu', expected cpu, cuda or cuda:INDEX"),
        (('step', '--device', 'cuda:99'), "found 'cuda:99', but PyTorch sees"),
        (('scale', '--counts', '0'), '--counts has no K > 0, which the sweep auxiliary needs'),
    ],
)
def test_wrong_arguments_get_one_clear_sentence(arguments, message, capsys):
    assert message in refused(capsys, *arguments)


def test_a_row_that_the_config_does_not_have_is_named(run):
    with pytest.raises(ValueError, match='--rows F-Noise: expected some of main, F-Drop, I-VAT'):
        run('decoders', '--rows', 'F-Noise')


def test_a_config_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match='config nowhere.py does not exist; give one'):
        tool.main(['step', '--config', 'nowhere.py'])


def test_a_config_without_auxiliary_decoders_is_named(tmp_path):
    path = tmp_path / 'supervised.py'
    path.write_text("model = dict(type='MultiDomainSegmentor')")
    with pytest.raises(ValueError, match='supervised.py: its model has no auxiliary decoders'):
        tool.main(['step', '--config', str(path)])


def test_a_case_is_asked_for_once(run):
    with pytest.raises(ValueError, match='"step, domains = 2" is asked for twice'):
        run('scale', '--sweeps', 'domains', '--domains', '2', '2')
