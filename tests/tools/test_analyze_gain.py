"""``tools/analyze_gain.py`` on the checkpoints of a short training."""

import json

import pytest
from tiny_network import ROOT

from cct_mm.lab.gain.measure import ENCODER


@pytest.fixture(scope='module')
def analyze(tools):
    def run(name, *arguments, config=None):
        log, out = tools.root / f'{name}.log', tools.root / name
        log.unlink(missing_ok=True)
        words = ('tools/analyze_gain.py', config or tools.config, *arguments, '--out', out)
        done = tools.server.run(log, *words)
        return done.code, done.output, out

    return run


@pytest.fixture(scope='module')
def checkpoints(straight):
    return [straight.work_dir / f'iter_{i}.pth' for i in (6, 3)]


@pytest.fixture(scope='module')
def analyzed(analyze, checkpoints):
    code, output, out = analyze('gain', *checkpoints, '--batches', '2')
    assert code == 0, output
    assert output.strip().splitlines()[-1].startswith('Results: ')
    return out


def tables(out):
    names = ('gradients', 'perturbations')
    return {name: json.loads((out / f'{name}.json').read_text()) for name in names}


def test_writes_tables_by_iteration_and_a_figure(analyzed):
    found = tables(analyzed)
    for name, rows in (('gradients', ENCODER), ('perturbations', 'F-Drop')):
        table = found[name]
        assert [entry['iteration'] for entry in table['values']] == [3, 6]
        assert all(entry['batches'] == 2 and rows in entry['rows'] for entry in table['values'])
        assert {len(cells) for cells in table['cells']} == {len(table['header'])}
    assert (analyzed / 'gain_day.png').read_bytes().startswith(b'\x89PNG')


def test_says_the_same_again_whatever_came_before(analyze, analyzed, checkpoints):
    code, output, out = analyze('gain_again', checkpoints[1], '--batches', '2')
    assert code == 0, output
    for name, table in tables(out).items():
        assert table['values'] == tables(analyzed)[name]['values'][:1]


def test_measures_each_domain(analyze, two_domains):
    config, checkpoint = two_domains
    code, output, out = analyze('gain_two', checkpoint, '--batches', '2', config=config)
    assert code == 0, output
    domains = [entry['domain'] for entry in tables(out)['gradients']['values']]
    assert sorted(domains) == ['day', 'night']
    assert all((out / f'gain_{domain}.png').is_file() for domain in domains)


@pytest.mark.parametrize(
    'words, message',
    [
        (['missing.pth'], 'missing.pth does not exist'),
        (['FIRST', '--cfg-options', 'model.auxiliary.channels=5'], 'no checkpoint of this config'),
        (
            ['FIRST', '--cfg-options', 'train_dataloader.sampler.unlabeled_per_batch=0'],
            '0 unlabeled images',
        ),
    ],
)
def test_bad_input_ends_with_a_sentence(words, message, analyze, checkpoints):
    words = [checkpoints[0] if word == 'FIRST' else word for word in words]
    code, output, _ = analyze('gain_bad', *words, '--batches', '1')
    assert code == 2
    assert 'analyze_gain.py: ' in output and message in output and 'Traceback' not in output


def test_a_network_that_is_no_cct_is_refused(analyze, checkpoints):
    config = ROOT / 'configs/baselines/supervised_toy.py'
    code, output, _ = analyze('gain_bad', checkpoints[0], config=config)
    assert code == 2 and 'expected CCT' in output, output
