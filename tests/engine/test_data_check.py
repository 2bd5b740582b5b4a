"""Data with which a run would be in vain are refused before its first iteration."""

import os
import random
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import HOOKS
from mmseg.evaluation.metrics import IoUMetric
from mmseg.models import SegDataPreProcessor
from mmseg.registry import DATASETS, TRANSFORMS
from mmseg.utils import register_all_modules
from PIL import Image

from cct_mm.engine import DataCheckHook, EvaluatorCheckHook
from cct_mm.models import BatchPreprocessor


@pytest.fixture(autouse=True)
def scope(tmp_path, monkeypatch):
    register_all_modules(init_default_scope=True)
    monkeypatch.setenv('CCT_MM_CACHE', str(tmp_path / 'cache'))


class Data:
    """Folders of images with masks, and datasets of them."""

    def __init__(self, root):
        self.root = root

    def write(self, folder, *masks, **image_options):
        for i, rows in enumerate(masks):
            for kind, array in (('masks', rows), ('images', np.zeros((*np.shape(rows), 3)))):
                path = self.root / folder / kind / f'{i}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                options = image_options if kind == 'images' else {}
                Image.fromarray(np.array(array, np.uint8)).save(path, **options)

    def source(self, folder, labeled=True, pipeline=(), classes=('background', 'leaf')):
        load = [dict(type='LoadCheckedImage')]
        load += [dict(type='LoadCheckedAnnotations')] if labeled else []
        prefix = dict(img_path='images')
        return dict(
            type='ListDataset',
            data_root=str(self.root / folder),
            data_prefix=prefix | (dict(seg_map_path='masks') if labeled else {}),
            img_suffix='.png',
            metainfo=dict(classes=classes),
            pipeline=[*load, *pipeline, dict(type='PackSegInputs')],
        )


GOOD = [[0, 1], [1, 0]]


@pytest.fixture
def data(tmp_path):
    data = Data(tmp_path)
    data.write('train', GOOD, [[0, 0], [0, 0]])
    data.write('val', GOOD)
    return data


def run(train, val=None, batch_size=1, preprocessor=None, evaluator=None):
    """The hook's warnings, or its error."""
    loaders = [
        SimpleNamespace(
            dataset=DATASETS.build(dict(type='MultiDomainDataset', domains=dict(plant=sources))),
            batch_size=batch_size,
        )
        for sources in (train, val)
        if sources
    ]
    runner = SimpleNamespace(
        logger=mock.MagicMock(),
        train_dataloader=loaders[0],
        val_dataloader=loaders[-1],
        val_loop=SimpleNamespace(evaluator=evaluator or Evaluator([])) if val else None,
        model=SimpleNamespace(data_preprocessor=preprocessor or SegDataPreProcessor()),
    )
    try:
        DataCheckHook().before_train(runner)
    except ValueError as error:
        return str(error)
    return [call.args[0] for call in runner.logger.warning.call_args_list]


def test_good_data_pass_in_silence(data):
    data.write('more', GOOD)
    unlabeled = data.source('more', labeled=False)
    assert run(dict(labeled=data.source('train'), unlabeled=unlabeled)) == []
    assert run(dict(labeled=data.source('train')), dict(labeled=data.source('val'))) == []


class TestLabels:
    def test_of_one_class_alone_are_refused(self, data):
        data.write('one', [[0, 255]])
        error = run(dict(labeled=data.source('one')), dict(labeled=data.source('val')))
        assert error.startswith(
            "train_dataloader: plant, labeled source: of its 2 classes only the class 'background'"
        )

    def test_of_validation_without_a_class_are_named(self, data):
        data.write('one', [[0, 0]])
        found = run(dict(labeled=data.source('train')), dict(labeled=data.source('one')))
        assert len(found) == 1
        assert found[0].startswith(
            "val_dataloader: plant, labeled source: of its 2 classes only the class 'background' "
            'occurs in the labels, so mIoU says nothing'
        )

    def test_of_pseudo_labels_count(self, data):
        data.write('pseudo', [[0, 255]])
        sources = dict(labeled=data.source('train'), weak=data.source('pseudo'))
        (warning,) = run(sources)
        assert warning.startswith('train_dataloader: plant, weak source: of its 2 classes')

    def test_of_unlabeled_images_are_never_opened(self, data):
        data.write('more', GOOD)
        for mask in (data.root / 'more' / 'masks').iterdir():
            mask.write_bytes(b'not to be read')
        # The folder of masks is named, and their loading is not in the pipeline.
        unlabeled = data.source('more', labeled=False)
        unlabeled['data_prefix']['seg_map_path'] = 'masks'
        assert run(dict(labeled=data.source('train'), unlabeled=unlabeled)) == []

    def test_that_another_transform_may_change_are_not_judged(self, data):
        data.write('one', [[0, 255]])

        class Divide:
            def __call__(self, results):
                results['gt_seg_map'] //= 255
                return results

        source = data.source('one', pipeline=[Divide()])
        (warning,) = run(dict(labeled=source))
        assert warning.endswith('its pipeline has Divide, which may change them')

    def test_of_a_single_class_are_refused_as_a_list_of_classes(self, data):
        data.write('one', [[0, 255]])
        error = run(dict(labeled=data.source('one', classes=('leaf',))))
        for part in (
            "train_dataloader: domain plant: it has the single class 'leaf', expected two",
            'the loss is 0',
            "classes=('background', 'leaf')",
            'heads that end in a sigmoid are not supported',
        ):
            assert part in error
        assert '\n' not in error

    def test_all_errors_are_told_at_once(self, data):
        data.write('one', [[0, 255]])
        data.write('wrong', GOOD, [[0, 9]])
        error = run(dict(labeled=data.source('one')), dict(labeled=data.source('wrong')))
        assert [line.split(':')[0] for line in error.splitlines()] == [
            'train_dataloader',
            'val_dataloader',
        ]


class TestImagesInTrainingAndValidation:
    @pytest.mark.parametrize('kind', ['same', 'link', 'hard link'])
    def test_are_named_whatever_their_paths(self, data, kind):
        source, copy = data.root / 'train', data.root / 'linked'
        if kind == 'link':
            copy.symlink_to(source)
        elif kind == 'hard link':
            for path in source.glob('*/*'):
                (copy / path.parent.name).mkdir(parents=True, exist_ok=True)
                os.link(path, copy / path.parent.name / path.name)
        name = 'train' if kind == 'same' else 'linked'
        (warning,) = run(dict(labeled=data.source('train')), dict(labeled=data.source(name)))
        assert warning.startswith(
            'train_dataloader: plant, labeled source: 2 of its 2 images are in val_dataloader, too'
        )

    def test_may_be_labeled_and_unlabeled(self, data):
        unlabeled = data.source('train', labeled=False)
        sources = dict(labeled=data.source('train'), unlabeled=unlabeled)
        assert run(sources, dict(labeled=data.source('val'))) == []


class TestHeaders:
    def test_of_images_that_viewers_turn_are_refused(self, data):
        exif = Image.Exif()
        exif[274] = 6
        data.write('turned', GOOD, GOOD, GOOD, exif=exif)
        data.write('turned', GOOD)
        unlabeled = data.source('turned', labeled=False)
        error = run(dict(labeled=data.source('train'), unlabeled=unlabeled))
        assert error.startswith('train_dataloader: plant, unlabeled source: image ')
        assert 'EXIF orientation 6' in error
        assert error.endswith('(2 of its 3 images)')

    def test_of_16_bits_are_refused(self, data):
        path = data.root / 'train' / 'images' / '1.png'
        Image.fromarray(np.zeros((2, 2), np.uint16)).save(path)
        error = run(dict(labeled=data.source('train')))
        assert 'images/1.png has pixels of type uint16' in error

    @pytest.mark.parametrize('settings', [dict(max_value=7), dict(color_type='unchanged')])
    def test_of_16_bits_are_right_where_their_loading_takes_them(self, data, settings):
        path = data.root / 'train' / 'images' / '1.png'
        Image.fromarray(np.full((2, 2), 7, np.uint16)).save(path)
        source = data.source('train')
        source['pipeline'][0] |= settings
        assert run(dict(labeled=source)) == []

    @pytest.mark.parametrize(('orientation', 'fits'), [('exif', True), ('stored', False)])
    def test_turned_are_right_where_their_loading_turns_them(self, data, orientation, fits):
        exif = Image.Exif()
        exif[274] = 6
        Image.new('RGB', (3, 2)).save(data.root / 'train/images/1.png', exif=exif)
        Image.fromarray(np.eye(3, 2, dtype=np.uint8)).save(data.root / 'train/masks/1.png')
        source = data.source('train')
        source['pipeline'][0]['orientation'] = orientation
        found = run(dict(labeled=source))
        if fits:
            assert found == []
        else:
            assert 'masks/1.png has 2x3 pixels, expected 3x2 like' in found
            assert 'EXIF orientation 6' in found

    def test_of_what_mmcv_would_misread_are_named(self, data):
        exif = Image.Exif()
        exif[274] = 3
        Image.new('RGB', (2, 2)).save(data.root / 'train/images/1.png', exif=exif)
        source = data.source('train')
        source['pipeline'][:2] = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
        image, mask, turned = run(dict(labeled=source))
        assert 'LoadImageFromFile turns images by their EXIF data' in image
        assert 'LoadAnnotations takes any value of a mask for a label' in mask
        assert 'images/1.png has EXIF orientation 3' in turned

    def test_of_what_another_loader_reads_are_no_matter(self, data):
        @TRANSFORMS.register_module()
        class LoadRaw(LoadImageFromFile):
            def transform(self, results):
                results['img'] = np.zeros((2, 2, 3), np.uint8)
                results['img_shape'] = results['ori_shape'] = (2, 2)
                return results

        try:
            (data.root / 'train' / 'images' / '1.png').write_bytes(b'raw')
            source = data.source('train')
            source['pipeline'][0] = dict(type='LoadRaw')
            found = run(dict(labeled=source))
        finally:
            TRANSFORMS.module_dict.pop('LoadRaw')
        assert not [line for line in found if '1.png' in line]

    def test_of_what_is_no_image_are_refused(self, data):
        (data.root / 'train' / 'images' / '1.png').write_bytes(b'rubbish')
        assert 'images/1.png cannot be decoded' in run(dict(labeled=data.source('train')))


@pytest.mark.parametrize('where', ['train', 'val'])
def test_labeled_source_that_loads_no_labels_is_refused(data, where):
    sources = {name: data.source(name) for name in ('train', 'val')}
    del sources[where]['pipeline'][1]
    error = run(*(dict(labeled=source) for source in sources.values()))
    assert error.startswith(f'{where}_dataloader: plant, labeled source: its pipeline loads no lab')


class TestSizesOfMasks:
    def test_other_than_the_images_are_refused(self, data):
        data.write('sizes', GOOD, GOOD, GOOD)
        for i in (1, 2):
            Image.fromarray(np.eye(3, 4, dtype=np.uint8)).save(data.root / f'sizes/masks/{i}.png')
        error = run(dict(labeled=data.source('train')), dict(labeled=data.source('sizes')))
        for part in (
            f'val_dataloader: plant, labeled source: mask {data.root}/sizes/masks/1.png has 4x3 ',
            f'expected 2x2 like {data.root}/sizes/images/1.png; resize the mask (nearest neighbor)',
            'or pair it with its own image',
        ):
            assert part in error
        assert error.endswith('(2 of its 3 masks)')
        assert '\n' not in error


class TestSizesOfValidation:
    @pytest.fixture
    def sources(self, data):
        data.write('sizes', GOOD, np.tile(GOOD, (2, 1)))
        return dict(labeled=data.source('train')), dict(labeled=data.source('sizes'))

    def test_that_make_no_batch_are_refused(self, sources, data):
        error = run(*sources, batch_size=4)
        for part in (
            'val_dataloader: batch_size is 4, but images leave the pipeline with different sizes',
            f'expected one: 2x2 ({data.root}/sizes/images/0.png)',
            f'2x4 ({data.root}/sizes/images/1.png)',
            'set batch_size=1, or resize or pad them to one size in their pipeline',
            'data_preprocessor comes too late',
        ):
            assert part in error
        assert '\n' not in error

    def test_are_no_matter_alone(self, sources):
        assert run(*sources, batch_size=1) == []

    @pytest.mark.parametrize('kind', [SegDataPreProcessor, BatchPreprocessor])
    def test_are_those_that_the_preprocessor_takes(self, sources, data, kind):
        preprocessor = kind(test_cfg=dict(size_divisor=32))
        dataset = DATASETS.build(dict(type='MultiDomainDataset', domains=dict(plant=sources[1])))
        batch = pseudo_collate([dataset[0], dataset[1]])
        with pytest.raises(AssertionError, match='image size in a batch'):
            preprocessor(batch)
        assert 'with different sizes' in run(*sources, batch_size=4, preprocessor=preprocessor)

    def test_are_no_matter_to_a_preprocessor_of_ones_own(self, sources):
        class Padding(SegDataPreProcessor):
            def forward(self, data, training=False):
                return super().forward(data, training=True)

        assert run(*sources, batch_size=4, preprocessor=Padding()) == []

    def test_are_looked_at_before_a_test_too(self, sources):
        dataset = DATASETS.build(dict(type='MultiDomainDataset', domains=dict(plant=sources[1])))
        runner = SimpleNamespace(
            test_dataloader=SimpleNamespace(dataset=dataset, batch_size=2),
            test_loop=SimpleNamespace(evaluator=Evaluator([])),
            model=SimpleNamespace(data_preprocessor=SegDataPreProcessor()),
        )
        with pytest.raises(ValueError, match='^test_dataloader: batch_size is 2, .*diff'):
            DataCheckHook().before_test(runner)
        runner.test_dataloader.batch_size = 1
        DataCheckHook().before_test(runner)

    def test_that_the_pipeline_makes_one_are_no_matter(self, sources, data):
        resize = dict(type='Resize', scale=(4, 4), keep_ratio=False)
        val = dict(labeled=data.source('sizes', pipeline=[resize]))
        assert run(sources[0], val, batch_size=4) == []

    def test_are_found_without_a_draw_of_the_run(self, sources):
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
        run(*sources, batch_size=4)
        assert random.getstate() == states[0]
        assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), states[2])


def test_dataset_that_does_not_name_its_files_is_left_out(data):
    class Other(torch.utils.data.Dataset):
        metainfo = dict(classes=('background', 'leaf'), palette=[[0] * 3] * 2)

        def __len__(self):
            return 3

    runner = mock.MagicMock(val_loop=None)
    runner.train_dataloader.dataset = SimpleNamespace(
        sources=[SimpleNamespace(domain='plant', supervision='labeled', dataset=Other())]
    )
    DataCheckHook().before_train(runner)
    (call,) = runner.logger.warning.call_args_list
    for part in ('plant, labeled source: ', 'the files of Other are not checked', 'get_data_info'):
        assert part in call.args[0]


class TestMetrics:
    @pytest.fixture
    def evaluator(self):
        evaluator = Evaluator([IoUMetric()])
        domains = dict(day=dict(classes=('a', 'b')), night=dict(classes=('a', 'c')))
        evaluator.dataset_meta = dict(domains=domains)
        return evaluator

    def test_that_know_nothing_of_domains_are_refused_before_training(self, data, evaluator):
        sources = (dict(labeled=data.source(name)) for name in ('train', 'val'))
        assert 'val_evaluator: IoUMetric' in run(*sources, evaluator=evaluator)

    def test_are_refused_before_a_test_too(self, data, evaluator):
        sources = dict(plant=dict(labeled=data.source('val')))
        dataset = DATASETS.build(dict(type='MultiDomainDataset', domains=sources))
        runner = SimpleNamespace(
            test_dataloader=SimpleNamespace(dataset=dataset, batch_size=1),
            test_loop=SimpleNamespace(evaluator=evaluator),
            model=SimpleNamespace(data_preprocessor=SegDataPreProcessor()),
        )
        with pytest.raises(ValueError, match='^test_evaluator: IoUMetric'):
            DataCheckHook().before_test(runner)

    def test_hook_of_older_configs_still_exists_and_says_that_it_does_nothing(self):
        with mock.patch('cct_mm.engine.data_check.print_log') as say:
            hook = HOOKS.build(dict(type='EvaluatorCheckHook'))
        assert isinstance(hook, EvaluatorCheckHook)
        assert 'DataCheckHook' in say.call_args.args[0]
