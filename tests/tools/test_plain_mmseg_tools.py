"""mmseg's own tools on our configs and checkpoints, see ``conftest.py``, as they are installed."""

import importlib.util
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_network import CONSTANT

from cct_mm.datasets.toy_scenes import DOMAINS

MMSEG = Path(importlib.util.find_spec('mmseg').origin).parent / '.mim/tools'
TEST = MMSEG / 'test.py'
BOTH = tuple(DOMAINS)


@pytest.fixture(scope='module')
def trained(tools, straight):
    """A checkpoint of one domain whose predictions nobody knows beforehand."""
    return straight.work_dir / 'iter_6.pth'


def run_tool(tools, name, *arguments):
    """Run a tool that has no --work-dir; return its end."""
    log = tools.root / f'{Path(name).stem}.log'
    log.unlink(missing_ok=True)
    return tools.server.run(log, MMSEG / 'analysis_tools' / name, *arguments)


def metrics_of(run):
    """What mmseg's test.py has written."""
    assert run.code == 0, run.output
    (path,) = run.work_dir.glob('*/*.json')
    return json.loads(path.read_text())


class TestTest:
    def test_writes_predictions_into_a_folder_for_each_domain(self, tools, two_domains):
        config, path = two_domains
        out = tools.root / 'predicted'
        run = tools.fork(TEST, path, '--out', out, work_dir='mmseg_out', config=config)
        assert run.code == 0, run.output
        for domain in BOTH:
            images = tools.root / 'data/ToyScenes' / domain / 'test'
            names = {path.name for path in images.iterdir()}
            assert {path.name for path in (out / domain).iterdir()} == names
            for name in names:
                labels = cv2.imread(str(out / domain / name), cv2.IMREAD_UNCHANGED)
                assert labels.shape == cv2.imread(str(images / name)).shape[:2]
                assert set(labels.flat) == {DOMAINS[domain]['classes'].index(CONSTANT[domain])}

    def test_augmented_is_the_same_as_ours(self, tools, trained):
        theirs = metrics_of(tools.fork(TEST, trained, '--tta', work_dir='mmseg_tta'))
        out, predicted = tools.root / 'tta.json', tools.root / 'tta'
        run = tools.fork(
            *('tools/test.py', trained, '--tta', '--out', out, '--pred-dir', predicted),
            work_dir='our_tta',
        )
        assert run.code == 0, run.output
        ours = json.loads(out.read_text())
        assert ours['mIoU'] == theirs['mIoU']
        # One domain: as mmseg lays them out.
        assert len(list(predicted.glob('*.png'))) == 3

    def test_augmented_goes_by_the_domain_of_each_image(self, tools, two_domains):
        config, path = two_domains
        runs = [
            tools.fork(TEST, path, *arguments, work_dir=f'constant{i}', config=config)
            for i, arguments in enumerate([['--tta'], ()])
        ]
        augmented, plain = (metrics_of(run) for run in runs)
        names = [f'{domain}/IoU.{CONSTANT[domain]}' for domain in BOTH]
        # Whatever the scale, a constant is a constant.
        assert [augmented[name] for name in names] == [plain[name] for name in names]

    def test_draws_each_image_with_its_domains_name(self, tools, two_domains):
        config, path = two_domains
        out = tools.root / 'shown'
        run = tools.fork(TEST, path, '--show-dir', out, work_dir='mmseg_show', config=config)
        assert run.code == 0, run.output
        names = sorted(path.name.split('_test_')[0] for path in out.rglob('vis_image/*.png'))
        assert names == ['day'] * 3 + ['night'] * 3

    def test_of_a_config_without_augmentation_is_told(self, tools, trained):
        config = tools.root / 'no_tta.py'
        config.write_text(tools.config.read_text() + '\ntta_pipeline = None\n')
        run = tools.fork('tools/test.py', trained, '--tta', work_dir='no_tta', config=config)
        assert run.code == 1
        assert '--tta: the config has no tta_pipeline' in run.output

    def test_of_a_metric_that_writes_nothing_is_told(self, tools, trained):
        run = tools.fork(
            *('tools/test.py', trained, '--pred-dir', tools.root / 'none'),
            *('--cfg-options', 'test_evaluator.type=ImageLevelMetric'),
            work_dir='no_metric',
        )
        assert run.code == 1
        assert 'expected a DomainIoUMetric' in run.output


class TestGetFlops:
    def flops(self, run):
        assert run.code == 0, run.output
        return re.search(r'Flops: (\S+)', run.output)[1]

    def test_are_those_of_one_domain(self, tools, two_domains):
        config, _ = two_domains
        shape = ('--shape', 96, 128)
        one = run_tool(tools, 'get_flops.py', tools.config, *shape)
        options = ('--cfg-options', 'model.default_domain=night')
        night = run_tool(tools, 'get_flops.py', config, *shape, *options)
        assert self.flops(one) == self.flops(night)

    def test_without_a_domain_names_the_ways(self, tools, two_domains):
        run = run_tool(tools, 'get_flops.py', two_domains[0], '--shape', 96, 128)
        assert run.code != 0
        for part in ("model.default_domain = 'day'", '--cfg-options model.default_domain=day'):
            assert part in run.output.splitlines()[-1]


def test_browse_dataset_draws_every_image_with_its_domains_palette(tools, two_domains):
    out = tools.root / 'browsed'
    run = run_tool(
        *(tools, 'browse_dataset.py', two_domains[0], '--not-show', '--output-dir', out),
        *('--cfg-options', 'visualizer.alpha=1.0'),
    )
    assert run.code == 0, run.output
    for domain in BOTH:
        folder = tools.root / 'data/ToyScenes' / domain
        lists = [(folder / f'{name}.txt').read_text() for name in ('n12', 'n12_unlabeled')]
        lines = [set(text.split('\n')) - {''} for text in lists]
        assert len(list(out.glob(f'{domain}_*'))) == sum(map(len, lines))
        palette = np.array(DOMAINS[domain]['palette'])
        for line in lines[0]:
            name = Path(re.split(r'\s', line)[0]).name
            picture = cv2.imread(str(out / f'{domain}_{name}'))[..., ::-1]
            painted = (picture[:, :, None] == palette).all(-1).any(-1)
            # All but the names of the classes.
            assert painted.mean() > 0.5, name


def test_analyze_logs_draws_our_logs(tools, two_domains):
    pytest.importorskip('seaborn')
    (log,) = (tools.root / 'two_domains').glob('*/vis_data/scalars.json')
    out = tools.root / 'curves.png'
    keys = ('mIoU', 'night/mIoU', 'loss')
    run = run_tool(tools, 'analyze_logs.py', log, '--keys', *keys, '--out', out, '--backend', 'agg')
    assert run.code == 0, run.output
    assert cv2.imread(str(out)) is not None


def test_training_leaves_pictures_of_each_validation(straight):
    names = {path.name for path in straight.work_dir.rglob('vis_image/*.png')}
    assert names == {'day_val_000_6.png', 'day_val_001_6.png'}
