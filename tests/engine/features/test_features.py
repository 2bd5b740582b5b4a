"""Training on features from disk is training on images with a frozen backbone."""

import copy
import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch.utils.data import DataLoader
from two_domains import DOMAINS, PALETTES, network_config

from cct_mm.datasets import AlternatingDomainSampler, CachedFeaturesDataset
from cct_mm.engine.features.compute import cache_features
from cct_mm.engine.features.recipe import check_features, digest
from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

IMAGES = {'labeled': 2, 'unlabeled': 3}
VERSIONS = {'labeled': 3, 'unlabeled': 2}
SAMPLER = dict(labeled_per_batch=2, unlabeled_per_batch=2)
TOTAL = 2 * (2 * 3 + 3 * 2)


class FromImages(CachedFeaturesDataset):
    """The same versions of the same images, which a backbone has yet to see."""

    def _load(self, item):
        return self.augmented(item.source, item.index, self.version(item))


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def write_data(root):
    """Two domains of 16 x 24 images; unlabeled images have masks in the lists alone."""
    rng = np.random.default_rng(0)
    for domain, entry in DOMAINS.items():
        folder = root / domain
        folder.mkdir(parents=True)
        for kind, count in IMAGES.items():
            lines = []
            for i in range(count):
                image, mask = f'{kind}{i}.png', f'{kind}{i}_mask.png'
                pixels = rng.integers(0, 256, (16, 24, 3), dtype=np.uint8)
                labels = rng.integers(0, len(entry['classes']), (16, 24), dtype=np.uint8)
                cv2.imwrite(str(folder / image), pixels)
                if kind == 'labeled':
                    cv2.imwrite(str(folder / mask), labels)
                lines.append(f'{image} {mask}\n')
            (folder / f'{kind}.txt').write_text(''.join(lines))


def source(root, domain, kind):
    masks = [dict(type='LoadCheckedAnnotations')] if kind == 'labeled' else []
    return dict(
        type='ListDataset',
        data_root=str(root / domain),
        ann_file=f'{kind}.txt',
        labeled=kind == 'labeled',
        metainfo=dict(classes=DOMAINS[domain]['classes'], palette=PALETTES[domain]),
        pipeline=[dict(type='LoadCheckedImage'), *masks, dict(type='PackSegInputs')],
        serialize_data=False,
    )


class Setting:
    """A config, its data and a checkpoint, from which the backbone comes."""

    def __init__(self, root):
        self.root = root
        write_data(root / 'data')
        self.cfg = network_config(
            'CCT', neck=dict(type='PSPNeck', in_channels=32, out_channels=24), frozen_backbone=True
        )
        domains = {
            name: {kind: source(root / 'data', name, kind) for kind in IMAGES} for name in DOMAINS
        }
        self.cfg.train_dataloader = dict(
            sampler=dict(type='AlternatingDomainSampler', **SAMPLER),
            dataset=dict(
                type='CachedFeaturesDataset',
                cache=str(root / 'cache'),
                versions=VERSIONS,
                dtype='float32',
                augmentation=dict(
                    # In the order in which a config that is written has them.
                    colors=dict(type='PhotoMetricDistortion'),
                    flip=dict(type='RandomFlip', prob=0.5),
                    # It fills corners, which do not count.
                    turn=dict(type='RandomRotate', prob=0.5, degree=20),
                ),
                domains=domains,
            ),
        )
        self.cfg.load_from = str(root / 'start.pth')
        self.cfg.custom_imports = dict(imports=['cct_mm'], allow_failed_imports=False)
        self.cfg.default_scope = 'mmseg'
        self.path = root / 'config.py'
        self.cfg.dump(self.path)
        torch.manual_seed(3)
        torch.save(dict(state_dict=MODELS.build(self.cfg.model).state_dict()), self.cfg.load_from)

    def cache(self, **options):
        return cache_features(
            self.path, [f'{key.replace("__", ".")}={value}' for key, value in options.items()]
        )

    def dataset(self, kind=CachedFeaturesDataset, **changes):
        config = copy.deepcopy(self.cfg.train_dataloader.dataset)
        config.pop('type')
        return kind(**{**config, **changes})

    def model(self):
        model = MODELS.build(self.cfg.model)
        model.load_state_dict(torch.load(self.cfg.load_from)['state_dict'])
        return model.train()

    def check(self, model=None, dataset=None):
        dataset = dataset or self.dataset()
        sampler = AlternatingDomainSampler(dataset, **SAMPLER, seed=0)
        check_features(model or self.model(), self.cfg.model, dataset, sampler)

    def files(self):
        return {f: f.read_bytes() for f in sorted((self.root / 'cache').rglob('*.npz'))}


@pytest.fixture(scope='module')
def cached(tmp_path_factory):
    """All features, made without a stop."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        setting = Setting(tmp_path_factory.mktemp('cached'))
        setting.said = setting.cache()
    return setting


@pytest.fixture
def own(cached, tmp_path):
    """The same, to be changed."""
    shutil.copytree(cached.root / 'cache', tmp_path / 'cache')
    setting = copy.copy(cached)
    setting.root = tmp_path
    setting.cfg = copy.deepcopy(cached.cfg)
    setting.cfg.train_dataloader.dataset.cache = str(tmp_path / 'cache')
    setting.path = tmp_path / 'config.py'
    setting.cfg.dump(setting.path)
    return setting


def batches(dataset, count=4, workers=0):
    sampler = AlternatingDomainSampler(dataset, **SAMPLER, seed=5)
    loader = DataLoader(dataset, 4, sampler=sampler, num_workers=workers, collate_fn=pseudo_collate)
    found = iter(loader)
    return [next(found) for _ in range(count)]


def samples(dataset, **options):
    """All images and samples of some batches."""
    found = batches(dataset, **options)
    return [pair for batch in found for pair in zip(*batch.values(), strict=True)]


def train(model, data):
    """Train and return the losses of each step."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    losses = []
    for step, batch in enumerate(data):
        set_progress(model, Progress(step + 5, 20, seed=1))
        found = model.loss(**model.data_preprocessor(batch, training=True))
        optimizer.zero_grad()
        model.parse_losses(found)[0].backward()
        optimizer.step()
        losses.append({name: value.detach().clone() for name, value in found.items()})
    return losses


class TestTraining:
    @pytest.mark.parametrize('joint', [False, True])
    def test_is_that_on_images_with_the_frozen_backbone(self, cached, joint):
        found, expected = cached.model(), cached.model()
        found.joint_encoding = expected.joint_encoding = joint
        # From here on what would use the backbone fails.
        found.backbone.forward = None
        losses = train(found, batches(cached.dataset()))
        wanted = train(expected, batches(cached.dataset(FromImages)))
        for step, of_images in zip(losses, wanted, strict=True):
            torch.testing.assert_close(step, of_images, rtol=1e-4, atol=1e-6)
        weights = {name: p.detach() for name, p in expected.named_parameters()}
        torch.testing.assert_close(
            {name: p.detach() for name, p in found.named_parameters()},
            weights,
            rtol=1e-4,
            atol=1e-5,
        )

    def test_of_strong_views_is_that_on_images_which_are_filled(self, cached):
        """Where an image is filled, its strong views and the losses leave it out."""
        data, of_images = (
            batches(cached.dataset(kind)) for kind in (CachedFeaturesDataset, FromImages)
        )
        filled = [
            sample for batch in data for sample in batch['data_samples'] if 'filled' in sample
        ]
        assert filled and all(sample.filled.data.any() for sample in filled)
        assert all(sample.filled.data.dtype == torch.bool for sample in filled)
        cfg = copy.deepcopy(cached.cfg.model)
        cfg.strong = dict(loss=dict(confidence=0.3))
        model = MODELS.build(cfg).train()
        model.load_state_dict(torch.load(cached.cfg.load_from)['state_dict'])
        expected = train(copy.deepcopy(model), of_images)
        found = train(model, data)
        assert all(
            step[name] > 0 for step in found for name in step if name.endswith('loss_strong')
        )
        for step, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(step, wanted, rtol=1e-4, atol=1e-6)

    def test_knows_the_image_level_labels(self, own):
        """And labels that have changed since are refused."""
        names = own.root / 'names.csv'
        names.write_text('unlabeled0.png,0\nunlabeled1.png,0;1\nunlabeled2.png,\n')
        for domain, kinds in own.cfg.train_dataloader.dataset.domains.items():
            keys = ('img_path', 'img_shape', 'image_labels', 'image_labels_complete')
            load = dict(type='LoadImageLabels', classes=DOMAINS[domain]['classes'], path=str(names))
            image, pack = kinds.unlabeled.pipeline
            kinds.unlabeled.pipeline = [image, load, {**pack, 'meta_keys': keys}]
        own.cfg.train_dataloader.dataset.cache = str(own.root / 'named')
        own.cfg.dump(own.path)
        own.cache()
        own.check()
        data = batches(own.dataset())
        for sample in (s for batch in data for s in batch['data_samples']):
            if sample.supervision == 'unlabeled':
                assert sample.image_labels == [(0,), (0, 1), ()][int(sample.img_path[-5])]
                assert sample.image_labels_complete is True
        wanted = train(own.model(), batches(own.dataset(FromImages)))
        for step, of_images in zip(train(own.model(), data), wanted, strict=True):
            torch.testing.assert_close(step, of_images, rtol=1e-4, atol=1e-6)
        names.write_text(names.read_text().replace('0;1', '1'))
        with pytest.raises(ValueError, match='features of other settings.*\n.*image_labels: '):
            own.check()

    def test_leaves_the_backbone_and_an_idle_domain_as_they_are(self, cached):
        model = cached.model()
        before = copy.deepcopy(model.state_dict())
        losses = train(model, batches(cached.dataset(), count=1))
        assert set(losses[0]) >= {'day.loss_unsupervised'}
        changed = {
            name
            for name, value in model.state_dict().items()
            if not torch.equal(value, before[name])
        }
        assert any(name.startswith('neck.') for name in changed)
        assert any(name.startswith('domains.day.') for name in changed)
        assert not any(name.startswith(('backbone.', 'domains.night.')) for name in changed)
        assert not any('statistics.night' in name for name in changed)

    def test_is_the_same_with_any_number_of_workers(self, cached):
        found, expected = samples(cached.dataset(), workers=2), samples(cached.dataset())
        for (image, a), (as_before, b) in zip(found, expected, strict=True):
            assert torch.equal(image, as_before)
            assert a.metainfo == b.metainfo and set(a.keys()) == set(b.keys())
            assert all(map(torch.equal, a.backbone_maps, b.backbone_maps))

    def test_in_float16_differs_by_its_rounding(self, own):
        name = 'train_dataloader.dataset.cache'
        cache = str(own.root / 'half')
        own.cache(**{name: cache, 'train_dataloader.dataset.dtype': 'float16'})
        half = own.dataset(cache=cache, dtype='float16')
        for (_, found), (_, whole) in zip(samples(half), samples(own.dataset()), strict=True):
            rounded = [level.half() for level in whole.backbone_maps]
            assert all(map(torch.equal, found.backbone_maps, rounded))


class TestComputing:
    def test_says_how_much_room_it_takes_and_where_results_are(self, cached, own, capsys):
        assert f'{TOTAL} features made' in cached.said
        assert f'Results: {cached.root / "cache"}' in cached.said
        assert f'0 features made, {TOTAL} were there' in own.cache()
        assert 'day, labeled source: 6 features of ' in capsys.readouterr().out

    def test_goes_on_where_it_stopped(self, own):
        whole = own.files()
        assert len(whole) == TOTAL
        for file in list(whole)[::3]:
            file.unlink()
        with pytest.raises(FileNotFoundError, match='features are missing'):
            own.check()
        assert f'{len(whole) - len(own.files())} features made' in own.cache()
        assert own.files() == whole
        own.check()

    @pytest.mark.parametrize('damage', ['cut', 'changed', 'empty'])
    def test_names_damaged_files_and_makes_them_again(self, own, damage, capsys):
        whole = own.files()
        file, content = list(whole.items())[4]
        changed = bytearray(content)
        changed[500] ^= 1  # of the image
        file.write_bytes({'cut': content[:-30], 'changed': changed, 'empty': b''}[damage])
        with pytest.raises(ValueError, match=f'{file.name} is damaged'):
            for _ in batches(own.dataset(), count=12):
                pass
        assert '1 features made' in own.cache()
        assert f'{file} is damaged' in capsys.readouterr().out
        assert own.files() == whole


class TestKeys:
    def test_change_with_the_image_and_its_mask_alone(self, cached, tmp_path):
        data = tmp_path / 'data'
        shutil.copytree(cached.root / 'data', data)
        config = copy.deepcopy(cached.cfg.train_dataloader.dataset.domains)
        for name, kinds in config.items():
            for entry in kinds.values():
                entry.data_root = str(data / name)
        before = cached.dataset()
        assert cached.dataset(domains=config).files(0) == before.files(0)
        other = cv2.imread(str(data / 'day/labeled1.png'))
        for file in ('day/labeled0_mask.png', 'night/unlabeled1.png'):
            cv2.imwrite(str(data / file), other[..., 0] // 255 if 'mask' in file else other)
        # Where there was no mask, there is one.
        cv2.imwrite(str(data / 'day/unlabeled0_mask.png'), other[..., 0] // 255)
        after = cached.dataset(domains=config)
        changed = [
            [after.file(i, index, 0) != before.file(i, index, 0) for index in range(count)]
            for i, count in enumerate([*IMAGES.values()] * 2)
        ]
        assert changed == [[True, False], [False] * 3, [False] * 2, [False, True, False]]

    def test_another_transform_another_folder(self, own):
        flip = {'train_dataloader.dataset.augmentation.flip.prob': 0.9}
        with pytest.raises(ValueError, match='features of other settings.*\n.*augmentation: .*0.9'):
            own.cache(**flip)
        turned = dict(reversed(own.cfg.train_dataloader.dataset.augmentation.items()))
        with pytest.raises(ValueError, match='other settings.*\n.*augmentation'):
            own.check(dataset=own.dataset(augmentation=turned))

    def test_other_weights_are_refused(self, cached):
        model = cached.model()
        before = digest(model.backbone)
        assert digest(cached.model().to(memory_format=torch.channels_last).backbone) == before
        with torch.no_grad():
            next(model.backbone.parameters())[0, 0, 0, 0] += 1e-3
        with pytest.raises(ValueError, match=f'other settings:\n  weights: {before}, now sha256'):
            cached.check(model)

    def test_more_versions_leave_those_before(self, own):
        whole = own.files()
        own.cache(**{'train_dataloader.dataset.versions.labeled': 4})
        assert own.files().items() > whole.items()
        assert len(own.files()) == TOTAL + 4

    def test_stand_beside_the_features(self, cached):
        for folder in ('day/labeled', 'night/unlabeled'):
            found = json.loads((cached.root / 'cache' / folder / 'features.json').read_text())
            assert found['weights'] == digest(cached.model().backbone)


def test_a_trained_backbone_is_refused(cached):
    model = cached.model()
    model.frozen_backbone = False
    with pytest.raises(ValueError, match='expected model.frozen_backbone=True'):
        cached.check(model)


def test_every_version_comes_before_one_comes_twice(cached):
    dataset = cached.dataset()
    sampler = AlternatingDomainSampler(dataset, **SAMPLER, seed=5)
    seen = {}
    for t in range(40):
        for item in sampler.iteration(t):
            seen.setdefault(item[:2], []).append(dataset.version(item))
    for (source, _), versions in seen.items():
        number = dataset.versions[source]
        assert sorted(versions[:number]) == list(range(number))
        assert versions[number : 2 * number] == versions[:number]


@pytest.mark.parametrize('versions', [0, {'labeled': 2}, 1.5])
def test_a_number_of_versions_that_is_none_is_refused(cached, versions):
    with pytest.raises(ValueError, match='expected a whole number above 0'):
        cached.dataset(versions=versions)


def test_joined_images_are_refused(cached):
    domains = copy.deepcopy(cached.cfg.train_dataloader.dataset.domains)
    parts = dict(type='ConcatDataset', datasets=[domains.day.unlabeled])
    domains.day.unlabeled = dict(type='MultiImageMixDataset', dataset=parts, pipeline=[])
    with pytest.raises(ValueError, match='a MultiImageMixDataset joins several images'):
        cached.dataset(domains=domains)
