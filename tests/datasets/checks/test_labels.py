"""Labels are counted as their loading reads them, and refused where they mean nothing."""

import os

import numpy as np
import pytest
from mmseg.registry import DATASETS
from mmseg.utils import register_all_modules
from PIL import Image

from cct_mm.datasets.checks import file_facts
from cct_mm.datasets.checks.file_cache import Problem
from cct_mm.datasets.checks.file_facts import MaskValues, count_masks
from cct_mm.datasets.checks.label_counts import count_labels
from cct_mm.datasets.checks.labels import errors, warnings
from cct_mm.datasets.checks.sources import file_sources

LEAF = ('background', 'leaf')


@pytest.fixture(autouse=True)
def setting(tmp_path, monkeypatch):
    register_all_modules(init_default_scope=True)
    monkeypatch.setenv('CCT_MM_CACHE', str(tmp_path / 'cache'))


def mask(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.array(rows)
    Image.fromarray(values.astype(np.uint8 if values.max() < 256 else np.uint16)).save(path)
    return str(path)


class TestCounts:
    def test_are_those_of_the_file_by_hand(self, tmp_path):
        path = mask(tmp_path / 'a.png', [0, 0, 255], [7, 0, 255])
        assert count_masks([path, path]) == {path: MaskValues(3, 2, {0: 3, 7: 1, 255: 2})}

    def test_of_16_bits_keep_their_values(self, tmp_path):
        path = mask(tmp_path / 'a.png', [0, 1000], [1000, 300])
        assert count_masks([path])[path].pixels == {0: 1, 300: 1, 1000: 2}

    def test_of_one_bit_are_0_and_1(self, tmp_path):
        path = str(tmp_path / 'a.png')
        Image.fromarray(np.array([[True, False, True]])).save(path)
        assert count_masks([path])[path].pixels == {0: 1, 1: 2}

    def test_of_an_unreadable_mask_are_the_reason(self, tmp_path):
        path = tmp_path / 'a.png'
        path.write_bytes(b'rubbish')
        found = count_masks([str(path), str(tmp_path / 'none.png')])
        assert all(isinstance(problem, Problem) for problem in found.values())
        assert str(path) in found[str(path)]

    def test_are_read_from_the_file_once(self, tmp_path, monkeypatch):
        path = mask(tmp_path / 'a.png', [0, 1])
        first = count_masks([path])
        with monkeypatch.context() as patch:
            patch.setattr(file_facts, 'read_mask', lambda path: pytest.fail('read again'))
            assert count_masks([path]) == first
        before = os.stat(path).st_mtime_ns
        mask(tmp_path / 'a.png', [1, 1])
        os.utime(path, ns=(before + 1, before + 1))
        assert count_masks([path])[path].pixels == {1: 2}


@pytest.fixture
def sources(tmp_path):
    """Sources of a domain with the given masks, and what is counted of them."""

    def sources(*masks, classes=LEAF, loader=None, dataset_type='BaseSegDataset', **options):
        for i, rows in enumerate(masks):
            mask(tmp_path / 'masks' / f'{i}.png', *rows)
            image = Image.fromarray(np.zeros((*np.shape(rows), 3), np.uint8))
            (tmp_path / 'images').mkdir(exist_ok=True)
            image.save(tmp_path / 'images' / f'{i}.jpg')
        loader = loader or dict(type='LoadCheckedAnnotations', num_classes=len(classes))
        source = dict(
            type=dataset_type,
            data_root=str(tmp_path),
            data_prefix=dict(img_path='images', seg_map_path='masks'),
            metainfo=dict(classes=classes),
            pipeline=[dict(type='LoadCheckedImage'), loader, dict(type='PackSegInputs')],
            **options,
        )
        return dict(type='MultiDomainDataset', domains=dict(plant=dict(labeled=source)))

    return sources


def look(config):
    """Errors and warnings of training, warnings of validation, and the counts."""
    found, untold = file_sources(DATASETS.build(config), 'train')
    assert untold == []
    paths = [info['seg_map_path'] for source in found for info in source.infos]
    counts = count_labels(found, count_masks(paths))
    return (
        errors(counts, 'labeled'),
        warnings(counts, 'labeled'),
        warnings(counts, None),
        counts,
    )


def loaded_labels(config):
    dataset = DATASETS.build(config)
    masks = [dataset[i]['data_samples'].gt_sem_seg.data for i in range(len(dataset))]
    return sorted({int(label) for mask in masks for label in mask.unique()})


def test_labels_that_all_occur_are_no_matter(sources):
    assert look(sources([[0, 1, 255]], [[1, 1]]))[:3] == ([], [], [])


def test_pixels_and_images_of_each_class_are_those_by_hand(sources):
    counts = look(sources([[0, 1, 255], [2, 2, 2]], [[1, 1]], classes=('a', 'b', 'c')))[3]
    assert counts.pixels.tolist() == [1, 3, 3]
    assert counts.images.tolist() == [1, 2, 1]
    assert (counts.ignored, counts.masks, counts.total) == (1, 2, 8)


def test_pseudo_labels_of_one_class_are_told_and_not_refused(sources):
    counts = look(sources([[0, 0]], [[0, 255]]))[3]
    assert errors(counts, 'weak') == []
    (warning,) = warnings(counts, 'weak')
    assert "only the class 'background'" in warning and 'nothing to learn from these' in warning


class TestTwoClassesAs0And255:
    MASKS = ([[0, 0, 0, 255]], [[0, 255, 0, 0]])

    def test_are_refused_with_what_is_in_the_files_and_how_to_map_it(self, sources):
        (error,), found, _, _ = look(sources(*self.MASKS))
        for part in (
            "of its 2 classes only the class 'background' occurs",
            '2 masks, expected two',
            "'leaf' without a labeled pixel",
            '255 (no label) makes 25.0%',
            'the values 0 (75.0%), 255 (25.0%)',
            "255 stands for 'leaf'",
            "dict(type='LoadCheckedAnnotations', num_classes=2, label_map={255: 1})",
        ):
            assert part in error
        assert found == []

    @pytest.mark.parametrize('dataset_type', ['BaseSegDataset', 'ListDataset'])
    def test_become_two_classes_by_the_map_that_is_named(self, sources, dataset_type):
        loader = dict(type='LoadCheckedAnnotations', num_classes=2, label_map={255: 1})
        config = sources(*self.MASKS, loader=loader, dataset_type=dataset_type)
        assert look(config)[:3] == ([], [], [])
        assert look(config)[3].pixels.tolist() == [6, 2]
        assert loaded_labels(config) == [0, 1]

    def test_of_validation_make_a_warning(self, sources):
        validation = look(sources(*self.MASKS))[2]
        assert 'mIoU says nothing' in validation[-1]
        assert 'label_map={255: 1}' in validation[-1]


def test_reduce_zero_label_on_masks_of_0_and_1_is_refused(sources):
    (error,), *_ = look(sources([[0, 1, 1, 1]], reduce_zero_label=True))
    assert "only the class 'background' occurs" in error
    assert 'reduce_zero_label=True reads 0 as no label, 1 as the first class' in error
    assert error.endswith('remove it from the dataset')


def test_reduce_zero_label_where_it_belongs_is_no_matter(sources):
    config = sources([[0, 1, 2]], reduce_zero_label=True)
    assert look(config)[:3] == ([], [], [])
    assert look(config)[3].pixels.tolist() == [1, 1]
    assert loaded_labels(config) == [0, 1, 255]


def test_masks_of_one_value_are_refused(sources):
    (error,), *_ = look(sources([[0, 0]], [[0]]))
    assert '0 (100.0%)' in error
    assert '0.png' in error


def test_class_that_does_not_occur_is_named(sources):
    config = sources([[0, 1, 255, 255]], classes=('a', 'b', 'c', 'd'))
    _, training, validation, _ = look(config)
    (found,) = training
    for part in ("1 mask: 'c', 'd'; nothing is learned", '50.0% of the pixels have no label (255)'):
        assert part in found
    assert len(validation) == 1
    assert "'c', 'd'; mIoU counts them as 0" in validation[0]


def test_masks_without_a_labeled_pixel_are_named(sources):
    (found,) = look(sources([[0, 1]], [[255, 255]], [[255]]))[1]
    assert found.startswith('2 of 3 masks have no labeled pixel (all 255)')
    assert found.endswith('1.png')


class TestLabelOutOfRange:
    @pytest.mark.parametrize(
        'loader', [None, dict(type='LoadAnnotations')], ids=['checked', 'plain']
    )
    def test_is_named_with_file_and_number(self, sources, loader):
        rows = [0, 1], [0, 7], [7, 9]
        (error,), *_ = look(sources(*([row, row] for row in rows), loader=loader))
        assert 'label 7 in ' in error
        assert '1.png, expected 0-1 or 255' in error
        assert error.endswith('(2 of 3 masks hold such labels)')

    def test_of_16_bits_is_no_class(self, sources):
        (error,), *_ = look(sources([[0, 1]], [[256, 257]]))
        assert 'label 256 in ' in error

    def test_of_16_bits_can_be_mapped(self, sources):
        loader = dict(type='LoadCheckedAnnotations', num_classes=2, label_map={1000: 1})
        config = sources([[0, 1000]], loader=loader)
        assert look(config)[0] == []
        assert loaded_labels(config) == [0, 1]


def test_unreadable_mask_is_named(sources, tmp_path):
    config = sources([[0, 1]], [[0, 1]])
    (tmp_path / 'masks' / '1.png').write_bytes(b'rubbish')
    (error,), *_ = look(config)
    assert error.startswith('mask ')
    assert '1.png' in error


@pytest.mark.parametrize('wrapper', ['ConcatDataset', 'RepeatDataset'])
def test_parts_of_wrapped_sources_are_counted_once_each(sources, wrapper):
    dataset = DATASETS.build(sources([[0, 1]], [[1, 1]]))
    (source,) = dataset.sources
    if wrapper == 'ConcatDataset':
        wrapped = DATASETS.get(wrapper)([source.dataset, source.dataset])
    else:
        wrapped = DATASETS.get(wrapper)(source.dataset, times=3)
    dataset.sources = [source._replace(dataset=wrapped)]
    found, _ = file_sources(dataset, 'train')
    counts = count_labels(found, count_masks(i['seg_map_path'] for s in found for i in s.infos))
    assert counts.pixels.tolist() == ([2, 6] if wrapper == 'ConcatDataset' else [1, 3])
