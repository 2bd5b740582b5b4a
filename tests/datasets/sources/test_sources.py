"""What is wrong with a source is said when it is built, mmseg's own data sets included."""

import re

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from cct_mm.datasets import MultiDomainDataset

METAINFO = dict(classes=('a', 'b'), palette=[[0, 0, 0], [9, 9, 9]])
LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackSegInputs')
LABELS = dict(type='LoadAnnotations')


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def root(tmp_path):
    for i in range(3):
        for folder, array in (
            ('images', np.full((6, 8, 3), 9, np.uint8)),
            ('masks', np.zeros((6, 8), np.uint8)),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / folder / f'{i}.png'), array)
    (tmp_path / 'list.txt').write_text('0\n1\n2\n')
    return tmp_path


def base(root, *transforms, **kwargs):
    """A data set of mmseg itself, which looks for no file."""
    return dict(
        type='BaseSegDataset',
        data_root=str(root),
        **{
            'data_prefix': dict(img_path='images', seg_map_path='masks'),
            'img_suffix': '.png',
            'metainfo': METAINFO,
            'pipeline': [LOAD, *transforms, PACK],
            'serialize_data': False,
            **kwargs,
        },
    )


def make(config, kind='unlabeled'):
    return MultiDomainDataset({'day': {kind: config}})


def error(config, kind='unlabeled', kinds=(ValueError, FileNotFoundError)):
    with pytest.raises(kinds, match=f'^day, {kind} source: ') as found:
        make(config, kind)
    return str(found.value).partition('source: ')[2]


class TestMissingFiles:
    @pytest.mark.parametrize('kind', ['labeled', 'unlabeled', 'weak'])
    def test_image_of_a_list(self, root, kind):
        (root / 'images/1.png').unlink()
        labels = [LABELS] if kind != 'unlabeled' else []
        message = error(base(root, *labels, ann_file='list.txt'), kind, FileNotFoundError)
        assert message.startswith(
            f'image {root}/images/1.png not found (1 of 3 images missing); check data_root'
        )

    def test_image_whose_name_differs_in_case_is_suggested(self, root):
        (root / 'images/1.png').rename(root / 'images/1.PNG')
        assert '; there is 1.PNG, which differs in upper and lower case' in error(
            base(root, ann_file='list.txt')
        )

    def test_mask_of_a_labeled_source(self, root):
        (root / 'masks/2.png').unlink()
        message = error(base(root, LABELS), 'labeled')
        assert message.startswith('1 of 3 images have no label file, expected one for each')
        assert f'{root}/masks/2.png' in message
        assert 'pseudo-labels' not in message

    def test_mask_of_an_unlabeled_source_is_not_missed(self, root):
        (root / 'masks/2.png').unlink()
        assert len(make(base(root))) == 3

    @pytest.mark.parametrize('serialize', [False, True])
    def test_empty_and_missing_folders(self, root, serialize):
        (root / 'empty').mkdir()
        prefix = dict(img_path='empty')
        config = base(root, data_prefix=prefix, serialize_data=serialize)
        assert error(config).startswith(
            f"no images, expected at least one; look at its data_root and ann_file: '{root}', ''"
        )
        prefix = dict(img_path='nowhere')
        message = error(base(root, data_prefix=prefix), kinds=FileNotFoundError)
        assert f"data_prefix.img_path='{root}/nowhere' does not exist" in message

    @pytest.mark.parametrize(
        ('config', 'missing'),
        [
            (dict(type='PascalVOCDataset', ann_file='train.txt'), 'ann_file'),
            (dict(type='CityscapesDataset'), 'data_root'),
            (dict(type='ADE20KDataset'), 'data_prefix.img_path'),
        ],
    )
    def test_data_root_of_mmsegs_datasets(self, config, missing):
        prefix = dict(img_path='images', seg_map_path='masks')
        config = dict(config, data_root='/nowhere', data_prefix=prefix, pipeline=[LOAD, PACK])
        message = error(config, kinds=FileNotFoundError)
        assert message.startswith(f'{config["type"]} refuses its arguments: ')
        assert f'{missing}=' in message

    def test_list_of_mmsegs_datasets(self, root):
        message = error(base(root, ann_file='none.txt'), kinds=FileNotFoundError)
        assert f"ann_file='{root}/none.txt' does not exist" in message


class TestMasksAmongImages:
    def test_of_a_folder_of_mmsegs_datasets(self, root):
        for i in range(3):
            (root / f'masks/{i}.png').rename(root / f'images/{i}_mask.png')
        assert 'look like an image and its mask' in error(base(root))

    def test_are_left_out_by_the_suffixes_of_mmseg(self, root):
        for i in range(3):
            (root / f'images/{i}.png').rename(root / f'images/{i}_sat.png')
            (root / f'masks/{i}.png').rename(root / f'images/{i}_mask.png')
        assert len(make(base(root, img_suffix='_sat.png'))) == 3


class TestTransformsThatNeedLabels:
    CROP = dict(type='RandomCrop', crop_size=(4, 4), cat_max_ratio=0.75)
    EDGE = dict(type='GenerateEdge')
    COUNT = dict(type='LoadImageLabels', classes=METAINFO['classes'])

    @pytest.mark.parametrize(
        ('transform', 'fix'),
        [
            (CROP, 'remove cat_max_ratio from the pipeline'),
            (dict(type='RandomApply', prob=0.0, transforms=[CROP]), 'remove cat_max_ratio'),
            (dict(type='RandomChoice', transforms=[[], [CROP]]), 'remove cat_max_ratio'),
            (EDGE, 'GenerateEdge, which makes edges from labels: remove it from the pipeline'),
            (COUNT, 'LoadImageLabels without a file'),
            (dict(type='RandomApply', prob=0.0, transforms=[LABELS]), 'labels of unlabeled images'),
        ],
    )
    def test_are_named_on_an_unlabeled_source(self, root, transform, fix):
        assert fix in error(base(root, transform))

    @pytest.mark.parametrize('transform', [CROP, EDGE])
    def test_work_on_a_labeled_source(self, root, transform):
        assert len(make(base(root, LABELS, transform), 'labeled')) == 3

    def test_crop_without_the_ratio_works_on_an_unlabeled_source(self, root):
        assert len(make(base(root, dict(type='RandomCrop', crop_size=(4, 4))))) == 3


def test_rotation_that_blends_labels_is_refused_where_there_are_some(root):
    rotation = dict(type='RandomRotFlip')
    assert 'labels blend where classes meet' in error(base(root, LABELS, rotation), 'labeled')
    assert len(make(base(root, rotation))) == 3


@pytest.mark.parametrize('name', ['', 'a.b', 'keys', 'training', 'a/b'])
def test_names_of_domains_are_checked(root, name):
    with pytest.raises(ValueError, match=f'^domain {re.escape(name) or repr(name)}: .* choose ano'):
        MultiDomainDataset({name: {'unlabeled': base(root)}})


@pytest.mark.parametrize('classes', [('a', 'a'), ('a', '')])
def test_names_of_classes_are_checked(root, classes):
    metainfo = dict(classes=classes, palette=METAINFO['palette'])
    assert 'classes' in error(base(root, metainfo=metainfo))


def test_damaged_first_image_is_named_when_the_source_is_built(root):
    (root / 'images/0.png').write_bytes(b'no image')
    config = base(root, pipeline=[dict(type='LoadCheckedImage'), PACK])
    with pytest.raises(ValueError, match=r'images/0\.png'):
        make(config)


class TestTransformsThatFail:
    def test_on_the_first_image_are_named(self, root):
        with pytest.raises(ValueError, match='^day, labeled source: RandomDepthMix fails') as e:
            source = base(root, LABELS, dict(type='RandomDepthMix', prob=1.0))
            MultiDomainDataset(dict(day=dict(labeled=source)))
        assert "KeyError: 'gt_depth_map'; look at the transforms" in str(e.value)

    def test_for_want_of_further_images_say_where_they_belong(self, root):
        mosaic = dict(type='RandomMosaic', prob=1.0, img_scale=(6, 8))
        message = r"day, labeled source: RandomMosaic fails .* dict\(type='MultiImageMixDataset'"
        with pytest.raises(ValueError, match=message):
            MultiDomainDataset(dict(day=dict(labeled=base(root, LABELS, mosaic))))


def test_data_sets_with_and_without_label_maps_make_no_source(root):
    source = dict(type='ConcatDataset', datasets=[base(root, LABELS), base(root)])
    message = '^day, labeled source: some of its data sets load label maps, and others none, such'
    with pytest.raises(ValueError, match=message):
        MultiDomainDataset(dict(day=dict(labeled=source)))


@pytest.mark.parametrize(
    ('wrapper', 'problem'),
    [
        (dict(type='ConcatDataset', datasets=[]), 'a ConcatDataset of no data sets'),
        (dict(type='RepeatDataset', times=0), 'a RepeatDataset with times=0'),
        (dict(type='mmengine.RepeatDataset', times=1.5), 'a RepeatDataset with times=1.5'),
    ],
)
def test_wrapper_around_nothing_is_named(root, wrapper, problem):
    with pytest.raises(ValueError, match=f'^day, labeled source: {problem}, expected'):
        wrapper = dict(wrapper, dataset=base(root, LABELS)) if 'times' in wrapper else wrapper
        MultiDomainDataset(dict(day=dict(labeled=wrapper)))


@pytest.mark.parametrize('encoding', ['utf-16', 'latin-1'])
def test_list_of_mmseg_in_another_encoding_is_named(root, encoding):
    (root / 'list.txt').write_bytes('0\n\u00e9\n'.encode(encoding))
    with pytest.raises(ValueError, match=r"^day, labeled source: a list of .*'list\.txt'; convert"):
        MultiDomainDataset(dict(day=dict(labeled=base(root, LABELS, ann_file='list.txt'))))


def test_file_of_mmseg_in_another_unicode_form_is_named(root):
    for folder in ('images', 'masks'):
        (root / folder / '0.png').rename(root / folder / 'e\u0301.png')
    (root / 'list.txt').write_text('1\n\u00e9\n')
    with pytest.raises(FileNotFoundError, match='written in another Unicode form'):
        MultiDomainDataset(dict(day=dict(labeled=base(root, LABELS, ann_file='list.txt'))))


@pytest.mark.parametrize('domains', [{}, [], None, dict(day={}), dict(day=[])])
def test_domains_without_sources_are_named(domains):
    with pytest.raises(ValueError, match=r'^MultiDomainDataset: domain.*, expected dict\(NAME='):
        MultiDomainDataset(domains)
