"""Images of one and of four channels: training by CCT, validation, predictions."""

import re
import shutil

import cv2
import numpy as np
import PIL.Image
import pytest

CONFIG = """
_base_ = 'tiny.py'
data_root = '{data}'
load = dict(type='LoadCheckedImage', channels={channels}, max_value={max_value})
masks, flip = dict(type='LoadCheckedAnnotations'), dict(type='RandomFlip', prob=0.5)
# What OpenCV resizes loses a single channel's axis.
size, pack = dict(type='Resize', scale=(64, 48)), dict(type='PackSegInputs')
model = dict(
    data_preprocessor=dict(mean=[127.0] * {channels}, std=[64.0] * {channels}),
    backbone=dict(in_channels={channels}),
)
train_dataloader = dict(
    dataset=dict(
        domains=dict(
            day=dict(
                labeled=dict(data_root=data_root, pipeline=[load, masks, size, flip, pack]),
                unlabeled=dict(data_root=data_root, pipeline=[load, size, flip, pack]),
            )
        )
    )
)
evaluated = dict(data_root=data_root, pipeline=[load, size, masks, pack])
val_dataloader = dict(dataset=dict(domains=dict(day=dict(labeled=evaluated))))
test_dataloader = val_dataloader
visualization = dict(type='DomainVisualizationHook', draw=True, interval=1)
default_hooks = dict(visualization=visualization)
"""


def gray_of_12_bits(image):
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint16) * 16


def with_infrared(image):
    return np.dstack([image, 255 - image[..., 0]])


@pytest.fixture(scope='module', params=[(1, gray_of_12_bits), (4, with_infrared)])
def config(request, tools):
    """A config for a copy of the toy scenes whose images have other channels."""
    channels, convert = request.param
    data = tools.root / f'data-{channels}/ToyScenes/day'
    shutil.copytree(tools.root / 'data/ToyScenes/day', data)
    for path in data.rglob('*.png'):
        if not path.parent.name.endswith('annot'):
            cv2.imwrite(str(path), convert(cv2.imread(str(path))))
    path = tools.root / f'channels_{channels}.py'
    max_value = 255 * 16 if channels == 1 else None
    path.write_text(CONFIG.format(data=data, channels=channels, max_value=max_value))
    return path


@pytest.fixture(scope='module')
def run(tools, config):
    return tools.fork('tools/train.py', config=config, work_dir=config.stem)


def test_are_trained_on_and_validated(run):
    assert run.code == 0, run.output
    assert all(np.isfinite(line['loss']) for line in run.losses.values())
    assert any('mIoU' in line for line in run.scalars)
    assert list(run.work_dir.glob('*/vis_data/vis_image/*'))


def test_are_predicted_on(run, tools, config):
    images = config.parent / config.stem.replace('channels_', 'data-') / 'ToyScenes/day/val'
    out = tools.root / f'{config.stem}-predictions'
    log = tools.root / f'{config.stem}-predict.log'
    tool = tools.server.run(
        log, 'tools/predict.py', config, run.work_dir / 'iter_6.pth', images, '--out', out
    )
    assert tool.code == 0, tool.output
    names = {path.stem for path in images.iterdir()}
    assert {path.stem for path in (out / 'labels').glob('*.png')} == names
    for path in (out / 'overlays').glob('*.jpg'):
        with PIL.Image.open(path) as picture:
            assert picture.mode == 'RGB'
            # More than one tone of the image shines through.
            assert np.asarray(picture).std() > 5


@pytest.mark.parametrize(
    ('option', 'sentence'),
    [
        (
            'model.backbone.in_channels=3',
            'the backbone takes 3, .*set model.backbone.in_ch',
        ),
        ('model.data_preprocessor.mean=[1,2,3]', 'data_preprocessor(.|: )mean has 3 values'),
        (
            'train_dataloader.dataset.domains.day.unlabeled.pipeline.3.type=PhotoMetricDistortion',
            'day, unlabeled source: PhotoMetricDistortion distorts colors',
        ),
    ],
)
def test_what_does_not_agree_is_named(tools, config, option, sentence):
    run = tools.fork(
        'tools/train.py', '--cfg-options', option, config=config, work_dir=f'{config.stem}-wrong'
    )
    assert run.code == 1
    assert re.search(sentence, run.output), run.output
