"""The tool as a user calls it: a classifier, a segmentor, and what it refuses."""

import itertools
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS

import cct_mm  # noqa: F401  registers everything

ROOT = Path(__file__).parents[2]
TOOL = 'tools/gen_pseudo_labels.py'
CLASSES = ('background', 'leaf', 'stem')

CONFIG = """
default_scope = 'mmseg'
classes = ('background', 'leaf', 'stem')
source = dict(
    type='ListDataset',
    data_root={root!r},
    data_prefix=dict(img_path='images'),
    labeled=False,
    metainfo=dict(classes=classes, palette=[[0, 0, 0], [0, 200, 0], [200, 0, 0]]),
    pipeline=[
        dict(type='LoadCheckedImage'),
        dict(type='LoadImageLabels', classes=classes, path={root!r} + '/labels.json'),
        dict(type='Resize', scale=(64, 48), keep_ratio=False),
        dict(type='PackSegInputs', meta_keys=('img_path', 'img_shape', 'image_labels')),
    ],
)
model = dict(
    type={model!r},
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127.0] * 3, std=[64.0] * 3, size_divisor=16,
        test_cfg=dict(size_divisor=16),
    ),
    backbone=dict(
        type='ResNetV1c', depth=18, stem_channels=8, base_channels=8, num_stages=3,
        strides=(1, 2, 1), dilations=(1, 1, 2), out_indices=(0, 1, 2),
    ),
    decode_head=dict(type={head!r}, in_channels=32),
    domains=dict(plants=dict(classes=classes)),
)
train_dataloader = dict(
    dataset=dict(type='MultiDomainDataset', domains=dict(plants=dict(weak=source))),
)
val_dataloader = dict(
    dataset=dict(type='MultiDomainDataset', domains=dict(plants=dict(labeled=source))),
)
"""
KINDS = {
    'classifier': dict(model='ImageClassifier', head='ClassificationHead'),
    'segmentor': dict(model='SupervisedSegmentor', head='SubPixelHead'),
}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Four images with image-level labels, and two networks with their checkpoints."""
    root = tmp_path_factory.mktemp('plants')
    rng = np.random.default_rng(0)
    (root / 'images').mkdir()
    for i in range(4):
        image = rng.integers(0, 256, (40 + 4 * i, 56, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f'images/{i}.jpg'), image)
    labels = {'0': ['leaf'], '1': ['leaf', 'stem'], '2': [], '3': ['stem']}
    (root / 'labels.json').write_text(json.dumps(labels))
    with DefaultScope.overwrite_default_scope('mmseg'):
        for kind, names in KINDS.items():
            (root / f'{kind}.py').write_text(CONFIG.format(root=str(root), **names))
            torch.manual_seed(0)
            model = MODELS.build(Config.fromfile(root / f'{kind}.py').model)
            torch.save({'state_dict': model.state_dict()}, root / f'{kind}.pth')
    return root


@pytest.fixture
def tool(root, monkeypatch, capfd):
    """Call the tool in this process; what it prints, or the message with which it ends."""

    def call(kind, out, *options, path=TOOL, checkpoint=True):
        argv = [path, f'{root}/{kind}.py', '--out', f'{root}/{out}', *options]
        argv[2:2] = [f'{root}/{kind}.pth'] if checkpoint else []
        monkeypatch.setattr(sys, 'argv', argv)
        with DefaultScope.overwrite_default_scope('mmseg'):
            try:
                runpy.run_path(str(ROOT / path), run_name='__main__')
            except SystemExit as end:
                if end.code:
                    return f'{end.code} {capfd.readouterr().err}'
        return capfd.readouterr().out

    return call


def labels_of(folder):
    files = {path.stem: path for path in folder.glob('?.png')}
    return {name: np.asarray(PIL.Image.open(path)) for name, path in sorted(files.items())}


class TestClassifier:
    def test_labels_every_image_by_its_classes_and_draws_a_preview(self, root, tool):
        # A tuple, which JSON does not know.
        scale = 'val_dataloader.dataset.domains.plants.labeled.pipeline.2.scale=(60, 44)'
        options = ('--no-crf', '--scales', '0.5', '1', '--cfg-options', scale)
        output = tool('classifier', 'cam', '--preview', '4', *options)
        assert '4 written, 0 there before, 0 skipped, of 4' in output
        labels = labels_of(root / 'cam')
        assert [seen.shape for seen in labels.values()] == [(40, 56), (44, 56), (48, 56), (52, 56)]
        allowed = ({0, 1, 255}, {0, 1, 2, 255}, {0}, {0, 2, 255})
        for found, values in zip(labels.values(), allowed, strict=True):
            assert set(np.unique(found)) <= values
        # Three in a row, and the fourth beside white.
        four = cv2.imread(str(root / 'cam/preview.jpg'))
        height, width = (side // parts for side, parts in zip(four.shape, (2, 3), strict=False))
        assert four[height + 20 :, :width].std() > 10
        assert (four[height + 20 :, width + 10 :] > 250).all()

        # An image without any label shows nothing.
        first, *others = sorted((root / 'cam').glob('*.png'))
        self.remove_labels(first)
        tool('classifier', 'cam', '--preview', '4', *options)
        three = cv2.imread(str(root / 'cam/preview.jpg'))
        assert three.shape[1] == four.shape[1]
        assert three.shape[0] < four.shape[0]
        for file in others:
            self.remove_labels(file)
        assert 'Preview: none' in tool('classifier', 'cam', '--preview', '4', *options)
        assert not (root / 'cam/preview.jpg').exists()

        assert '0 written, 4 there before' in tool('classifier', 'cam', *options)

    def remove_labels(self, file):
        with PIL.Image.open(file) as picture:
            nothing = PIL.Image.new('P', picture.size, 255)
            nothing.putpalette(picture.getpalette())
        nothing.save(file)

    def test_labels_are_what_a_weak_source_loads(self, root, tool):
        tool('classifier', 'loaded', '--no-crf', '--scales', '1')
        cfg = Config.fromfile(root / 'classifier.py')
        source = cfg.source | dict(
            labeled=True,
            data_root=None,
            data_prefix=dict(img_path=f'{root}/images', seg_map_path=f'{root}/loaded'),
            pipeline=[dict(type='LoadCheckedImage'), dict(type='LoadCheckedAnnotations')],
        )
        with DefaultScope.overwrite_default_scope('mmseg'):
            dataset = DATASETS.build(source)
        for i, found in enumerate(labels_of(root / 'loaded').values()):
            assert (dataset[i]['gt_seg_map'] == found).all()

    def test_other_settings_do_not_mix_into_a_folder(self, tool):
        tool('classifier', 'kept', '--no-crf', '--scales', '1')
        message = tool('classifier', 'kept', '--no-crf', '--scales', '1', '--theta-fg', '0.4')
        assert 'pseudo-labels of other settings' in message
        assert '0.3' in message
        assert '0.4' in message

    def test_go_on_only_with_a_config_that_gives_the_same(self, root, tool):
        tool('classifier', 'config', '--no-crf', '--scales', '1')
        (root / 'changed.pth').symlink_to(root / 'classifier.pth')
        config = (root / 'classifier.py').read_text()

        def with_changed(old, new):
            assert old in config
            (root / 'changed.py').write_text(config.replace(old, new))
            return tool('changed', 'config', '--no-crf', '--scales', '1')

        resize = "dict(type='Resize', scale=(64, 48), keep_ratio=False),"
        flip = "dict(type='RandomFlip', prob=0.5),"
        assert '0 written, 4 there before' in with_changed(resize, resize + flip)
        changes = {
            'validation resize': ('scale=(64, 48)', 'scale=(32, 24)'),
            'data_preprocessor': ('mean=[127.0] * 3', 'mean=[99.0] * 3'),
            'loading': ("'LoadCheckedImage'", "'LoadCheckedImage', imdecode_backend='pillow'"),
            'values of the classes': ('labeled=False', 'labeled=False, reduce_zero_label=True'),
            'network': ('dilations=(1, 1, 2)', 'dilations=(1, 1, 1)'),
        }
        for key, change in changes.items():
            message = with_changed(*change)
            assert 'pseudo-labels of other settings' in message
            assert [line.split(':')[0] for line in message.splitlines()[1:-1]] == [f'  {key}']


@pytest.mark.parametrize('preset', ['paper', 'released'])
def test_dense_crf_refines_by_either_preset(root, tool, preset):
    pytest.importorskip('pydensecrf', reason='the extra crf is not installed')
    options = ('--scales', '1', '--preset', preset)
    assert '4 written' in tool('classifier', f'crf-{preset}', *options)
    tool('classifier', f'no-crf-{preset}', *options, '--no-crf')
    with_crf, without = (labels_of(root / f'{kind}-{preset}') for kind in ('crf', 'no-crf'))
    assert any((with_crf[name] != without[name]).any() for name in without)
    for name, allowed in zip(with_crf, ({0, 1}, {0, 1, 2}, {0}, {0, 2}), strict=True):
        assert set(np.unique(with_crf[name])) <= allowed | {255}


class TestSegmentor:
    def test_labels_what_it_is_sure_of(self, root, tool):
        for out, confidence in (('all', '0'), ('none', '1')):
            options = ('--from-segmentor', '--no-crf', '--confidence', confidence)
            assert '4 written' in tool('segmentor', out, *options)
        assert all((found == 255).all() for found in labels_of(root / 'none').values())
        allowed = ({0, 1, 255}, {0, 1, 2}, {0, 255}, {0, 2, 255})
        for found, values in zip(labels_of(root / 'all').values(), allowed, strict=True):
            assert set(np.unique(found)) <= values

    def test_takes_nothing_for_background_where_an_image_shows_other_classes(self, root, tool):
        key = 'train_dataloader.dataset.domains.plants.weak.pipeline.1'
        found = {}
        for out, shown in (('complete', ['leaf']), ('others', ['leaf', 'rock'])):
            labels = {str(i): shown for i in range(4)}
            (root / f'{out}.json').write_text(json.dumps(labels))
            options = (f'{key}.path={root}/{out}.json', f'{key}.file_classes=[leaf,rock,stem]')
            tool('segmentor', out, '--from-segmentor', '--no-crf', '--confidence', '0',
                 '--cfg-options', *options)  # fmt: skip
            found[out] = labels_of(root / out)
        assert any((labels == 0).any() for labels in found['complete'].values())
        for name, labels in found['others'].items():
            complete = found['complete'][name]
            assert (labels == np.where(complete == 0, 255, complete)).all()


def test_report_of_the_labels_themselves_as_truth_is_perfect_at_their_thresholds(root, tool):
    tool('classifier', 'truth', '--no-crf', '--scales', '1')
    options = ('--no-crf', '--scales', '1', '--masks', f'{root}/truth')
    output = tool('classifier', 'report', *options, path='tools/report_pseudo_labels.py')
    # Where there is no label, there is no truth either.
    assert '| paper, no CRF | 100.0 | 100.0 | 100.0 | 100.0 |' in output
    assert (root / 'report/report.md').read_text() in output
    assert cv2.imread(str(root / 'report/thresholds.png')) is not None
    counts = json.loads((root / 'report/counts.json').read_text())['counts']
    known = sum((found != 255).sum() for found in labels_of(root / 'truth').values())
    assert np.sum(counts['paper, no CRF']) == known


def test_report_of_label_files_counts_them_as_they_are(root, tool):
    for out, scale in (('truth1', '1'), ('made', '0.5')):
        tool('classifier', out, '--no-crf', '--scales', scale)
    options = ('--masks', f'{root}/truth1', '--labels', f'{root}/made')
    output = tool(
        'classifier',
        'report-files',
        *options,
        path='tools/report_pseudo_labels.py',
        checkpoint=False,
    )
    counts = json.loads((root / 'report-files/counts.json').read_text())['counts']
    expected = np.zeros((3, 4), int)
    for truth, made in zip(
        labels_of(root / 'truth1').values(), labels_of(root / 'made').values(), strict=True
    ):
        for label, own in itertools.product(range(3), (0, 1, 2, 255)):
            expected[label, min(own, 3)] += ((truth == label) & (made == own)).sum()
    assert counts == {'files': expected.tolist()}
    assert '| files |' in output

    next((root / 'made').glob('*.png')).unlink()
    with pytest.raises(AssertionError, match=r'(?s)not found in .*/made'):
        raise AssertionError(
            tool(
                'classifier',
                'report-files',
                *options,
                path='tools/report_pseudo_labels.py',
                checkpoint=False,
            )
        )


class TestRefuses:
    @pytest.mark.parametrize(
        ('kind', 'options', 'sentence'),
        [
            ('segmentor', (), 'is of a SupervisedSegmentor, expected that of an ImageClassifier'),
            (
                'classifier',
                ('--from-segmentor',),
                'ImageClassifier, expected .*segmentor .*--from-segmentor',
            ),
            ('classifier', ('--domain', 'rocks'), '--domain rocks: .*expected one of .*plants'),
            ('segmentor', ('--from-segmentor', '--scales', '1'), '--scales.*--from-segmentor'),
            ('classifier', ('--confidence', '0.5'), '--confidence.*--from-segmentor.*--theta-fg'),
            ('classifier', ('--theta-bg', '0.5'), 'expected 0 <= theta_bg <= theta_fg <= 1'),
            ('classifier', ('--scales', '0'), r'scales .*\[0\.0\], expected .*> 0'),
        ],
        ids=['segmentor', 'classifier', 'domain', 'ignored', 'idle', 'thresholds', 'scales'],
    )
    def test_what_does_not_fit(self, tool, kind, options, sentence):
        with pytest.raises(AssertionError, match=sentence):
            raise AssertionError(tool(kind, 'refused', '--no-crf', *options))

    @pytest.mark.parametrize(
        ('options', 'checkpoint', 'sentence'),
        [
            ((), False, 'expected either a checkpoint or --labels'),
            (('--labels', 'x'), True, 'expected either a checkpoint or --labels'),
            (('--labels', 'x', '--theta-fg', '0.5'), False, '--theta-fg: label files'),
        ],
        ids=['neither', 'both', 'ignored'],
    )
    def test_report_of_what_is_unclear(self, tool, options, checkpoint, sentence):
        path = 'tools/report_pseudo_labels.py'
        with pytest.raises(AssertionError, match=sentence):
            raise AssertionError(
                tool('classifier', 'no', '--masks', 'x', *options, path=path, checkpoint=checkpoint)
            )

    def test_checkpoint_of_another_network(self, root, tool):
        (root / 'segmentor.pth').rename(root / 'kept.pth')
        torch.save(torch.load(root / 'classifier.pth'), root / 'segmentor.pth')
        try:
            message = tool('segmentor', 'refused', '--no-crf', '--from-segmentor')
        finally:
            (root / 'kept.pth').rename(root / 'segmentor.pth')
        assert 'is no checkpoint of this config' in message


def test_processes_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(os, 'cpu_count', lambda: 32)
    monkeypatch.setattr(sys, 'argv', [TOOL, 'config', 'checkpoint', '--out', 'out'])
    parse_args = runpy.run_path(str(ROOT / TOOL))['parse_args']
    assert parse_args().workers == 16
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    assert parse_args().workers == 4


def test_two_processes_share_the_work_and_make_the_same_files(root, tool):
    (root / 'two/.unfinished-3').mkdir(parents=True)
    tool('classifier', 'one', '--no-crf', '--scales', '1')
    command = [sys.executable, TOOL, f'{root}/classifier.py', f'{root}/classifier.pth']
    command += ['--out', f'{root}/two', '--no-crf', '--scales', '1']
    ranks = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, 'RANK': str(rank), 'WORLD_SIZE': '2', 'OMP_NUM_THREADS': '1'},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate()[0] for process in ranks]
    assert all('2 written, 0 there before' in output for output in outputs)
    assert not list((root / 'two').glob('.*'))
    one, two = labels_of(root / 'one'), labels_of(root / 'two')
    assert one.keys() == two.keys()
    assert all((one[name] == two[name]).all() for name in one)
