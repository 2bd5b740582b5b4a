"""Loading: equal to mmseg's on good files, and an error that names the file on bad ones."""

import re

import cv2
import mmcv
import numpy as np
import pytest
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from cct_mm.datasets.transforms import LoadCheckedAnnotations, LoadCheckedImage, is_truncated


@pytest.fixture
def picture():
    """A smooth colour image with some texture, 40 x 60."""
    y, x = np.mgrid[:40, :60]
    noise = np.random.default_rng(0).integers(0, 40, (40, 60, 3))
    return (np.stack([4 * y, 3 * x, y + x], axis=-1) + noise).clip(0, 255).astype(np.uint8)


def encode(picture, suffix, *flags):
    return cv2.imencode(suffix, picture, flags)[1].tobytes()


def test_are_registered_in_mmseg():
    assert TRANSFORMS.get('LoadCheckedImage') is LoadCheckedImage
    assert TRANSFORMS.get('LoadCheckedAnnotations') is LoadCheckedAnnotations


class TestLoadCheckedImage:
    def load(self, path, **kwargs):
        return LoadCheckedImage(**kwargs)({'img_path': str(path), 'dataset_name': 'mine'})

    def test_equals_mmcv_on_a_good_file(self, tmp_path, picture):
        path = tmp_path / 'a.jpg'
        path.write_bytes(encode(picture, '.jpg'))
        results = self.load(path)
        np.testing.assert_array_equal(results['img'], mmcv.imread(str(path)))
        assert results['img_shape'] == results['ori_shape'] == (40, 60)
        assert self.load(path, to_float32=True)['img'].dtype == np.float32

    def test_grey_alpha_and_palette_images_become_bgr(self, tmp_path, picture):
        rgb = Image.fromarray(picture[..., ::-1])
        for mode in ('L', 'LA', 'RGBA', 'P', 'I;16'):
            path = tmp_path / f'{mode.replace(";", "")}.png'
            rgb.convert('L' if mode == 'I;16' else mode).convert(mode).save(path)
            image = self.load(path)['img']
            assert image.shape == (40, 60, 3), mode
            assert image.dtype == np.uint8, mode
        alpha = self.load(tmp_path / 'RGBA.png')['img']
        np.testing.assert_array_equal(alpha, picture)

    @pytest.mark.parametrize('suffix', ['.jpg', '.png'])
    @pytest.mark.parametrize('share', [0.98, 0.5, 0.05])
    def test_truncated_file_is_named(self, tmp_path, picture, suffix, share):
        content = encode(picture, suffix)
        path = tmp_path / f'cut{suffix}'
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ValueError, match=rf'mine: image .*cut\{suffix} is truncated .* again'):
            self.load(path)

    @pytest.mark.parametrize('content', [b'', b'not an image', b'\x89PNG\r\n\x1a\nIEND'])
    def test_rubbish_is_named(self, tmp_path, content):
        path = tmp_path / 'rubbish.jpg'
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'mine: image .*rubbish\.jpg cannot be decoded'):
            self.load(path)

    def test_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'mine: image .*gone\.jpg does not exist'):
            self.load(tmp_path / 'gone.jpg')


class TestIsTruncated:
    def test_whole_files_of_every_kind_pass(self, picture):
        whole = [
            encode(picture, '.png'),
            encode(picture, '.bmp'),
            encode(picture, '.jpg'),
            encode(picture, '.jpg', cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
            encode(picture, '.jpg', cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
        ]
        assert not any(is_truncated(content) for content in whole)

    def test_bytes_after_the_end_are_no_fault(self, picture):
        for suffix in ('.jpg', '.png'):
            assert not is_truncated(encode(picture, suffix) + b'\xff\xda trailer of a phone')

    def test_end_of_an_embedded_thumbnail_is_not_the_end(self, picture):
        thumbnail = encode(picture[::4, ::4], '.jpg')
        segment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
        content = encode(picture, '.jpg')
        content = content[:2] + segment + content[2:]
        assert not is_truncated(content)
        assert is_truncated(content[:-40])
        assert is_truncated(content[: len(segment) + 10])


class TestLoadCheckedAnnotations:
    def load(self, path, mask=None, num_classes=3, transform=None, **results):
        if mask is not None:
            Image.fromarray(np.asarray(mask)).save(path)
        results = {
            'img_path': 'x.jpg',
            'seg_map_path': str(path),
            'num_classes': num_classes,
            'dataset_name': 'mine',
            'label_map': None,
            'reduce_zero_label': False,
            'seg_fields': [],
            **results,
        }
        return (transform or LoadCheckedAnnotations())(results)

    @pytest.mark.parametrize('reduce_zero_label', [False, True])
    @pytest.mark.parametrize('label_map', [None, {3: 255}, {0: 2, 1: 0, 2: 1, 3: 255}])
    def test_equals_mmseg(self, tmp_path, reduce_zero_label, label_map):
        first, last = (1, 4) if reduce_zero_label else (0, 3)
        if label_map is None:
            last -= 1
        mask = np.random.default_rng(0).integers(first, last + 1, (9, 7)).astype(np.uint8)
        mask[0, :2] = 255, (0 if reduce_zero_label else 255)
        kwargs = {'label_map': label_map, 'reduce_zero_label': reduce_zero_label}
        checked = self.load(tmp_path / 'm.png', mask, **kwargs)
        plain = self.load(tmp_path / 'm.png', transform=LoadAnnotations(), **kwargs)
        np.testing.assert_array_equal(checked['gt_seg_map'], plain['gt_seg_map'])
        assert checked['gt_seg_map'].dtype == plain['gt_seg_map'].dtype == np.uint8
        assert checked['seg_fields'] == plain['seg_fields'] == ['gt_seg_map']

    def test_one_instance_serves_datasets_that_differ(self, tmp_path):
        transform = LoadCheckedAnnotations()
        mask = np.array([[0, 1, 2]], np.uint8)
        first = self.load(tmp_path / 'm.png', mask, transform=transform, reduce_zero_label=True)
        second = self.load(tmp_path / 'm.png', mask, transform=transform)
        assert first['gt_seg_map'].tolist() == [[255, 0, 1]]
        assert second['gt_seg_map'].tolist() == [[0, 1, 2]]

    @pytest.mark.parametrize(
        ('label', 'dtype', 'results', 'expected'),
        [
            (3, np.uint8, {}, 'label 3 in PATH, expected 0-2 or 255'),
            (254, np.uint8, {}, 'label 254 in PATH, expected 0-2 or 255'),
            (256, np.uint16, {}, 'label 256 in PATH, expected 0-2 or 255'),
            (-1, np.int32, {}, 'label -1 in PATH, expected 0-2 or 255'),
            (5, np.uint8, {'label_map': {3: 255}}, 'expected 0-2 or 255 (3 read as 255)'),
            (9, np.uint8, {'label_map': {0: 255, 1: 0, 2: 1, 3: 2}}, 'expected 1-3 or 255 (0 '),
            (4, np.uint8, {'reduce_zero_label': True}, 'expected 1-3 or 255 (0 read as 255)'),
            (3, np.uint8, {'label_hint': 'run the converter'}, 'or 255; run the converter'),
        ],
    )
    def test_label_out_of_range_is_named(self, tmp_path, label, dtype, results, expected):
        path = tmp_path / 'm.png'
        mask = np.array([[2, 1], [label, 255]], dtype)
        if dtype is np.int32:
            path = path.with_suffix('.tif')
        if results.get('reduce_zero_label'):
            mask[0] = 1
        expected = re.escape(expected).replace('PATH', re.escape(str(path)))
        with pytest.raises(ValueError, match=rf'^mine: .*{expected}'):
            self.load(path, mask, **results)

    def test_size_must_be_that_of_the_image_as_loaded(self, tmp_path):
        mask = np.zeros((4, 6), np.uint8)
        # img_shape is that after a resize, which in test pipelines comes before the mask.
        self.load(tmp_path / 'm.png', mask, ori_shape=(4, 6), img_shape=(8, 12))
        with pytest.raises(ValueError, match=r'mine: mask .*m\.png has 6x4 pixels, expected 4x6'):
            self.load(tmp_path / 'm.png', mask, ori_shape=(6, 4))

    def test_palette_masks_keep_their_indices(self, tmp_path):
        mask = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert('P')
        mask.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
        mask.save(tmp_path / 'm.png')
        assert self.load(tmp_path / 'm.png')['gt_seg_map'].tolist() == [[0, 1, 2]]

    def test_colour_mask_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match='has 3 channels, expected one .*; run it'):
            self.load(tmp_path / 'm.png', np.zeros((4, 6, 3), np.uint8), label_hint='run it')

    def test_broken_and_missing_masks_are_named(self, tmp_path):
        path = tmp_path / 'm.png'
        with pytest.raises(FileNotFoundError, match=r'mine: mask .*m\.png does not exist'):
            self.load(path)
        noise = np.random.default_rng(0).integers(0, 3, (64, 64)).astype(np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(ValueError, match=r'mine: mask .*m\.png is truncated or no image'):
            self.load(path)

    def test_sample_without_a_mask_is_refused(self):
        with pytest.raises(ValueError, match=r'mine: x\.jpg comes without a mask'):
            self.load(None, seg_map_path=None)

    def test_number_of_classes_must_come_from_somewhere(self, tmp_path):
        mask = np.array([[0, 4]], np.uint8)
        with pytest.raises(ValueError, match='number of classes is unknown'):
            self.load(tmp_path / 'm.png', mask, num_classes=None)
        transform = LoadCheckedAnnotations(num_classes=5)
        results = self.load(tmp_path / 'm.png', mask, num_classes=None, transform=transform)
        assert results['gt_seg_map'].tolist() == [[0, 4]]
