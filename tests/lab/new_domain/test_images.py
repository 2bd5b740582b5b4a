"""Orientation and depth follow from the files, crops from their sizes."""

import numpy as np
import pytest
from PIL import Image

from cct_mm.datasets.checks.file_facts import MaskValues
from cct_mm.datasets.reading import read_image
from cct_mm.lab.new_domain.images import crop_side, look_at_images

STORED, TURNED = MaskValues(30, 20, {0: 600}), MaskValues(20, 30, {0: 600})


def turned(tmp_path, name, orientation=6, size=(30, 20)):
    exif = Image.Exif()
    exif[274] = orientation
    Image.new('RGB', size).save(tmp_path / name, exif=exif)
    return str(tmp_path / name)


class TestOrientation:
    @pytest.mark.parametrize(('mask', 'says', 'size'), [
        (STORED, 'stored', (30, 20)), (TURNED, 'exif', (20, 30)),
    ])  # fmt: skip
    def test_is_that_which_masks_fit(self, tmp_path, mask, says, size):
        paths = [turned(tmp_path, 'a.jpg'), turned(tmp_path, 'unlabeled.jpg', 3)]
        images = look_at_images(paths, {paths[0]: mask})
        assert images.orientation == says and images.size(paths[0]) == size
        assert images.size(paths[0]) == read_image(paths[0], orientation=says).shape[1::-1]

    @pytest.mark.parametrize('arguments', [dict(orientation=3), dict(size=(20, 20))])
    def test_that_sizes_do_not_tell_is_asked_for(self, tmp_path, arguments):
        path = turned(tmp_path, 'a.jpg', **arguments)
        with pytest.raises(ValueError, match='--orientation'):
            look_at_images([path], {path: STORED})
        assert look_at_images([path], {path: STORED}, 'stored').orientation == 'stored'

    def test_of_images_without_mask_is_what_people_see(self, tmp_path):
        path = turned(tmp_path, 'a.jpg')
        assert look_at_images([path], {}).orientation == 'exif'

    def test_is_one_for_all(self, tmp_path):
        paths = [turned(tmp_path, 'a.jpg'), turned(tmp_path, 'b.jpg')]
        with pytest.raises(ValueError, match='1 of their masks fit the stored pixels and 1'):
            look_at_images(paths, dict(zip(paths, (STORED, TURNED), strict=True)))

    def test_is_none_where_no_image_is_turned(self, folder):
        assert look_at_images([folder.image('a.png')], {}).orientation is None


@pytest.mark.parametrize(('most', 'white'), [(200, 255), (3000, 4095), (60000, 65535)])
def test_depth_is_the_bits_that_are_used(folder, most, white):
    pixels = np.full((8, 8), most, np.uint16)
    images = look_at_images([folder.image('8.png'), folder.write('16.png', pixels)], {})
    assert images.max_value == white and len(images.headers) == 2


def test_unusable_images_are_told_and_others_stay(folder, tmp_path):
    (tmp_path / 'broken.jpg').write_bytes(b'x')
    images = look_at_images([folder.image('a.png'), str(tmp_path / 'broken.jpg')], {})
    assert list(images.headers) == [folder.path('a.png')]
    assert list(images.unusable) == [str(tmp_path / 'broken.jpg')]


@pytest.mark.parametrize(
    ('sizes', 'side'),
    [
        ([(4000, 3000)], 256),
        ([(300, 200), (210, 400), (90, 900)], 192),
        ([(20, 30)], 64),
    ],
)
def test_crop_is_at_most_what_images_of_middling_size_have(folder, sizes, side):
    paths = [folder.image(f'{i}.png', size) for i, size in enumerate(sizes)]
    assert crop_side(look_at_images(paths, {}), 256) == side
