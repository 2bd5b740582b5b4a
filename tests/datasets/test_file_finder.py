"""Images are found below a folder, the same on every machine."""

import re

import pytest

from cct_mm.datasets.file_finder import FileFinder, list_image_folder


@pytest.fixture
def root(tmp_path):
    for name in ('a.jpg', 'b.png', 'sub/c.jpg'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    return tmp_path


class TestImageFolder:
    def test_lists_recursively_sorted_without_hidden_and_foreign_files(self, root):
        images = root / 'images'
        for name in ('.hidden.jpg', 'notes.txt', '.cache/x.jpg', 'sub/.x.png'):
            (images / name).parent.mkdir(exist_ok=True)
            (images / name).write_bytes(b'')
        (images / 'D.JPG').write_bytes(b'')
        assert list_image_folder(images) == ['D.JPG', 'a.jpg', 'b.png', 'sub/c.jpg']

    def test_follows_links_but_visits_no_folder_twice(self, root, tmp_path_factory):
        other = tmp_path_factory.mktemp('disk')
        (other / 'd.jpg').write_bytes(b'')
        (root / 'images' / 'linked').symlink_to(other)
        (root / 'images' / 'sub' / 'loop').symlink_to(root / 'images')
        assert list_image_folder(root / 'images') == [
            'a.jpg',
            'b.png',
            'linked/d.jpg',
            'sub/c.jpg',
        ]

    def test_empty_and_missing_folders_are_named(self, tmp_path):
        with pytest.raises(ValueError, match=f'{re.escape(str(tmp_path))} holds no image'):
            list_image_folder(tmp_path)
        with pytest.raises(FileNotFoundError, match='nowhere does not exist; check data_root'):
            list_image_folder(tmp_path / 'nowhere')


def test_a_bare_name_may_have_dots(tmp_path):
    for name in ('1305031102.175304.png', '1305031102.jpg'):
        (tmp_path / name).write_bytes(b'')
    found = FileFinder().find_image(str(tmp_path / '1305031102.175304'), None)
    assert found == str(tmp_path / '1305031102.175304.png')
    # Another suffix of the same image is one that is known.
    assert FileFinder().find_image(str(tmp_path / '1305031102.175304.jpg'), None) == found
    assert FileFinder().find_image(str(tmp_path / '1305031102.9'), None) is None
