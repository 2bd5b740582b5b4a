"""Test-time augmentation behind any pipeline of a source."""

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.registry import TRANSFORMS

PACK = dict(type='PackSegInputs')


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def packed():
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (20, 30, 3), np.uint8)
    results = dict(
        img=image,
        img_path='x.png',
        img_shape=(20, 30),
        ori_shape=(40, 60),
        gt_seg_map=random.integers(0, 5, (40, 60), np.uint8),
    )
    return results, TRANSFORMS.build(PACK)(results)


def test_unpacking_undoes_packing(packed):
    results, sample = packed
    unpacked = TRANSFORMS.build(dict(type='UnpackInputs'))(sample)
    for key, value in results.items():
        assert np.array_equal(unpacked[key], value), key


def test_labels_stay_as_they_are_in_each_version(packed):
    results, sample = packed
    augment = dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=factor, keep_ratio=True) for factor in (0.5, 1.0)],
            [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)],
            [PACK],
        ],
    )
    steps = [TRANSFORMS.build(dict(type='UnpackInputs')), TRANSFORMS.build(augment)]
    versions = steps[1](steps[0](sample))
    for version in versions['data_samples']:
        assert np.array_equal(version.gt_sem_seg.data[0], results['gt_seg_map'])
        assert version.metainfo['ori_shape'] == (40, 60)
    shapes = [tuple(image.shape) for image in versions['inputs']]
    assert shapes == [(3, 10, 15)] * 2 + [(3, 20, 30)] * 2
    same, mirrored = versions['inputs'][2:]
    assert np.array_equal(same.permute(1, 2, 0), results['img'])
    assert np.array_equal(mirrored.permute(1, 2, 0), results['img'][:, ::-1])
    assert [s.metainfo['flip'] for s in versions['data_samples']] == [False, True] * 2
