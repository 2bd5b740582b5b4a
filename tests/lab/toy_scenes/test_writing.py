"""The written data set: whole or not at all, and never replaced unasked."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest

from cct_mm.datasets.file_lists import read_file_list
from cct_mm.datasets.toy_scenes import DOMAINS
from cct_mm.lab.toy_scenes import render_scene, write_toy_scenes, writing

SIZES = {'train': 14, 'val': 3, 'test': 2}


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """The data with fewer images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, 'SPLIT_SIZES', SIZES)
        yield write_toy_scenes(tmp_path_factory.mktemp('data'))


@pytest.fixture
def copy(written, tmp_path, monkeypatch):
    """A copy that a test may harm."""
    monkeypatch.setattr(writing, 'SPLIT_SIZES', SIZES)
    return shutil.copytree(written, tmp_path / 'data' / 'ToyScenes')


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


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
        image, label = render_scene('day', 'val', 2)
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
        monkeypatch.setattr(writing, 'render_scene', None)
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

    def test_demo_has_a_folder_of_its_own(self, copy):
        demo = write_toy_scenes(copy.parent, demo=True)
        assert sorted(os.listdir(copy.parent)) == ['ToyScenes', 'ToyScenesDemo']
        read = cv2.imread(str(demo / 'night/test/001.png'))[..., ::-1]
        np.testing.assert_array_equal(read, render_scene('night', 'test', 1, demo=True)[0])
        (demo / 'night/test/001.png').unlink()
        with pytest.raises(FileExistsError, match=r'ToyScenesDemo has .*scenes\.py --demo --force'):
            write_toy_scenes(copy.parent, demo=True)

    @pytest.mark.parametrize('there', [False, True])
    def test_failure_leaves_everything_as_it_was(self, copy, written, monkeypatch, there):
        if not there:
            shutil.rmtree(copy)
        render = writing.render_scene

        def fail_at_night(domain, *key):
            if domain == 'night':
                raise KeyboardInterrupt
            return render(domain, *key)

        monkeypatch.setattr(writing, 'render_scene', fail_at_night)
        with pytest.raises(KeyboardInterrupt):
            write_toy_scenes(copy.parent, force=True)
        assert os.listdir(copy.parent) == (['ToyScenes'] if there else [])
        if there:
            assert contents(copy) == contents(written)
