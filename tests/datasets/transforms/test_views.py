"""A further view has other colors and the same geometry, and leaves the image as it is."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader

from cct_mm.datasets import AddView, AlternatingDomainSampler, MultiDomainDataset, SampleIndex
from cct_mm.labels import IGNORE_INDEX

GEOMETRY = [
    dict(type='RandomRotate', prob=1.0, degree=30, pad_val=0, seg_pad_val=IGNORE_INDEX),
    dict(type='RandomCrop', crop_size=(12, 16)),
    dict(type='RandomFlip', prob=0.5),
]
STRONG = dict(type='AddView', name='strong', transforms=[dict(type='PhotoMetricDistortion')])
SAME = dict(type='AddView', name='same', transforms=[])


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def make_dataset(tmp_path):
    """Make a data set of 16 x 24 images, labeled and unlabeled, with these further transforms."""
    rng = np.random.default_rng(0)
    for i in range(4):
        cv2.imwrite(str(tmp_path / f'{i}.png'), rng.integers(0, 256, (16, 24, 3), dtype=np.uint8))
        cv2.imwrite(str(tmp_path / f'{i}_labels.png'), rng.integers(0, 2, (16, 24), dtype=np.uint8))
    lines = [f'{i}.png {i}_labels.png\n' for i in range(4)]
    (tmp_path / 'labeled.txt').write_text(''.join(lines))
    (tmp_path / 'unlabeled.txt').write_text(''.join(f'{i}.png\n' for i in range(4)))

    def make(*views, wrapped=False):
        sources = {}
        for kind in ('labeled', 'unlabeled'):
            load = [dict(type='LoadCheckedImage')]
            load += [dict(type='LoadCheckedAnnotations')] if kind == 'labeled' else []
            sources[kind] = dict(
                type='ListDataset',
                data_root=str(tmp_path),
                ann_file=f'{kind}.txt',
                labeled=kind == 'labeled',
                metainfo=dict(classes=('a', 'b'), palette=[[0, 0, 0], [9, 9, 9]]),
                pipeline=[*load, *GEOMETRY, dict(type='PackSegInputs'), *views],
                serialize_data=False,
            )
            if wrapped:
                sources[kind] = dict(type='RepeatDataset', times=2, dataset=sources[kind])
        return MultiDomainDataset({'day': sources})

    return make


def samples_of(dataset):
    return [dataset[SampleIndex(s, i, n, 0)] for s in (0, 1) for i in range(4) for n in (0, 1)]


class TestView:
    @pytest.mark.parametrize('wrapped', [False, True])
    def test_leaves_image_labels_and_filling_as_they_are(self, make_dataset, wrapped):
        plain, viewed = make_dataset(), make_dataset(STRONG, wrapped=wrapped)
        for a, b in zip(samples_of(plain), samples_of(viewed), strict=True):
            assert torch.equal(a['inputs'], b['inputs'])
            for field in ('gt_sem_seg', 'filled'):
                assert (field in a['data_samples']) == (field in b['data_samples'])
                if field in a['data_samples']:
                    first, second = (x['data_samples'].get(field).data for x in (a, b))
                    assert torch.equal(first, second)

    def test_shows_every_pixel_where_the_image_shows_it(self, make_dataset):
        changed = 0
        samples = samples_of(make_dataset(STRONG, SAME))
        for sample in samples:
            views, image = sample['data_samples'].views, sample['inputs']
            assert torch.equal(views.same, image)
            assert views.strong.shape == image.shape
            assert views.strong.dtype == torch.uint8
            changed += not torch.equal(views.strong, image)
            # Other colors of the same scene: brightness still goes along.
            both = torch.stack([x.float().mean(dim=0).flatten() for x in (views.strong, image)])
            assert torch.corrcoef(both)[0, 1] > 0.5
        # Each of its parts happens by chance, so that now and then nothing does.
        assert changed > len(samples) / 2

    def test_follows_from_the_key_of_the_sample_alone(self, make_dataset):
        dataset = make_dataset(STRONG)
        first, again = (dataset[SampleIndex(1, 2, 5, 0)]['data_samples'] for _ in range(2))
        other = dataset[SampleIndex(1, 2, 6, 0)]['data_samples']
        assert torch.equal(first.views.strong, again.views.strong)
        assert not torch.equal(first.views.strong, other.views.strong)

    def test_is_the_same_with_any_number_of_workers(self, make_dataset):
        def load(workers):
            dataset = make_dataset(STRONG)
            sampler = AlternatingDomainSampler(dataset, 1, 1, seed=0)
            loader = DataLoader(
                dataset, 2, sampler=sampler, num_workers=workers, collate_fn=lambda batch: batch
            )
            iterator = iter(loader)
            return [s['data_samples'].views.strong for _ in range(3) for s in next(iterator)]

        assert all(torch.equal(a, b) for a, b in zip(load(0), load(2), strict=True))


class TestErrors:
    def packed(self, **fields):
        pack = TRANSFORMS.build(dict(type='PackSegInputs'))
        image = np.zeros((8, 8, 3), np.uint8)
        size = dict(img_shape=(8, 8), ori_shape=(8, 8))
        return pack(dict(img=image, img_path='x.png', **size, **fields))

    def test_geometric_transform(self):
        view = AddView('strong', [dict(type='RandomCrop', crop_size=(4, 4))])
        with pytest.raises(ValueError, match=r'strong.*\(4, 4\).*\(8, 8\).*before .*PackSegInputs'):
            view(self.packed())

    def test_sample_that_is_not_packed_yet(self):
        with pytest.raises(
            ValueError, match=r"'img'.*expected a packed one.*after .*PackSegInputs"
        ):
            AddView('strong', [])(dict(img=np.zeros((8, 8, 3), np.uint8)))

    def test_image_of_other_values_than_8_bits(self):
        sample = SegDataSample(metainfo=dict(img_path='x.tif'))
        view = TRANSFORMS.build(SAME)
        with pytest.raises(
            ValueError, match=r'x.tif has torch.float32 values, expected torch.uint8'
        ):
            view(dict(inputs=torch.zeros(6, 4, 4), data_samples=sample))

    def test_name_that_is_taken(self):
        sample = AddView('strong', [])(self.packed())
        with pytest.raises(ValueError, match=r"x\.png has a view 'strong' already"):
            AddView('strong', [])(sample)

    @pytest.mark.parametrize('name', ['', 'a b', None, 3])
    def test_name_that_is_none(self, name):
        with pytest.raises(ValueError, match='expected an identifier'):
            AddView(name, [])

    def test_transform_that_does_not_exist(self):
        with pytest.raises(KeyError, match='NoSuchTransform'):
            AddView('strong', [dict(type='NoSuchTransform')])
