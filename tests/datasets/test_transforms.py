"""Loading: equal to mmseg's on good files, and an error that names the file on bad ones."""

import re

import cv2
import mmcv
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from cct_mm.datasets.transforms import (
    LoadCheckedAnnotations,
    LoadCheckedImage,
    is_truncated,
    unchecked_loaders,
)


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
        for mode in ('L', 'LA', 'RGBA', 'P'):
            path = tmp_path / f'{mode}.png'
            rgb.convert(mode).save(path)
            image = self.load(path)['img']
            assert image.shape == (40, 60, 3), mode
            assert image.dtype == np.uint8, mode
        alpha = self.load(tmp_path / 'RGBA.png')['img']
        np.testing.assert_array_equal(alpha, picture)

    def test_16_bits_need_the_value_of_white(self, tmp_path, picture):
        path = tmp_path / 'deep.png'
        path.write_bytes(encode(picture.astype(np.uint16) * 16, '.png'))
        highest = int(picture.max()) * 16
        with pytest.raises(ValueError, match=rf'^mine: image .*deep\.png .*uint16.* to {highest},'):
            self.load(path)
        # 255 / 4080 is 1 / 16.
        np.testing.assert_array_equal(self.load(path, max_value=4080)['img'], picture)

    def test_orientation_is_a_choice(self, tmp_path, picture):
        path = tmp_path / 'turned.png'
        exif = Image.Exif()
        exif[274] = 6
        Image.fromarray(picture[..., ::-1]).save(path, exif=exif)
        with pytest.raises(ValueError, match=r"^mine: image .*turned\.png .*orientation='stored'"):
            self.load(path)
        stored = self.load(path, orientation='stored')
        np.testing.assert_array_equal(stored['img'], picture)
        turned = self.load(path, orientation='exif')
        np.testing.assert_array_equal(turned['img'], np.rot90(picture, -1))
        assert turned['ori_shape'] == turned['img_shape'] == (60, 40)
        with pytest.raises(ValueError, match="orientation is 'turned', expected one of"):
            LoadCheckedImage(orientation='turned')

    def test_damaged_jpeg_is_taken_where_it_is_said(self, tmp_path, picture):
        content = encode(picture, '.jpg')
        path = tmp_path / 'cut.jpg'
        path.write_bytes(content[:-200])
        image = self.load(path, strict=False)['img']
        np.testing.assert_array_equal(image[:8], cv2.imdecode(np.frombuffer(content, 'u1'), 1)[:8])

    def test_decoders_of_mmcv_are_behind_the_same_checks(self, tmp_path, picture):
        path = tmp_path / 'a.png'
        path.write_bytes(encode(picture, '.png'))
        for kwargs in ({'imdecode_backend': 'pillow'}, {'color_type': 'unchanged'}):
            np.testing.assert_array_equal(self.load(path, **kwargs)['img'], picture)
        grey = self.load(path, color_type='grayscale')['img']
        np.testing.assert_array_equal(grey, mmcv.imread(str(path), flag='grayscale'))
        path.write_bytes(encode(picture.astype(np.uint16), '.png'))
        assert self.load(path, color_type='unchanged')['img'].dtype == np.uint16
        with pytest.raises(ValueError, match=r'^mine: image .*a\.png has pixels of type uint16'):
            self.load(path, imdecode_backend='pillow')
        path.write_bytes(encode(picture, '.jpg')[:-200])
        with pytest.raises(ValueError, match=r'^mine: image .*a\.png is truncated'):
            self.load(path, imdecode_backend='pillow')
        with pytest.raises(ValueError, match=r"do not apply .* \(color_type='grayscale'"):
            LoadCheckedImage(color_type='grayscale', max_value=4095)

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
            (3, np.uint8, {}, 'LoadCheckedAnnotations(label_map={VALUE: CLASS})'),
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

    @pytest.mark.parametrize('dtype', ['int8', 'int16', 'int32', 'float32', 'float64'])
    def test_type_of_the_file_changes_no_label(self, tmp_path, dtype):
        path = tmp_path / 'm.tif'
        mask = np.array([[0, 1, 2], [2, 1, 100]])
        path.write_bytes(cv2.imencode('.tiff', mask.astype(dtype))[1].tobytes())
        labels = self.load(path, num_classes=101)['gt_seg_map']
        assert labels.tolist() == mask.tolist()
        assert labels.dtype == np.uint8
        mask[0, 0] = -1
        path.write_bytes(cv2.imencode('.tiff', mask.astype(dtype))[1].tobytes())
        with pytest.raises(ValueError, match=r'^mine: label -1 in .*m\.tif, expected 0-100 or 255'):
            self.load(path, num_classes=101)

    @pytest.mark.parametrize('dtype', ['int8', 'int16', 'float32'])
    def test_map_takes_values_that_are_no_byte(self, tmp_path, dtype):
        mask = np.array([[0, -1, 2]]).astype(dtype)
        (tmp_path / 'm.tif').write_bytes(cv2.imencode('.tiff', mask)[1].tobytes())
        transform = LoadCheckedAnnotations(label_map={-1: 255, 2: 1})
        labels = self.load(tmp_path / 'm.tif', num_classes=2, transform=transform)['gt_seg_map']
        assert labels.tolist() == [[0, 255, 1]]

    def test_float_that_is_no_label_is_named(self, tmp_path):
        mask = np.array([[0, 1], [2, 0.5]], np.float32)
        message = r'^mine: mask .*m\.tif holds 0\.5 at row 1, column 1 .*; run it$'
        for backend in ('pillow', 'cv2'):
            transform = LoadCheckedAnnotations(imdecode_backend=backend)
            with pytest.raises(ValueError, match=message):
                self.load(tmp_path / 'm.tif', mask, transform=transform, label_hint='run it')

    def test_size_that_exif_explains_is_explained(self, tmp_path):
        exif = Image.Exif()
        exif[274] = 8
        path = tmp_path / 'turned.jpg'
        Image.new('RGB', (4, 6)).save(path, exif=exif)
        mask = np.zeros((6, 4), np.uint8)
        results = LoadCheckedImage(orientation='stored')({'img_path': str(path)})
        self.load(tmp_path / 'm.png', mask, **results)
        results = LoadCheckedImage(orientation='exif')({'img_path': str(path)})
        with pytest.raises(
            ValueError, match=r'4x6 pixels, expected 6x4 .* EXIF orientation 8: Load'
        ):
            self.load(tmp_path / 'm.png', mask, **results)

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
        with pytest.raises(ValueError, match=r'mine: mask .*m\.png is truncated \(200 bytes\)'):
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


def test_loaders_that_check_nothing_are_named():
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type=LoadAnnotations),
        LoadImageFromFile(),
        dict(type='LoadCheckedImage'),
        dict(type='LoadCheckedAnnotations'),
        LoadCheckedImage(),
        dict(type='LoadImageFromNDArray'),
        dict(type='PackSegInputs'),
    ]
    named = [sentence.split()[0] for sentence in unchecked_loaders(pipeline)]
    assert named == ['LoadImageFromFile', 'LoadAnnotations', 'LoadImageFromFile']
