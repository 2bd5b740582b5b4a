"""The analysis as a user starts it, see ``conftest.py``, on toy scenes."""

import json

import cv2
import pytest

from cct_mm.datasets.toy_scenes import DOMAINS


@pytest.fixture(scope='module')
def analyze(tools, two_domains):
    """Runs the tool on the network of two domains; returns code, output and folder."""
    config, checkpoint = two_domains

    def run(name, *arguments, checkpoint=checkpoint):
        log, out = tools.root / f'{name}.log', tools.root / name
        command = [config, *([checkpoint] if checkpoint else []), '--out', out, '--split', 'val']
        script = 'tools/analyze_cluster_assumption.py'
        tool = tools.server.run(log, script, *command, *arguments)
        return tool.code, tool.output, out

    return run


@pytest.fixture(scope='module')
def results(analyze):
    """All images of all domains."""
    code, output, out = analyze('all', '--domain', 'all', '--pictures', 2)
    assert code == 0, output
    return output, out


def read(out, domain):
    return json.loads((out / f'{domain}.json').read_text())


def test_writes_numbers_and_pictures_of_each_domain(results):
    output, out = results
    assert str(out) in output.splitlines()[-1]
    for domain in DOMAINS:
        found = read(out, domain)
        assert (found['domain'], found['images'], found['split']) == (domain, 3, 'val')
        assert 0 < found['boundary_share'] < 1
        # This network has no neck: its encoder's last map is z.
        assert list(found['levels']) == ['input', 'z']
        for level in found['levels'].values():
            assert level['ratio'] == pytest.approx(level['boundary'] / level['inside'])
            assert 0 <= level['auc'] <= 1
        assert cv2.imread(str(out / f'{domain}.png')) is not None


def test_a_batch_is_its_images(results, analyze):
    code, output, out = analyze(
        'batch', '--domain', 'day', '--pictures', 0, '--cfg-options', 'val_dataloader.batch_size=2'
    )
    assert code == 0, output
    assert [path.name for path in out.iterdir()] == ['day.json']
    one, several = read(results[1], 'day'), read(out, 'day')
    for level, expected in one.pop('levels').items():
        assert several['levels'][level] == pytest.approx(expected, rel=1e-5)
    del several['levels']
    assert several == one


def test_without_a_checkpoint_looks_at_the_encoder_before_training(analyze):
    arguments = ['--domain', 'night', '--limit', 1, '--pictures', 0]
    code, output, out = analyze('untrained', *arguments, checkpoint=None)
    assert code == 0, output
    found = read(out, 'night')
    assert (found['checkpoint'], found['images']) == (None, 1)


def test_what_cannot_be_ends_with_a_sentence(analyze):
    for arguments, named in (
        (('--domain', 'dusk'), 'dusk'),
        ((), 'day, night'),
        (('--domain', 'day', '--limit', 0), '--limit 0'),
    ):
        code, output, _ = analyze('wrong', *arguments)
        assert code != 0
        assert named in output.splitlines()[-1]
        assert 'Traceback' not in output
