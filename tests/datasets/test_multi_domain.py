"""Several datasets as one: tags, keyed augmentation, and masks of unlabeled images never opened."""

import random
import re
import shutil
from itertools import islice

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS
from torch.utils.data import DataLoader

from cct_mm.datasets import AlternatingDomainSampler, MultiDomainDataset, SampleIndex
from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

CLASSES = {'day': ('sky', 'ground', 'car'), 'night': ('background', 'lamp')}
PALETTES = {'day': [[0, 0, 9], [0, 9, 0], [9, 0, 0]], 'night': [[0, 0, 0], [9, 9, 0]]}
IMAGES = {'labeled': 3, 'unlabeled': 4}
LOAD = [dict(type='LoadCheckedImage')]
AUGMENT = [dict(type='RandomFlip', prob=0.5), dict(type='PhotoMetricDistortion')]
PACK = [dict(type='PackSegInputs')]


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def root(tmp_path):
    """Two domains of 16 x 24 images; every list, also the unlabeled ones, names masks."""
    rng = np.random.default_rng(0)
    for domain, classes in CLASSES.items():
        for kind, count in IMAGES.items():
            lines = []
            for i in range(count):
                image, mask = f'{kind}/{i}.png', f'{kind}annot/{i}.png'
                for name, array in (
                    (image, rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)),
                    (mask, rng.integers(0, len(classes), (16, 24), dtype=np.uint8)),
                ):
                    (tmp_path / domain / name).parent.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(tmp_path / domain / name), array)
                lines.append(f'{image} {mask}\n')
            (tmp_path / domain / f'{kind}.txt').write_text(''.join(lines))
    return tmp_path


def source(root, domain, kind, **kwargs):
    masks = [dict(type='LoadCheckedAnnotations')] if kind == 'labeled' else []
    return {
        'type': 'ListDataset',
        'data_root': str(root / domain),
        'ann_file': f'{kind}.txt',
        'labeled': kind == 'labeled',
        'metainfo': dict(classes=CLASSES[domain], palette=PALETTES[domain]),
        'pipeline': LOAD + masks + AUGMENT + PACK,
        # Serializing collects garbage, which takes longer than all the rest of a test.
        'serialize_data': False,
        **kwargs,
    }


def domains_of(root):
    return {name: {kind: source(root, name, kind) for kind in IMAGES} for name in CLASSES}


def make_dataset(root):
    return MultiDomainDataset(domains_of(root))


def assert_same_sample(a, b):
    assert torch.equal(a['inputs'], b['inputs'])
    assert a['data_samples'].metainfo == b['data_samples'].metainfo
    assert ('gt_sem_seg' in a['data_samples']) == ('gt_sem_seg' in b['data_samples'])
    if 'gt_sem_seg' in a['data_samples']:
        assert torch.equal(a['data_samples'].gt_sem_seg.data, b['data_samples'].gt_sem_seg.data)


class TestTags:
    def test_tell_domain_supervision_and_key_of_a_training_sample(self, root):
        dataset = make_dataset(root)
        for i, (domain, kind) in enumerate((d, k) for d in CLASSES for k in IMAGES):
            sample = dataset[SampleIndex(source=i, index=2, number=5, seed=0)]['data_samples']
            assert sample.metainfo['domain'] == domain
            assert sample.metainfo['supervision'] == kind
            assert sample.metainfo['sample_key'] == f'{i}/5'
            assert sample.metainfo['img_path'].endswith(f'{domain}/{kind}/2.png')

    def test_only_labeled_samples_bring_labels(self, root):
        dataset = make_dataset(root)
        for i, expected in enumerate([True, False, True, False]):
            sample = dataset[SampleIndex(i, 0, 0, 0)]['data_samples']
            assert ('gt_sem_seg' in sample) is expected

    def test_weak_samples_bring_pseudo_labels_or_image_level_labels(self, root):
        masks = source(root, 'night', 'labeled')
        classes = masks['metainfo']['classes']
        weak = source(root, 'night', 'labeled')
        weak['pipeline'] = [
            *LOAD,
            dict(type='LoadCheckedAnnotations'),
            dict(type='LoadImageLabels', classes=classes),
            dict(type='PackSegInputs', meta_keys=('img_path', 'image_labels')),
        ]
        dataset = MultiDomainDataset({'night': {'labeled': masks, 'weak': weak}})
        sample = dataset[SampleIndex(1, 0, 0, 0)]['data_samples']
        assert sample.metainfo['supervision'] == 'weak'
        assert sample.metainfo['image_labels'] == (1,)
        assert 'gt_sem_seg' in sample

    def test_of_validation_have_no_key(self, root):
        sample = make_dataset(root)[0]['data_samples']
        assert sample.metainfo['domain'] == 'day'
        assert 'sample_key' not in sample.metainfo

    def test_survive_a_dataset_that_knows_other_meta_keys_only(self, root):
        config = source(root, 'day', 'labeled')
        config['pipeline'][-1] = dict(type='PackSegInputs', meta_keys=('img_shape',))
        sample = MultiDomainDataset({'day': {'labeled': config}})[SampleIndex(0, 0, 0, 0)]
        assert sample['data_samples'].metainfo['domain'] == 'day'


def seed_all(seed):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def next_numbers():
    """What each global generator gives next."""
    return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002


class TestKeyedAugmentation:
    def test_of_a_sample_does_not_depend_on_what_was_loaded_before(self, root):
        dataset, other = make_dataset(root), make_dataset(root)
        indices = [SampleIndex(s, i, n, 0) for s in range(4) for i in range(3) for n in range(2)]
        forwards = [dataset[item] for item in indices]
        seed_all(1)
        backwards = [other[item] for item in reversed(indices)]
        for a, b in zip(forwards, reversed(backwards), strict=True):
            assert_same_sample(a, b)

    def test_leaves_the_global_generators_as_they_were(self, root):
        dataset = make_dataset(root)
        seed_all(5)
        expected = next_numbers()
        seed_all(5)
        dataset[SampleIndex(0, 0, 0, 0)]
        assert next_numbers() == expected

    def test_leaves_the_global_generators_as_they_were_when_loading_fails(self, root):
        dataset = make_dataset(root)
        (root / 'day/labeled/0.png').write_bytes(b'')
        seed_all(5)
        expected = next_numbers()
        seed_all(5)
        with pytest.raises(ValueError, match='cannot be decoded'):
            dataset[SampleIndex(0, 0, 0, 0)]
        assert next_numbers() == expected

    @pytest.mark.parametrize('other', [SampleIndex(0, 0, 1, 0), SampleIndex(0, 0, 0, 1)])
    def test_changes_with_the_number_and_with_the_seed(self, root, other):
        dataset = make_dataset(root)
        images = [dataset[item]['inputs'] for item in (SampleIndex(0, 0, 0, 0), other)]
        assert not torch.equal(*images)

    def test_of_two_sources_with_the_same_image_differs(self, root):
        config = source(root, 'day', 'unlabeled')
        dataset = MultiDomainDataset({'day': {'labeled': config, 'unlabeled': config}})
        assert not torch.equal(
            dataset[SampleIndex(0, 0, 0, 0)]['inputs'], dataset[SampleIndex(1, 0, 0, 0)]['inputs']
        )


def unlabeled_indices():
    return [SampleIndex(s, i, n, 0) for s in (1, 3) for i in range(4) for n in range(2)]


def corrupt(root):
    for domain in CLASSES:
        for path in (root / domain / 'unlabeledannot').iterdir():
            path.write_bytes(b'no image')


def relabel(root):
    for domain in CLASSES:
        for path in (root / domain / 'unlabeledannot').iterdir():
            cv2.imwrite(str(path), np.full((5, 5), 200, np.uint8))


def delete(root):
    for domain in CLASSES:
        shutil.rmtree(root / domain / 'unlabeledannot')


CHANGES = pytest.mark.parametrize('change', [relabel, corrupt, delete])


class TestCommonAugmentation:
    AUGMENTATION = dict(zip(('flip', 'colors'), AUGMENT, strict=True))

    def without_own(self, root):
        domains = domains_of(root)
        for sources in domains.values():
            for config in sources.values():
                config['pipeline'] = [t for t in config['pipeline'] if t not in AUGMENT]
        return domains

    def test_is_that_of_sources_which_have_it_before_their_packing(self, root):
        common = MultiDomainDataset(self.without_own(root), augmentation=self.AUGMENTATION)
        own = make_dataset(root)
        for number in range(4):
            index = SampleIndex(number, 1, number, 0)
            assert_same_sample(common[index], own[index])

    def test_reaches_data_sets_within_wrappers(self, root):
        plain = self.without_own(root)['day']['unlabeled']
        parts = [dict(type='RepeatDataset', times=2, dataset=plain), plain]
        wrapped = {'day': {'unlabeled': dict(type='ConcatDataset', datasets=parts)}}
        common = MultiDomainDataset(wrapped, augmentation=self.AUGMENTATION)
        own = MultiDomainDataset({'day': {'unlabeled': source(root, 'day', 'unlabeled')}})
        for i in range(12):
            ours = common[SampleIndex(0, i, 7, 0)]
            assert_same_sample(ours, own[SampleIndex(0, i % 4, 7, 0)])

    def test_comes_after_what_mixes_images_where_that_packs_them(self, root):
        leaf = {**source(root, 'day', 'unlabeled'), 'pipeline': LOAD}
        mix = [dict(type='RandomMosaic', prob=1.0, img_scale=(8, 8))]

        def mixed(*transforms):
            steps = [*mix, *transforms, dict(type='PackSegInputs')]
            config = dict(type='MultiImageMixDataset', dataset=leaf, pipeline=steps)
            return {'day': {'unlabeled': config}}

        common = MultiDomainDataset(mixed(), augmentation=self.AUGMENTATION)
        own = MultiDomainDataset(mixed(*AUGMENT))
        for number in range(4):
            index = SampleIndex(0, 1, number, 0)
            assert_same_sample(common[index], own[index])

    def test_needs_to_know_where_images_are_packed(self, root):
        config = source(root, 'day', 'labeled', pipeline=LOAD)
        with pytest.raises(ValueError, match='day, labeled source.*expected PackSegInputs'):
            MultiDomainDataset({'day': {'labeled': config}}, augmentation=self.AUGMENTATION)


class TestMasksOfUnlabeledImages:
    @CHANGES
    def test_change_nothing_that_is_loaded(self, root, change):
        before = [make_dataset(root)[item] for item in unlabeled_indices()]
        change(root)
        dataset = make_dataset(root)
        for item, sample in zip(unlabeled_indices(), before, strict=True):
            assert_same_sample(dataset[item], sample)

    @CHANGES
    def test_change_no_training_loss(self, root, change):
        before = self.losses(root)
        assert {'day.loss_ce', 'day.loss_unsupervised', 'night.loss_unsupervised'} < set(before)
        change(root)
        assert self.losses(root) == before

    def losses(self, root):
        """All losses of two iterations on each domain, from the files to the segmentor."""
        torch.manual_seed(0)
        model = MODELS.build(
            dict(
                type='CCT',
                data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=8, seg_pad_val=255),
                backbone=dict(
                    type='ResNetV1c',
                    depth=18,
                    stem_channels=8,
                    base_channels=8,
                    num_stages=3,
                    strides=(1, 2, 1),
                    dilations=(1, 1, 2),
                    out_indices=(0, 1, 2),
                ),
                decode_head=dict(type='SubPixelHead', in_channels=32),
                domains={
                    'day': dict(classes=CLASSES['day'], foreground=('car',)),
                    'night': dict(classes=CLASSES['night']),
                },
                auxiliary=dict(
                    in_channels=32,
                    perturbations=[dict(type='F-Noise'), dict(type='Obj-Msk'), dict(type='I-VAT')],
                ),
            )
        )
        dataset = make_dataset(root)
        sampler = AlternatingDomainSampler(dataset, 2, 2, seed=0)
        loader = DataLoader(dataset, 4, sampler=sampler, collate_fn=pseudo_collate)
        values = {}
        for t, batch in enumerate(islice(loader, 4)):
            set_progress(model, Progress(iteration=t, max_iters=4, seed=0))
            data = model.data_preprocessor(batch, training=True)
            for name, value in model.loss(**data).items():
                values.setdefault(name, []).append(value.item())
        return values

    def test_may_be_named_by_a_list_that_nobody_declared_unlabeled(self, root):
        config = source(root, 'day', 'unlabeled', labeled=None)
        before = MultiDomainDataset({'day': {'unlabeled': config}})[SampleIndex(0, 0, 0, 0)]
        corrupt(root)
        after = MultiDomainDataset({'day': {'unlabeled': config}})[SampleIndex(0, 0, 0, 0)]
        assert_same_sample(after, before)

    def test_need_not_be_there_for_a_dataset_of_mmseg_itself(self, root):
        delete(root)
        config = dict(
            type='BaseSegDataset',
            data_root=str(root / 'day'),
            data_prefix=dict(img_path='unlabeled', seg_map_path='unlabeledannot'),
            img_suffix='.png',
            metainfo=dict(classes=CLASSES['day'], palette=PALETTES['day']),
            pipeline=LOAD + PACK,
        )
        dataset = MultiDomainDataset({'day': {'unlabeled': config}})
        assert len(dataset) == IMAGES['unlabeled']
        assert 'gt_sem_seg' not in dataset[SampleIndex(0, 0, 0, 0)]['data_samples']

    def test_are_not_needed_where_the_source_is_a_plain_image_folder(self, root):
        delete(root)
        folder = source(
            root, 'day', 'unlabeled', ann_file='', data_prefix=dict(img_path='unlabeled')
        )
        configs = domains_of(root)
        dataset = MultiDomainDataset({'day': {**configs['day'], 'unlabeled': folder}})
        for i in range(IMAGES['unlabeled']):
            listed = MultiDomainDataset(configs)[SampleIndex(1, i, 0, 0)]
            assert_same_sample(dataset[SampleIndex(1, i, 0, 0)], listed)


@DATASETS.register_module()
class DatasetWithoutImages(BaseDataset):
    """A dataset that, unlike ``ListDataset``, says nothing when it finds no file."""

    def __init__(self, **kwargs):
        super().__init__(serialize_data=False, **kwargs)

    def load_data_list(self):
        return []


class TestErrors:
    def check(self, names, domains):
        """Refuse these domains with a message that names all this, in this order."""
        with pytest.raises(ValueError, match='^' + '.*'.join(map(re.escape, names))):
            MultiDomainDataset(domains)

    def test_unknown_kind_of_source(self, root):
        self.check(
            ['MultiDomainDataset: domain day', "'weekly'", 'expected', 'labeled, unlabeled, weak'],
            {'day': {'weekly': source(root, 'day', 'labeled')}},
        )

    def test_no_images(self):
        self.check(
            [
                'day, labeled source: no images',
                'expected',
                'data_root',
                'ann_file',
                "'nowhere', ''",
            ],
            {'day': {'labeled': dict(type='DatasetWithoutImages', data_root='nowhere')}},
        )

    def test_empty_list(self, root):
        (root / 'day/labeled.txt').write_text('')
        with pytest.raises(ValueError, match=r'labeled\.txt is empty, expected one "image label"'):
            make_dataset(root)

    @pytest.mark.parametrize('loader', ['LoadAnnotations', 'LoadCheckedAnnotations'])
    def test_unlabeled_source_that_loads_annotations(self, root, loader):
        config = source(root, 'day', 'unlabeled', pipeline=[*LOAD, dict(type=loader), *PACK])
        self.check(
            ['day, unlabeled source: ', loader, 'expected none', 'remove it from the pipeline'],
            {'day': {'unlabeled': config}},
        )

    def test_sources_of_one_domain_with_differing_classes(self, root):
        other = source(root, 'day', 'unlabeled')
        other['metainfo'] = dict(classes=('sky', 'ground'), palette=PALETTES['day'][:2])
        self.check(
            [
                "day, unlabeled source: its classes ('sky', 'ground') differ",
                "labeled source, ('sky', 'ground', 'car')",
                'label space',
            ],
            {'day': {'labeled': source(root, 'day', 'labeled'), 'unlabeled': other}},
        )

    def weak(self, root, *loading, **kwargs):
        """A source that, as VOC's, never looks whether a mask exists; three images, one mask."""
        (root / 'pseudo').mkdir(exist_ok=True)
        shutil.copy(root / 'day/labeledannot/0.png', root / 'pseudo/0.png')
        return dict(
            type='BaseSegDataset',
            data_prefix=dict(img_path=f'{root}/day/labeled', seg_map_path=f'{root}/pseudo'),
            img_suffix='.png',
            metainfo=dict(classes=CLASSES['day'], palette=PALETTES['day']),
            pipeline=[*LOAD, *loading, *PACK],
            serialize_data=False,
            **kwargs,
        )

    def test_weak_source_without_its_pseudo_labels(self, root):
        masks = dict(type='LoadCheckedAnnotations', num_classes=3)
        self.check(
            [
                'day, weak source: 2 of 3 images have no label file',
                'expected one for each',
                f'{root}/day/labeled/1.png (seg_map_path: {root}/pseudo/1.png)',
                'tools/gen_pseudo_labels.py',
                'off the list',
            ],
            {'day': {'weak': self.weak(root, masks)}},
        )
        # Images that are not used, and pipelines that load no labels, need none.
        for config in (self.weak(root, masks, indices=1), self.weak(root)):
            MultiDomainDataset({'day': {'weak': config}})

    def test_weak_source_that_says_nowhere_where_its_pseudo_labels_are(self, root):
        config = self.weak(root, dict(type='LoadAnnotations'))
        del config['data_prefix']['seg_map_path']
        with pytest.raises(ValueError, match=r'3 of 3 images have no .* \(seg_map_path: None\)'):
            MultiDomainDataset({'day': {'weak': config}})

    @pytest.mark.parametrize('kind', ['labeled', 'weak'])
    def test_image_that_a_file_of_image_level_labels_does_not_name(self, root, kind):
        (root / 'labels.csv').write_text('0.png,car\n')
        path = str(root / 'labels.csv')
        labels = dict(type='LoadImageLabels', classes=CLASSES['day'], path=path)
        self.check(
            [
                f'day, {kind} source: {path}: no image-level labels of {root}/day/labeled/1.png',
                'expected an entry 1 ',
                '(there are 1, such as 0)',
                'off the list',
                '(2 of 3 images have none)',
            ],
            {'day': {kind: self.weak(root, labels)}},
        )
        MultiDomainDataset({'day': {kind: self.weak(root, labels, indices=1)}})

    def test_image_level_labels_of_another_list_of_classes(self, root):
        labels = dict(type='LoadImageLabels', classes=CLASSES['day'][1:])
        given, expected = list(CLASSES['day'][1:]), list(CLASSES['day'])
        self.check(
            [
                f'day, weak source: LoadImageLabels has the classes {given}, expected',
                f'{expected}, in this order',
            ],
            {'day': {'weak': self.weak(root, labels)}},
        )

    def test_classes_may_differ_between_domains(self, root):
        assert make_dataset(root).domains == ['day', 'night']


class TestMetainfo:
    def test_holds_every_domain_and_the_first_where_mmseg_looks(self, root):
        metainfo = make_dataset(root).metainfo
        expected = {name: dict(classes=CLASSES[name], palette=PALETTES[name]) for name in CLASSES}
        assert metainfo == dict(domains=expected, **expected['day'])


class TestValidation:
    @pytest.fixture
    def dataset(self, root):
        return MultiDomainDataset(
            {
                name: {'labeled': source(root, name, 'labeled', test_mode=True)}
                for name in ('night', 'day')
            }
        )

    def test_indices_run_through_all_sources_in_their_order(self, dataset):
        assert len(dataset) == 6
        found = [
            (s.domain, s.img_path.rpartition('/')[2])
            for s in (dataset[i]['data_samples'] for i in range(len(dataset)))
        ]
        names = ['0.png', '1.png', '2.png']
        assert found == [(domain, name) for domain in ('night', 'day') for name in names]

    def test_iteration_ends_after_the_last_image(self, dataset):
        assert len(list(dataset)) == 6
