"""Evaluation as a user starts it, see ``conftest.py``: ``tools/test.py CONFIG CHECKPOINT``."""

import json

import cv2
import numpy as np
import pytest
from tiny_network import CONSTANT

from cct_mm.datasets.toy_scenes import DOMAINS


@pytest.fixture(scope='module')
def checkpoint(straight):
    return straight.work_dir / 'iter_6.pth'


def scores_of_a_constant(tools, domain):
    """The IoU of each class that occurs in the domain's test images, in percent."""
    paths = (tools.root / 'data/ToyScenes' / domain / 'testannot').glob('*.png')
    labels = np.stack([cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths])
    shares = {
        name: 100 * (labels == label).mean()
        for label, name in enumerate(DOMAINS[domain]['classes'])
        if (labels == label).any()
    }
    return {name: share * (name == CONSTANT[domain]) for name, share in shares.items()}


class TestEvaluation:
    def test_on_val_writes_what_training_validated(self, tools, straight, checkpoint):
        out = tools.root / 'val.json'
        run = tools.fork(
            'tools/test.py', checkpoint, '--split', 'val', '--out', out, work_dir='val'
        )
        assert run.code == 0, run.output
        metrics, expected = json.loads(out.read_text()), straight.scalars[-1]
        classes = DOMAINS['day']['classes']
        names = ['mIoU', 'day/mIoU', *(f'day/IoU.{name}' for name in classes)]
        assert {name: metrics[name] for name in names} == {name: expected[name] for name in names}

    def test_is_on_the_test_images_unless_told_otherwise(self, tools, straight, checkpoint):
        out = tools.root / 'test.json'
        run = tools.fork('tools/test.py', checkpoint, '--out', out, work_dir='test')
        assert run.code == 0, run.output
        assert json.loads(out.read_text())['mIoU'] != straight.scalars[-1]['mIoU']

    def test_of_a_missing_checkpoint_names_it(self, tools):
        run = tools.start('tools/test.py', 'no.pth', work_dir='none')
        assert run.code == 2
        for part in ('checkpoint no.pth does not exist', '.pth file', 'tools/train.py'):
            assert part in run.output

    @pytest.mark.parametrize('option', [(), ('--split', 'val', '--domain', 'day'), ('--tta',)])
    def test_of_a_split_that_the_config_does_not_have_names_it(self, tools, checkpoint, option):
        split = 'val' if 'val' in option else 'test'
        config = tools.root / f'no_{split}.py'
        missing = ' = '.join(f'{split}_{part}' for part in ('dataloader', 'cfg', 'evaluator'))
        config.write_text(f'{tools.config.read_text()}\n{missing} = None\n')
        run = tools.fork('tools/test.py', checkpoint, *option, work_dir='no_split', config=config)
        assert run.code == 1
        assert f'--split {split}: {config} has no {split}_dataloader' in run.output
        assert not (tools.root / 'no_split').exists()

    def test_scores_of_a_known_checkpoint(self, tools, two_domains):
        config, path = two_domains
        out = tools.root / 'constant.json'
        run = tools.fork('tools/test.py', path, '--out', out, work_dir='constant', config=config)
        assert run.code == 0, run.output
        metrics = json.loads(out.read_text())
        means = []
        for domain in DOMAINS:
            expected = scores_of_a_constant(tools, domain)
            for name in DOMAINS[domain]['classes']:
                # The IoU of a class that occurs nowhere is null.
                value = pytest.approx(expected[name], abs=0.01) if name in expected else None
                assert metrics[f'{domain}/IoU.{name}'] == value, name
            means.append(np.mean(list(expected.values())))
            assert metrics[f'{domain}/mIoU'] == pytest.approx(means[-1], abs=0.01)
        assert metrics['mIoU'] == pytest.approx(np.mean(means), abs=0.01)

    def test_one_domain_alone_has_the_scores_that_it_has_beside_the_other(self, tools, two_domains):
        config, path = two_domains
        out = tools.root / 'night.json'
        run = tools.fork(
            *('tools/test.py', path, '--domain', 'night', '--out', out),
            work_dir='night',
            config=config,
        )
        assert run.code == 0, run.output
        metrics = json.loads(out.read_text())
        assert not any(name.startswith('day/') for name in metrics)
        expected = scores_of_a_constant(tools, 'night')
        assert metrics['night/IoU.sky'] == pytest.approx(expected['sky'], abs=0.01)
        assert metrics['mIoU'] == metrics['night/mIoU']

    def test_of_a_wrong_domain_names_it_and_those_that_exist(self, tools, two_domains):
        config, path = two_domains
        run = tools.fork('tools/test.py', path, '--domain', 'dusk', work_dir='dusk', config=config)
        assert run.code == 1
        for part in ('--domain dusk', str(config), 'expected one of day, night'):
            assert part in run.output
        assert not run.work_dir.exists()
