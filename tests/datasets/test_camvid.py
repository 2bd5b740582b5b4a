"""CamVid: 11 classes, void, subsets of classes, and the files as they are."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

import cct_mm.datasets.transforms  # noqa: F401
from cct_mm.datasets.camvid import CamVidDataset

DATA = Path(os.environ.get('CCT_MM_DATA', Path(__file__).parents[2] / 'data')) / 'CamVid'
SPLITS = Path(__file__).parents[2] / 'configs/_base_/domains/splits/camvid'
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f'CamVid is not in {DATA.parent}; set CCT_MM_DATA'
)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def root(tmp_path):
    """One image whose mask holds every label of the SegNet layout, 0 to 11, and 255."""
    mask = np.array([*range(12), 255, 255], np.uint8).reshape(2, 7)
    for folder, array in (('train', np.zeros((2, 7, 3), np.uint8)), ('trainannot', mask)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'x.png'), array)
    (tmp_path / 'train.txt').write_text('train/x.png trainannot/x.png\n')
    return tmp_path


def load(root, annotations='LoadCheckedAnnotations', **kwargs):
    pipeline = [{'type': 'LoadImageFromFile'}, {'type': annotations}]
    return CamVidDataset(
        data_root=str(root), ann_file='train.txt', pipeline=pipeline, serialize_data=False, **kwargs
    )[0]['gt_seg_map']


def test_is_registered_in_mmseg():
    assert DATASETS.get('CamVidDataset') is CamVidDataset
    assert len(CamVidDataset.METAINFO['classes']) == len(CamVidDataset.METAINFO['palette']) == 11


@pytest.mark.parametrize('annotations', ['LoadAnnotations', 'LoadCheckedAnnotations'])
class TestLabels:
    """The mapping is the dataset's, so mmseg's own loading and the checked one agree."""

    def test_void_is_ignored(self, root, annotations):
        assert load(root, annotations).ravel().tolist() == [*range(11), 255, 255, 255]

    def test_subset_of_classes_ignores_the_others_and_void(self, root, annotations):
        labels = load(root, annotations, metainfo={'classes': ('car', 'sky')})
        expected = [255] * 14
        expected[8], expected[0] = 0, 1
        assert labels.ravel().tolist() == expected


def test_palette_follows_the_subset(root):
    dataset = CamVidDataset(
        data_root=str(root), ann_file='train.txt', metainfo={'classes': ('car', 'sky')}
    )
    assert dataset.metainfo['palette'] == [[64, 0, 128], [128, 128, 128]]
    assert dataset.get_data_info(0)['num_classes'] == 2


def test_label_of_the_32_class_version_names_the_converter(root):
    cv2.imwrite(str(root / 'trainannot/x.png'), np.full((2, 7), 27, np.uint8))
    with pytest.raises(
        ValueError,
        match=r'camvid: label 27 in .*trainannot/x\.png, expected 0-10 or 255 \(11 read as 255\); '
        r'is this the 32-class CamVid\? run tools/dataset_converters/camvid\.py',
    ):
        load(root)


@needs_data
@pytest.mark.realdata
class TestRealCamVid:
    @pytest.mark.parametrize(('split', 'size'), [('train', 367), ('val', 101), ('test', 233)])
    def test_has_the_official_sizes(self, split, size):
        dataset = CamVidDataset(data_root=str(DATA), ann_file=f'{split}.txt', serialize_data=False)
        assert len(dataset) == size

    def test_labels_are_classes_or_ignored(self):
        pipeline = [{'type': 'LoadCheckedImage'}, {'type': 'LoadCheckedAnnotations'}]
        dataset = CamVidDataset(data_root=str(DATA), ann_file='val.txt', pipeline=pipeline)
        found = set()
        for sample in (dataset[i] for i in range(0, 101, 4)):
            assert sample['img'].shape == (360, 480, 3)
            found |= set(np.unique(sample['gt_seg_map']).tolist())
        assert found == {*range(11), 255}

    @pytest.mark.parametrize('size', [20, 50, 100])
    def test_shipped_splits_fit_the_data(self, size):
        labeled = CamVidDataset(
            data_root=str(DATA),
            ann_file=str(SPLITS / f'n{size}.txt'),
            labeled=True,
            serialize_data=False,
        )
        rest = CamVidDataset(
            data_root=str(DATA),
            ann_file=str(SPLITS / f'n{size}_unlabeled.txt'),
            serialize_data=False,
        )
        images = [d.get_data_info(i)['img_path'] for d in (labeled, rest) for i in range(len(d))]
        assert len(labeled) == size
        assert len(set(images)) == len(images) == 367
        assert 'seg_map_path' not in rest.get_data_info(0)
