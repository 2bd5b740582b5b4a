"""SUN RGB-D: 13 classes from labels 1-13, void, subsets of classes, and the files as they are."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

import cct_mm.datasets.transforms  # noqa: F401
from cct_mm.datasets.sunrgbd import SUNRGBDDataset

DATA = Path(os.environ.get('CCT_MM_DATA', Path(__file__).parents[2] / 'data')) / 'SUNRGBD'
SPLITS = Path(__file__).parents[2] / 'configs/_base_/domains/splits/sunrgbd'
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f'SUNRGBD is not in {DATA.parent}; set CCT_MM_DATA'
)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def root(tmp_path):
    """One image whose mask holds every label of the files, 0 to 13, and 255."""
    mask = np.array([*range(14), 255, 255], np.uint8).reshape(2, 8)
    for path, array in (
        ('image/train/x.jpg', np.zeros((2, 8, 3), np.uint8)),
        ('label13/train/x.png', mask),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / path), array)
    (tmp_path / 'train.txt').write_text('image/train/x.jpg label13/train/x.png\n')
    return tmp_path


def load(root, annotations='LoadCheckedAnnotations', **kwargs):
    pipeline = [{'type': 'LoadImageFromFile'}, {'type': annotations}]
    return SUNRGBDDataset(
        data_root=str(root), ann_file='train.txt', pipeline=pipeline, serialize_data=False, **kwargs
    )[0]['gt_seg_map']


def test_is_registered_in_mmseg():
    assert DATASETS.get('SUNRGBDDataset') is SUNRGBDDataset
    palette = SUNRGBDDataset.METAINFO['palette']
    assert len(SUNRGBDDataset.METAINFO['classes']) == len({*map(tuple, palette)}) == 13


@pytest.mark.parametrize('annotations', ['LoadAnnotations', 'LoadCheckedAnnotations'])
class TestLabels:
    """The mapping is the dataset's, so mmseg's own loading and the checked one agree."""

    def test_zero_is_void_and_the_rest_moves_down(self, root, annotations):
        assert load(root, annotations).ravel().tolist() == [255, *range(13), 255, 255]

    def test_subset_of_classes_ignores_the_others_and_void(self, root, annotations):
        labels = load(root, annotations, metainfo={'classes': ('sofa', 'bed', 'window')})
        expected = [255] * 16
        expected[9], expected[1], expected[13] = 0, 1, 2
        assert labels.ravel().tolist() == expected


def test_masks_that_start_at_class_0_are_read_on_demand(root):
    mask = np.array([*range(13), 255], np.uint8).reshape(2, 7).repeat(2, 1)[:, :8]
    cv2.imwrite(str(root / 'label13/train/x.png'), mask)
    np.testing.assert_array_equal(load(root, reduce_zero_label=False), mask)


def test_label_of_the_37_class_version_names_the_converter(root):
    cv2.imwrite(str(root / 'label13/train/x.png'), np.full((2, 8), 37, np.uint8))
    with pytest.raises(
        ValueError,
        match=r'sunrgbd: label 37 in .*x\.png, expected 1-13 or 255 \(0 read as 255\); '
        r'is this the 37-class SUN RGB-D\? run tools/dataset_converters/sunrgbd\.py',
    ):
        load(root)


def test_missing_list_names_the_converter(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'sunrgbd: .*tools/dataset_converters/sunrgbd\.py'):
        SUNRGBDDataset(data_root=str(tmp_path), ann_file='train.txt')


@needs_data
@pytest.mark.realdata
class TestRealNYUv2:
    @pytest.mark.parametrize(
        ('split', 'size'), [('train', 695), ('val', 100), ('test', 654), ('n50', 50), ('n100', 100)]
    )
    def test_shipped_lists_fit_the_data(self, split, size):
        dataset = SUNRGBDDataset(
            data_root=str(DATA),
            ann_file=str(SPLITS / f'{split}.txt'),
            labeled=True,
            serialize_data=False,
        )
        assert len(dataset) == size

    def test_labels_are_classes_or_ignored(self):
        pipeline = [{'type': 'LoadCheckedImage'}, {'type': 'LoadCheckedAnnotations'}]
        dataset = SUNRGBDDataset(
            data_root=str(DATA), ann_file=str(SPLITS / 'val.txt'), pipeline=pipeline
        )
        found = set()
        for sample in (dataset[i] for i in range(0, 100, 2)):
            assert sample['img'].shape == (240, 320, 3)
            found |= set(np.unique(sample['gt_seg_map']).tolist())
        assert found == {*range(13), 255}
