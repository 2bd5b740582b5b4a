"""The commands of tools/benchmark.py: their cases, tables and refusals."""

import json
import subprocess
import sys

import pytest
import torch

from cct_mm.models.cct.perturbations import PERTURBATIONS


def refused(tool, capsys, *arguments):
    """The last line of what the command says when it ends with an error."""
    with pytest.raises(SystemExit):
        tool.main(list(arguments))
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.slow
def test_step(run):
    arguments = ('--size', '30x40', '--classes', '3', '--repeats', '2')
    report, text = run('step', '--only', 'time', *arguments)
    zero, reference, fused, low = report['results']
    assert [zero['case'], zero['K'], fused['K']] == ['K = 0', 0, 4]
    assert fused['loss'] == pytest.approx(reference['loss'], rel=1e-4)
    assert low['loss'] == pytest.approx(fused['loss'], rel=0.1)
    assert zero['images'] == 4
    assert len(zero['seconds']['all']) == 2
    pairs = [(ratio['of'], ratio['over']) for ratio in report['ratios']]
    assert pairs == [
        ('reference', 'K = 0'),
        ('fused', 'K = 0'),
        ('fused, bfloat16, channels last', 'K = 0'),
        ('reference', 'fused'),
        ('reference', 'fused, bfloat16, channels last'),
    ]
    assert report['machine']['threads'] == torch.get_num_threads()
    assert report['machine']['cpu'] in text
    assert report['command'].startswith('python tools/benchmark.py step --config')
    assert '| case | time, ms | quartiles | images/s | loss |' in text


def test_decoders_with_memory_from_a_fresh_process(run):
    arguments = ('--rows', 'all', '--paths', 'fused', '--sizes', '4x5', '--classes', '3')
    report, text = run('decoders', *arguments, '--only', 'memory')
    (entry,) = report['results']
    assert entry['case'] == 'all (4), z 4x5, fused'
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
    assert cases[:3] == ['main, z 3x4, reference', 'main, z 3x4, fused', 'F-Drop, z 3x4, reference']
    for reference, fused in zip(report['results'][::2], report['results'][1::2], strict=True):
        assert fused['loss'] == pytest.approx(reference['loss'], rel=1e-4), fused['case']


def test_measuring_leaves_the_registry_as_it_was(run):
    before = dict(PERTURBATIONS.module_dict)
    assert 'main' not in before
    run('decoders', '--only', 'time', '--rows', 'main', '--sizes', '2x2', '--classes', '3')
    assert PERTURBATIONS.module_dict == before


def test_data(run):
    report, _ = run('data', '--workers', '0', '1', '--batches', '2', '--skip', '1')
    cases = {entry['case']: entry for entry in report['results']}
    assert list(cases) == ['loader, 0 workers', 'loader, 1 worker', 'step, fused']
    assert all(entry['images'] == 4 for entry in cases.values())
    assert [ratio['over'] for ratio in report['ratios']] == ['step, fused'] * 2


@pytest.mark.slow
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
        ('step, 24x32, fused', 4),
        ('step, domains = 1', 4),
        ('step, domains = 2', 4),
    ]
    assert report['results'][-1]['domains'] == 2
    assert report['ratios'][0]['over'] == 'decoders alone, K = 2'


@pytest.mark.parametrize(
    'arguments, message',
    [
        (('step', '--size', '320'), "argument --size: found '320', expected HEIGHTxWIDTH"),
        (('step', '--repeats', '0'), 'argument --repeats: found 0, expected a whole number >= 1'),
        (('step', '--variants', 'slow'), "found 'slow', expected one of k0, reference, fused"),
        (('step', '--variants', 'fused+tf32'), "found 'fused+tf32', expected one of k0"),
        (('step', '--device', 'gpu'), "found 'gpu', expected cpu, cuda or cuda:INDEX"),
        (('step', '--device', 'cuda:99'), "found 'cuda:99', but PyTorch sees"),
        (('scale', '--counts', '0'), '--counts has no K > 0, which the sweep auxiliary needs'),
    ],
)
def test_wrong_arguments_get_one_clear_sentence(arguments, message, tool, capsys):
    assert message in refused(tool, capsys, *arguments)


def test_a_row_that_the_config_does_not_have_is_named(run):
    with pytest.raises(ValueError, match='--rows F-Noise.*main, F-Drop, I-VAT'):
        run('decoders', '--rows', 'F-Noise')


def test_a_config_that_is_not_there_is_named(tool):
    with pytest.raises(FileNotFoundError, match='nowhere.py.*--config'):
        tool.main(['step', '--config', 'nowhere.py'])


def test_a_config_without_auxiliary_decoders_is_named(tool, tmp_path):
    path = tmp_path / 'supervised.py'
    path.write_text("model = dict(type='MultiDomainSegmentor')")
    with pytest.raises(ValueError, match='supervised.py.*auxiliary decoders.*--config'):
        tool.main(['step', '--config', str(path)])


def test_a_case_is_asked_for_once(run):
    with pytest.raises(ValueError, match='"step, domains = 2".*twice'):
        run('scale', '--sweeps', 'domains', '--domains', '2', '2')


def test_a_process_that_is_ended_keeps_what_it_has_measured(tool, config, tmp_path):
    out = tmp_path / 'figures.json'
    command = [sys.executable, tool.__file__, 'decoders', '--config', config, '--out', str(out)]
    command += ['--device', 'cpu', '--only', 'time', '--repeats', '1000000', '--threads', '1']
    command += ['--rows', 'main', 'all', '--paths', 'fused', '--sizes', '2x2', '--classes', '3']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        # The lines come while it measures, though no terminal is there.
        next(
            line for line in it.stderr if line.startswith('main, z 2x2, fused') and '(2 of' in line
        )
        it.terminate()
        text, _ = it.communicate()
    assert it.returncode == 130
    assert 'Not finished (interrupted)' in text and '| main, z 2x2, fused |' in text
    report = json.loads(out.read_text())
    assert report['unfinished'] == 'interrupted'
    assert len(report['results'][0]['seconds']['all']) >= 2
