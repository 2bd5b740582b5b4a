"""Loading of images: equal to mmcv's on good files, and an error that names a bad one."""

import cv2
import mmcv
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from cct_mm.datasets.reading import is_truncated, read_header
from cct_mm.datasets.transforms import (
    LoadCheckedImage,
    unchecked_loaders,
)


@pytest.fixture
def picture():
    """A smooth color image with some texture, 40 x 60."""
    y, x = np.mgrid[:40, :60]
    noise = np.random.default_rng(0).integers(0, 40, (40, 60, 3))
    return (np.stack([4 * y, 3 * x, y + x], axis=-1) + noise).clip(0, 255).astype(np.uint8)


def encode(picture, suffix, *flags):
    return cv2.imencode(suffix, picture, flags)[1].tobytes()


def test_is_registered_in_mmseg():
    assert TRANSFORMS.get('LoadCheckedImage') is LoadCheckedImage


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


class TestChannels:
    @pytest.mark.parametrize('channels', [1, 4])
    def test_are_as_many_as_said_in_header_and_pixels(self, tmp_path, picture, channels):
        path = tmp_path / 'a.png'
        stored = picture[..., 0] if channels == 1 else np.dstack([picture, picture[..., 0]])
        path.write_bytes(encode(stored, '.png'))
        load = LoadCheckedImage(channels=channels)
        load.check_header(read_header(path))
        image = load({'img_path': str(path)})['img']
        assert image.shape == (40, 60, channels)
        expected = stored if channels == 1 else stored[..., [2, 1, 0, 3]]
        np.testing.assert_array_equal(image.squeeze(), expected)
        other = LoadCheckedImage(channels=5 - channels)
        for refuse in (lambda: other.check_header(read_header(path)), lambda: other(results(path))):
            with pytest.raises(ValueError, match=f'has {channels} channels, expected'):
                refuse()

    def test_of_any_number_are_read_by_tifffile(self, tmp_path):
        tifffile = pytest.importorskip('tifffile', reason='tifffile is not installed')
        pixels = np.random.default_rng(0).integers(0, 4096, (12, 10, 6), dtype=np.uint16)
        path = tmp_path / 'a.tif'
        tifffile.imwrite(path, pixels, photometric='minisblack', planarconfig='contig')
        options = dict(imdecode_backend='tifffile', color_type='unchanged', to_float32=True)
        image = LoadCheckedImage(channels=6, **options)(results(path))['img']
        np.testing.assert_array_equal(image, pixels)
        with pytest.raises(ValueError, match='has 6 channels as tifffile reads it, expected 5'):
            LoadCheckedImage(channels=5, **options)(results(path))


def results(path):
    return {'img_path': str(path)}
