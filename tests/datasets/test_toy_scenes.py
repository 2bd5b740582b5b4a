"""ToyScenes: every image from its key alone, frozen, whole or not at all."""

import hashlib
import json
import os
import shutil

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

import cct_mm.datasets.transforms  # noqa: F401
from cct_mm.datasets import toy_scenes
from cct_mm.datasets.file_lists import read_file_list
from cct_mm.datasets.toy_scenes import (
    DOMAINS,
    FOREGROUND,
    ToyScenesDataset,
    draw_scene,
    write_toy_scenes,
)

SIZES = {'train': 14, 'val': 3, 'test': 2}
FROZEN_LABELS = (1, '327c1c41606f97fc')
FROZEN_MEANS = [133.57, 157.95, 149.91, 57.07, 59.02, 55.18]


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """The data with fewer images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_scenes, 'SPLIT_SIZES', SIZES)
        yield write_toy_scenes(tmp_path_factory.mktemp('data'))


@pytest.fixture
def copy(written, tmp_path, monkeypatch):
    """A copy that a test may harm."""
    monkeypatch.setattr(toy_scenes, 'SPLIT_SIZES', SIZES)
    return shutil.copytree(written, tmp_path / 'data' / 'ToyScenes')


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


class TestDrawScene:
    def test_depends_on_its_key_alone(self):
        first = draw_scene('night', 'train', 5)
        draw_scene('day', 'val', 1)
        for a, b in zip(first, draw_scene('night', 'train', 5), strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize(
        'key', [('night', 'train', 6), ('day', 'train', 5), ('night', 'test', 5)]
    )
    def test_every_part_of_the_key_counts(self, key):
        reference = draw_scene('night', 'train', 5)
        assert (draw_scene(*key)[0] != reference[0]).mean() > 0.5
        assert (draw_scene('night', 'train', 5, seed=1)[0] != reference[0]).mean() > 0.5

    @pytest.mark.parametrize('domain', DOMAINS)
    def test_all_classes_occur_and_things_are_small(self, domain):
        scenes = [draw_scene(domain, 'train', index) for index in range(24)]
        for image, label in scenes:
            assert (image.shape, image.dtype) == ((96, 128, 3), np.uint8)
            assert (label.shape, label.dtype) == ((96, 128), np.uint8)
        labels = np.stack([label for _, label in scenes])
        share = np.bincount(labels.ravel(), minlength=5) / labels.size
        assert len(share) == 5
        assert (share[:2] > 0.3).all()
        assert ((share[2:] > 0.01) & (share[2:] < 0.12)).all()

    def test_domains_differ_in_light(self):
        day, night = (
            np.mean([draw_scene(domain, 'train', i)[0].mean() for i in range(10)])
            for domain in DOMAINS
        )
        assert night < 0.5 * day

    def test_labels_are_frozen(self):
        """A changed scene is another data set: it needs a new GENERATOR_VERSION, and these."""
        digest = hashlib.sha256()
        for domain in DOMAINS:
            for index in range(3):
                digest.update(draw_scene(domain, 'test', index)[1].tobytes())
        assert (toy_scenes.GENERATOR_VERSION, digest.hexdigest()[:16]) == FROZEN_LABELS

    def test_images_are_frozen(self):
        means = [draw_scene(domain, 'test', 0)[0].mean(axis=(0, 1)) for domain in DOMAINS]
        np.testing.assert_allclose(np.concatenate(means), FROZEN_MEANS, atol=0.05)

    def test_unknown_domain_and_split_are_named(self):
        with pytest.raises(ValueError, match=r"domain 'dusk' is unknown, expected one of \['day"):
            draw_scene('dusk', 'train', 0)
        with pytest.raises(ValueError, match=r"split 'dev' is unknown, expected one of \['train"):
            draw_scene('day', 'dev', 0)


class TestWriteToyScenes:
    @pytest.mark.parametrize('domain', DOMAINS)
    def test_lists_name_all_files(self, written, domain):
        folder = written / domain
        for split, size in SIZES.items():
            entries = read_file_list(folder / f'{split}.txt', labeled=True)
            assert len(entries) == size
            assert all((folder / path).is_file() for entry in entries for path in entry)
        labeled = read_file_list(folder / 'n12.txt', labeled=True)
        rest = read_file_list(folder / 'n12_unlabeled.txt')
        assert (len(labeled), len(rest)) == (12, 2)
        assert not {image for image, _ in labeled} & {image for image, _ in rest}

    def test_files_are_the_scenes(self, written):
        image, label = draw_scene('day', 'val', 2)
        read = cv2.imread(str(written / 'day/val/002.png'))[..., ::-1]
        np.testing.assert_array_equal(read, image)
        read = cv2.imread(str(written / 'day/valannot/002.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read, label)

    def test_labeled_images_show_all_classes(self, written):
        for domain in DOMAINS:
            manifest = json.loads((written / domain / 'manifest.json').read_text())
            assert min(manifest['splits']['n12']['images_with_class']) > 0

    def test_leaves_nothing_but_the_data(self, written):
        assert os.listdir(written.parent) == ['ToyScenes']
        assert sorted(os.listdir(written)) == ['day', 'night', 'toy_scenes.json']

    def test_data_that_are_there_are_left_as_they_are(self, copy, monkeypatch):
        monkeypatch.setattr(toy_scenes, 'draw_scene', None)
        before = {path: path.stat().st_mtime_ns for path in copy.rglob('*')}
        assert write_toy_scenes(copy.parent) == copy
        assert {path: path.stat().st_mtime_ns for path in copy.rglob('*')} == before

    @pytest.mark.parametrize('harm', ['change', 'remove', 'add', 'version', 'manifest'])
    def test_other_data_are_refused_and_replaced_with_force(self, copy, written, harm):
        image, manifest = copy / 'day/test/000.png', copy / 'toy_scenes.json'
        if harm == 'change':
            image.write_bytes(image.read_bytes() + b'x')
        elif harm == 'remove':
            image.unlink()
        elif harm == 'add':
            (copy / 'day/test/999.png').write_bytes(b'')
        elif harm == 'version':
            text = manifest.read_text()
            manifest.write_text(text.replace('"generator_version": ', '"generator_version": 9'))
        else:
            manifest.unlink()
        with pytest.raises(FileExistsError, match=r'ToyScenes (has|is) .*tools/make_toy_scenes'):
            write_toy_scenes(copy.parent)
        write_toy_scenes(copy.parent, force=True)
        assert contents(copy) == contents(written)
        assert os.listdir(copy.parent) == ['ToyScenes']

    @pytest.mark.parametrize('there', [False, True])
    def test_failure_leaves_everything_as_it_was(self, copy, written, monkeypatch, there):
        if not there:
            shutil.rmtree(copy)
        draw = toy_scenes.draw_scene

        def fail_at_night(domain, *key):
            if domain == 'night':
                raise KeyboardInterrupt
            return draw(domain, *key)

        monkeypatch.setattr(toy_scenes, 'draw_scene', fail_at_night)
        with pytest.raises(KeyboardInterrupt):
            write_toy_scenes(copy.parent, force=True)
        assert os.listdir(copy.parent) == (['ToyScenes'] if there else [])
        if there:
            assert contents(copy) == contents(written)


class TestToyScenesDataset:
    @pytest.fixture(autouse=True)
    def scope(self):
        with DefaultScope.overwrite_default_scope('mmseg'):
            yield

    def build(self, written, domain, ann_file='n12.txt', **kwargs):
        pipeline = [{'type': 'LoadCheckedImage'}, {'type': 'LoadCheckedAnnotations'}]
        config = {
            'type': 'ToyScenesDataset',
            'domain': domain,
            'pipeline': pipeline,
            'serialize_data': False,
        }
        return DATASETS.build(
            {**config, 'data_root': str(written / domain), 'ann_file': ann_file, **kwargs}
        )

    @pytest.mark.parametrize('domain', DOMAINS)
    def test_metainfo_is_the_domains(self, written, domain):
        dataset = self.build(written, domain)
        assert len(dataset) == 12
        assert dataset.metainfo['classes'] == DOMAINS[domain]['classes']
        assert dataset.metainfo['palette'] == DOMAINS[domain]['palette']
        assert set(FOREGROUND[domain]) < set(dataset.metainfo['classes'])
        assert dataset.get_data_info(0)['dataset_name'] == f'toy_scenes {domain}'

    def test_loads_the_scene_that_the_list_names(self, written):
        sample = self.build(written, 'night', ann_file='test.txt')[1]
        image, label = draw_scene('night', 'test', 1)
        np.testing.assert_array_equal(sample['img'][..., ::-1], image)
        np.testing.assert_array_equal(sample['gt_seg_map'], label)

    def test_subset_of_classes(self, written):
        dataset = self.build(
            written, 'night', ann_file='test.txt', metainfo={'classes': ('person', 'sky')}
        )
        label = draw_scene('night', 'test', 0)[1]
        expected = np.select([label == 4, label == 0], [0, 1], 255)
        np.testing.assert_array_equal(dataset[0]['gt_seg_map'], expected)
        assert dataset.metainfo['palette'] == [[220, 60, 160], [20, 30, 90]]

    def test_unlabeled_list_has_no_masks(self, written):
        dataset = self.build(written, 'day', ann_file='n12_unlabeled.txt', pipeline=[])
        assert 'seg_map_path' not in dataset.get_data_info(0)

    def test_unknown_domain_is_named(self, written):
        with pytest.raises(ValueError, match="domain 'dusk' is unknown, expected one of"):
            ToyScenesDataset(domain='dusk')

    def test_missing_data_name_the_tool_that_writes_them(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'toy_scenes day: .*make_toy_scenes\.py'):
            self.build(tmp_path, 'day')
