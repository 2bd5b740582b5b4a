"""Loading of masks: equal to mmseg's on good files, and an error that names a bad one."""

import re

import cv2
import numpy as np
import pytest
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from cct_mm.datasets.transforms import LoadCheckedAnnotations, LoadCheckedImage


def test_is_registered_in_mmseg():
    assert TRANSFORMS.get('LoadCheckedAnnotations') is LoadCheckedAnnotations


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

    def test_color_mask_is_refused(self, tmp_path):
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
