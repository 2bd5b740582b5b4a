"""Sources inside mmengine's and mmseg's wrappers: the right images, and checks of every part."""

import re

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from cct_mm.datasets import MultiDomainDataset, SampleIndex, leaf_datasets

METAINFO = dict(classes=('a', 'b'), palette=[[0, 0, 0], [9, 9, 9]])
LOAD, PACK = dict(type='LoadCheckedImage'), dict(type='PackSegInputs')
CROP = dict(type='RandomCrop', crop_size=(4, 4), cat_max_ratio=0.75)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def folder(tmp_path):
    """Build the config of a folder of images, one more than the next folder has."""

    def make(name, count, *transforms, **kwargs):
        (tmp_path / name).mkdir(exist_ok=True)
        for i in range(count):
            cv2.imwrite(str(tmp_path / name / f'{i}.png'), np.full((6, 8, 3), 10 + i, np.uint8))
        return dict(
            type='ListDataset',
            data_root=str(tmp_path),
            data_prefix=dict(img_path=name),
            pipeline=[LOAD, *transforms, PACK],
            serialize_data=False,
            **{'metainfo': METAINFO, **kwargs},
        )

    return make


def concat(*datasets, **kwargs):
    return dict(type='ConcatDataset', datasets=list(datasets), **kwargs)


def repeat(dataset, times=2, **kwargs):
    return dict(type='RepeatDataset', dataset=dataset, times=times, **kwargs)


def make(config, kind='unlabeled'):
    return MultiDomainDataset({'day': {kind: config}})


def paths(dataset):
    """Folder and name of each image, in the order of validation, and loaded as in training."""
    found = [dataset[i]['data_samples'].img_path for i in range(len(dataset))]
    loaded = [
        dataset[SampleIndex(0, i, 0, 0)]['data_samples'].img_path for i in range(len(dataset))
    ]
    assert found == loaded
    return ['/'.join(path.split('/')[-2:]) for path in found]


class TestImages:
    def test_of_concatenated_folders_follow_one_another(self, folder):
        dataset = make(concat(folder('x', 2), folder('y', 1)))
        assert paths(dataset) == ['x/0.png', 'x/1.png', 'y/0.png']

    def test_of_a_repeated_folder_come_again(self, folder):
        assert paths(make(repeat(folder('x', 2)))) == ['x/0.png', 'x/1.png'] * 2

    @pytest.mark.parametrize('lazy', [False, True])
    def test_of_nested_wrappers_come_in_their_order(self, folder, lazy):
        inner = repeat(folder('y', 2, lazy_init=lazy), lazy_init=lazy)
        dataset = make(concat(folder('x', 1, lazy_init=lazy), inner, lazy_init=lazy))
        assert paths(dataset) == ['x/0.png', *['y/0.png', 'y/1.png'] * 2]

    @pytest.mark.parametrize('serialize', [False, True])
    def test_are_those_of_the_indices_of_each_folder(self, folder, serialize):
        x = {**folder('x', 3, indices=2), 'serialize_data': serialize}
        y = {**folder('y', 3, indices=[2, 0]), 'serialize_data': serialize}
        assert paths(make(concat(x, y))) == ['x/0.png', 'x/1.png', 'y/2.png', 'y/0.png']

    def test_of_a_class_balanced_source_are_repeated_by_its_rule(self, folder):
        @DATASETS.register_module(force=True)
        class EvenAndOdd(BaseSegDataset):
            def get_cat_ids(self, idx):
                return [0] if idx < 3 else [1]

        config = {
            **folder('x', 4),
            'type': 'EvenAndOdd',
            'img_suffix': '.png',
        }
        balanced = dict(type='ClassBalancedDataset', dataset=config, oversample_thr=1.0)
        # Repeated sqrt(1 / frequency) times, rounded up: sqrt(4/3) and 2.
        expected = [f'x/{i}.png' for i in (0, 0, 1, 1, 2, 2, 3, 3)]
        assert paths(make(balanced)) == expected

    def test_of_a_subset_of_classes_keep_the_label_map_of_their_own_dataset(self, folder, tmp_path):
        """Label 11 is void in CamVid alone; both name the same classes."""
        (tmp_path / 'masks').mkdir()
        for i in range(2):
            cv2.imwrite(str(tmp_path / f'masks/{i}.png'), np.full((6, 8), 11, np.uint8))
        load = dict(type='LoadCheckedAnnotations')
        camvid = DATASETS.get('CamVidDataset')
        config = folder('x', 2, load, metainfo=dict(camvid.METAINFO))
        config['data_prefix'] |= dict(seg_map_path='masks')
        dataset = concat({**config, 'type': 'CamVidDataset'}, {**config, 'reduce_zero_label': True})
        dataset = make(dataset, 'labeled')
        labels = [dataset[i]['data_samples'].gt_sem_seg.data.unique().tolist() for i in (0, 3)]
        assert labels == [[255], [10]]


def test_leaves_are_the_datasets_inside_and_a_plain_one_is_its_own_leaf(folder):
    x, y = folder('x', 2), folder('y', 1)
    source = make(concat(x, repeat(concat(y, x)))).sources[0].dataset
    assert [len(leaf) for leaf in leaf_datasets(source)] == [2, 1, 2]
    plain = make(x).sources[0].dataset
    assert list(leaf_datasets(plain)) == [plain]


class TestErrors:
    @pytest.mark.parametrize('wrap', [lambda c, x: concat(x, c), lambda c, x: repeat(concat(x, c))])
    def test_of_a_pipeline_are_found_in_every_part(self, folder, wrap):
        with pytest.raises(ValueError, match=r'^day, unlabeled source: .* cat_max_ratio=0\.75'):
            make(wrap(folder('y', 1, CROP), folder('x', 1)))

    def test_of_a_pipeline_around_several_images_are_found(self, folder):
        inner = folder('x', 2)
        config = dict(
            type='MultiImageMixDataset',
            dataset={**inner, 'pipeline': [LOAD]},
            pipeline=[CROP, PACK],
        )
        with pytest.raises(ValueError, match=r'^day, unlabeled source: .* cat_max_ratio=0\.75'):
            make(config)

    @pytest.mark.parametrize(
        ('other', 'sentence'),
        [
            (
                dict(classes=('a', 'c'), palette=METAINFO['palette']),
                "its data sets have differing classes, ('a', 'c') and ('a', 'b')",
            ),
            (
                dict(classes=('a', 'b'), palette=[[0, 0, 0], [9, 9, 8]]),
                'its data sets have differing palette',
            ),
        ],
    )
    def test_differing_classes_and_palettes(self, folder, other, sentence):
        config = concat(folder('x', 1), repeat(folder('y', 1, metainfo=other)))
        with pytest.raises(ValueError, match=f'^day, unlabeled source: {re.escape(sentence)}'):
            make(config)

    def test_multi_domain_dataset_inside(self, folder):
        inner = dict(type='MultiDomainDataset', domains={'day': {'unlabeled': folder('x', 1)}})
        for config in (inner, concat(inner), repeat(inner)):
            with pytest.raises(
                ValueError, match=r'unlabeled source: it is a MultiDomainDataset with domains'
            ):
                make(config)

    def test_list_of_datasets(self, folder):
        with pytest.raises(ValueError, match=r"a list of 2 data sets, .*type='ConcatDataset'"):
            make([folder('x', 1), folder('y', 1)])

    @pytest.mark.parametrize('config', ['data/x', None, dict(data_root='x')])
    def test_no_config(self, config):
        with pytest.raises(ValueError, match=r'^day, unlabeled source: found .* expected the conf'):
            make(config)

    def test_class_balancing_of_a_dataset_that_does_not_know_classes_of_images(self, folder):
        config = dict(type='ClassBalancedDataset', dataset=folder('x', 1), oversample_thr=0.1)
        with pytest.raises(ValueError, match=r'unlabeled source: .*leave ClassBalancedDataset out'):
            make(config)
