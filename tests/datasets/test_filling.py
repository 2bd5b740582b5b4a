"""What a transform has filled is known afterwards, and the images stay what they were."""

import pickle

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform, Compose
from mmengine.registry import DefaultScope
from mmseg.datasets.transforms import Albu
from mmseg.registry import TRANSFORMS

from cct_mm.datasets import MultiDomainDataset, SampleIndex
from cct_mm.datasets.filling import FollowedPipeline

SIZE = (40, 60)
METAINFO = dict(classes=('a', 'b'), palette=[[0, 0, 0], [9, 9, 9]])


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def root(tmp_path):
    """Three images without a pixel of 0, and masks of 0 and 1."""
    rng = np.random.default_rng(0)
    for folder, array in (
        ('images', lambda: rng.integers(1, 256, (*SIZE, 3), dtype=np.uint8)),
        ('masks', lambda: rng.integers(0, 2, SIZE, dtype=np.uint8)),
    ):
        (tmp_path / folder).mkdir()
        for i in range(3):
            cv2.imwrite(str(tmp_path / folder / f'{i}.png'), array())
    return tmp_path


def source(root, kind, *transforms, **kwargs):
    masks = [dict(type='LoadCheckedAnnotations')] if kind == 'labeled' else []
    folders = dict(img_path='images') | (dict(seg_map_path='masks') if masks else {})
    return dict(
        type='ListDataset',
        data_root=str(root),
        data_prefix=folders,
        metainfo=METAINFO,
        serialize_data=False,
        pipeline=[
            dict(type='LoadCheckedImage'),
            *masks,
            *transforms,
            dict(type='PackSegInputs'),
        ],
        **kwargs,
    )


def make(root, kind, *transforms):
    return MultiDomainDataset({'day': {kind: source(root, kind, *transforms)}})


def samples(dataset, count=4):
    return [dataset[SampleIndex(0, n % 3, n, seed=0)] for n in range(count)]


def filled(sample):
    """The map of a sample as [H, W]; all False where nothing is filled."""
    if 'filled' not in sample['data_samples']:
        return torch.zeros(sample['inputs'].shape[1:], dtype=torch.bool)
    return sample['data_samples'].filled.data[0]


def zero(sample):
    return (sample['inputs'] == 0).all(dim=0)


ROTATE = dict(type='RandomRotate', prob=1.0, degree=20)
PAD = dict(type='Pad', size=(80, 50))
CUTOUT = dict(type='RandomCutOut', prob=1.0, n_holes=2, cutout_shape=(8, 8))
CUTOUT_255 = dict(CUTOUT, seg_fill_in=255)


@TRANSFORMS.register_module()
class EraseTop(BaseTransform):
    """A user's own: knows images, and label maps where there are some."""

    def transform(self, results):
        rows = np.random.randint(1, 9)  # noqa: NPY002
        results['img'][:rows] = 0
        if 'gt_seg_map' in results:
            results['gt_seg_map'][:rows] = 255
        return results


@TRANSFORMS.register_module()
class FramedInNew(BaseTransform):
    """A user's own: knows all maps, and makes new arrays in a new dictionary."""

    def transform(self, results):
        fields = results.get('seg_fields', [])
        framed = {key: np.pad(results[key], 3, constant_values=255) for key in fields}
        image = np.pad(results['img'], ((3, 3), (3, 3), (0, 0)))
        return {**results, **framed, 'img': image, 'img_shape': image.shape[:2]}


@TRANSFORMS.register_module()
class ImageOnlyPad(BaseTransform):
    """A user's own that knows no mask at all."""

    def transform(self, results):
        results['img'] = np.pad(results['img'], ((3, 3), (3, 3), (0, 0)))
        return results


@TRANSFORMS.register_module()
class Darken(BaseTransform):
    """A user's own that changes values alone."""

    def transform(self, results):
        results['img'] = np.maximum(results['img'] // 2, 1)
        return results


# Exactly what is 0 is filling.
EXACT = {
    'pad': [PAD],
    'pad, then flip': [PAD, dict(type='RandomFlip', prob=1.0)],
    'pad to a square': [dict(type='Pad', pad_to_square=True)],
    'pad, masks by 0': [dict(type='Pad', size=(80, 50), pad_val=dict(img=0, seg=0))],
    'cut out': [CUTOUT],
    'cut out, masks too': [CUTOUT_255],
    'cut out, then pad': [CUTOUT, PAD],
    'one of several': [dict(type='RandomChoice', transforms=[[PAD], [CUTOUT], []])],
    'perhaps': [dict(type='RandomApply', prob=0.5, transforms=[PAD, CUTOUT])],
    'center crop with padding': [dict(type='mmcv.CenterCrop', crop_size=(64, 30), auto_pad=True)],
    'crop after resize, pad': [
        dict(type='RandomResize', scale=(60, 40), ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='RandomCrop', crop_size=(24, 24)),
        dict(type='RandomFlip', prob=0.5),
        PAD,
    ],
    "mmcv's own resize and flip": [
        PAD,
        dict(type='mmcv.Resize', scale=(160, 100), interpolation='nearest'),
        dict(type='mmcv.RandomFlip', prob=0.5),
    ],
    "a user's own, labels": [dict(type='EraseTop')],
    "a user's own, all maps": [dict(type='FramedInNew')],
    "a user's own, values": [dict(type='Darken'), PAD, dict(type='Darken')],
}


class TestFilling:
    @pytest.mark.parametrize('kind', ['unlabeled', 'labeled'])
    @pytest.mark.parametrize('name', EXACT)
    def test_is_what_the_transform_has_filled(self, root, kind, name):
        found = samples(make(root, kind, *EXACT[name]))
        expected = [zero(sample) for sample in found]
        if name == "a user's own, values":
            # The last Darken makes 1 of 0.
            expected = [(sample['inputs'] == 1).all(dim=0) for sample in found]
        assert any(mask.any() for mask in expected)
        for sample, mask in zip(found, expected, strict=True):
            assert torch.equal(filled(sample), mask)

    @pytest.mark.parametrize('transform', [ROTATE, {**ROTATE, 'auto_bound': True}, PAD, CUTOUT_255])
    def test_is_that_of_a_label_map_which_goes_the_same_way(self, root, transform):
        for sample, image_alone in zip(
            samples(make(root, 'labeled', transform)),
            samples(make(root, 'unlabeled', transform)),
            strict=True,
        ):
            assert torch.equal(sample['inputs'], image_alone['inputs'])
            void = sample['data_samples'].gt_sem_seg.data[0] == 255
            assert void.any()
            assert torch.equal(filled(sample), void)
            assert torch.equal(filled(image_alone), void)

    def test_of_a_rotation_whose_masks_are_filled_by_0_and_blend_is_seen(self, root):
        transform = dict(type='RandomRotFlip', rotate_prob=1.0, flip_prob=0.0)
        for sample in samples(make(root, 'unlabeled', transform)):
            assert filled(sample).any()
            assert (filled(sample) | ~zero(sample)).all()

    def test_of_a_mosaic_is_what_lies_between_its_images(self, root):
        leaf = source(root, 'unlabeled')
        mosaic = dict(
            type='MultiImageMixDataset',
            dataset={**leaf, 'pipeline': leaf['pipeline'][:1]},
            pipeline=[
                dict(type='RandomMosaic', prob=1.0, img_scale=SIZE),
                dict(type='PackSegInputs'),
            ],
        )
        dataset = MultiDomainDataset({'day': {'unlabeled': mosaic}})
        # RandomMosaic asks for an image past the last for every fourth sample of three images.
        found = samples(dataset, 20)
        assert sum(filled(sample).any().item() for sample in found) > 15
        for sample in found:
            assert torch.equal(filled(sample), zero(sample))

    @pytest.mark.parametrize('transforms', [[], [dict(type='RandomFlip', prob=0.5)]])
    def test_is_not_there_where_nothing_is_filled(self, root, transforms):
        for sample in samples(make(root, 'unlabeled', *transforms)):
            assert 'filled' not in sample['data_samples']

    def test_is_not_followed_where_no_transform_can_fill(self, root):
        flip, rotate = dict(type='RandomFlip', prob=0.5), dict(type='RandomApply', transforms=[PAD])
        pipelines = [make(root, 'unlabeled', t).sources[0].dataset.pipeline for t in (flip, rotate)]
        assert [isinstance(p, FollowedPipeline) for p in pipelines] == [False, True]

    def test_of_labels_that_stay_under_a_cut_out_is_no_void(self, root):
        for sample in samples(make(root, 'labeled', CUTOUT)):
            assert filled(sample).any()
            assert (sample['data_samples'].gt_sem_seg.data != 255).all()

    def test_survives_pickling(self, root):
        dataset = make(root, 'unlabeled', ROTATE)
        for a, b in zip(
            samples(dataset), samples(pickle.loads(pickle.dumps(dataset))), strict=True
        ):
            assert torch.equal(filled(a), filled(b))


class TestImages:
    @pytest.mark.parametrize('kind', ['unlabeled', 'labeled'])
    @pytest.mark.parametrize('name', EXACT)
    def test_and_labels_are_what_they_are_without_the_map(self, root, kind, name):
        dataset = make(root, kind, *EXACT[name])
        found = samples(dataset)
        # The same random numbers, image for image, through the transforms alone.
        leaf = dataset.sources[0].dataset
        leaf.pipeline = Compose(leaf.pipeline.transforms)
        for sample, plain in zip(found, samples(dataset), strict=True):
            assert torch.equal(sample['inputs'], plain['inputs'])
            if kind == 'labeled':
                expected = plain['data_samples'].gt_sem_seg.data
                assert torch.equal(sample['data_samples'].gt_sem_seg.data, expected)


class TestErrors:
    @pytest.mark.parametrize('kind', ['unlabeled', 'labeled'])
    def test_transform_that_leaves_the_map_behind_is_named_when_the_source_is_built(
        self, root, kind
    ):
        sentence = (
            rf'^day, {kind} source: ImageOnlyPad has made .*0\.png 66x46 pixels large, but the map '
            r"of its filling has 60x40; expected a transform .* results\['seg_fields'\]"
        )
        with pytest.raises(ValueError, match=sentence):
            make(root, kind, dict(type='ImageOnlyPad'))

    def test_transform_of_a_users_own_that_asks_for_labels_is_named_when_the_source_is_built(
        self, root
    ):
        @TRANSFORMS.register_module(force=True)
        class NeedsLabels(BaseTransform):
            def transform(self, results):
                results['share'] = (results['gt_seg_map'] == 0).mean()
                return results

        with pytest.raises(
            ValueError, match=r'day, unlabeled source: NeedsLabels asks for the lab'
        ):
            make(root, 'unlabeled', dict(type='NeedsLabels'))
        assert len(make(root, 'labeled', dict(type='NeedsLabels'))) == 3


@TRANSFORMS.register_module()
class Albumentations(Albu):
    """What mmseg's ``Albu`` is with a library that has a generator of its own."""

    class Library:
        def __init__(self):
            self.random = np.random.default_rng()

        def set_random_seed(self, seed):
            self.random = np.random.default_rng(seed)

    def __init__(self):
        self.aug = self.Library()

    def transform(self, results):
        rows = self.aug.random.integers(1, 9)
        results['img'][:rows] = 0
        if 'gt_seg_map' in results:
            results['gt_seg_map'][:rows] = 255
        return results

    __call__ = transform


@pytest.mark.parametrize('kind', ['labeled', 'unlabeled'])
@pytest.mark.parametrize('nested', [False, True])
def test_a_library_with_a_generator_of_its_own_draws_by_the_key(root, kind, nested):
    transform = dict(type='Albumentations')
    if nested:
        transform = dict(type='RandomApply', prob=1.0, transforms=[transform])
    first, second = (samples(make(root, kind, transform), 12) for _ in range(2))
    rows = [zero(sample).all(dim=1).sum().item() for sample in first]
    assert len(set(rows)) > 2
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one['inputs'], other['inputs'])
        if kind == 'unlabeled':
            assert torch.equal(filled(one), zero(one))
