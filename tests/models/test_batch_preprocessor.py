"""Preprocessing of a batch as a whole: bit for bit what mmseg does image by image."""

import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from cct_mm.models.batch_preprocessor import BatchPreprocessor, instead_of_mmsegs

NORMALIZED = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
OPTIONS = {
    'as our configs': dict(**NORMALIZED, bgr_to_rgb=True, size_divisor=8),
    'padded to a size': dict(**NORMALIZED, bgr_to_rgb=True, size=(40, 48), seg_pad_val=7),
    'smaller than the image': dict(**NORMALIZED, size=(8, 48), pad_val=3),
    'one mean for all channels': dict(mean=[127.0], std=[64.0], rgb_to_bgr=True, size_divisor=1),
    'neither normalized nor padded': dict(size_divisor=None, size=(1, 1)),
}


def batch(sizes=((20, 27),) * 4, dtype=torch.uint8):
    """Make images of which the first has labels, the second a filling, the third a view."""
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for i, size in enumerate(sizes):
        image = torch.randint(0, 256, (3, *size), generator=generator).to(dtype)
        sample = SegDataSample(metainfo=dict(img_shape=size, img_path=f'{i}.png', sample_key=i))
        labels = torch.randint(0, 5, (1, *size), generator=generator)
        if i in (0, 3):
            sample.gt_sem_seg = PixelData(data=labels, metainfo=dict(kind='labels'))
        if i == 1:
            sample.filled = PixelData(data=labels > 3)
        if i == 2:
            sample.views = PixelData(strong=255 - image, weak=image)
            sample.image_labels = torch.tensor([0.0, 1.0])
        inputs.append(image)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def assert_same_element(found, expected):
    assert type(found) is type(expected)
    assert found.metainfo == expected.metainfo
    assert set(found.keys()) == set(expected.keys())
    for key, value in found.items():
        if isinstance(value, torch.Tensor):
            assert value.dtype == expected.get(key).dtype
            assert torch.equal(value, expected.get(key))
        else:
            assert_same_element(value, expected.get(key))


def assert_same(options, data, training=True):
    given = copy.deepcopy(data)
    found = BatchPreprocessor(**options)(data, training)
    expected = SegDataPreProcessor(**options)(copy.deepcopy(given), training)
    assert found.keys() == expected.keys()
    assert found['inputs'].dtype == torch.float32
    assert torch.equal(found['inputs'], expected['inputs'])
    samples = zip(found['data_samples'], expected['data_samples'], strict=True)
    for pair in [*samples, *zip(data['data_samples'], given['data_samples'], strict=True)]:
        assert_same_element(*pair)
    assert all(map(torch.equal, data['inputs'], given['inputs']))


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32])
def test_is_what_mmseg_does(options, dtype):
    assert_same(OPTIONS[options], batch(dtype=dtype))


def test_of_images_of_several_sizes_is_what_mmseg_does():
    assert_same(OPTIONS['as our configs'], batch([(20, 27), (32, 8)]))


def test_of_inference_is_what_mmseg_does():
    assert_same(OPTIONS['as our configs'], batch(), training=False)
    assert_same({**OPTIONS['as our configs'], 'test_cfg': dict(size_divisor=32)}, batch(), False)


def test_without_a_size_to_pad_to_fails_as_mmseg_does():
    for kind in (SegDataPreProcessor, BatchPreprocessor):
        with pytest.raises(AssertionError, match='only one of size and size_divisor'):
            kind(**NORMALIZED)(batch(), training=True)


class TestConfig:
    @pytest.fixture(autouse=True)
    def scope(self):
        with DefaultScope.overwrite_default_scope('mmseg'):
            yield

    @pytest.mark.parametrize(
        'kind', ['SegDataPreProcessor', 'mmseg.SegDataPreProcessor', SegDataPreProcessor]
    )
    def test_of_mmsegs_gives_this_one_with_its_options(self, kind):
        config = dict(type=kind, size_divisor=4)
        made = MODELS.build(instead_of_mmsegs(config))
        assert type(made) is BatchPreprocessor
        assert made.size_divisor == 4
        assert config == dict(type=kind, size_divisor=4)

    def test_of_any_other_stays(self):
        class Own(SegDataPreProcessor):
            pass

        for other in (None, dict(type='BaseDataPreprocessor'), dict(type=Own), Own()):
            assert instead_of_mmsegs(other) is other


@pytest.mark.parametrize('training', [True, False])
def test_any_number_of_channels_is_normalized_each_by_its_own(training):
    mean, std = [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 4.0, 8.0, 16.0]
    preprocessor = BatchPreprocessor(mean, std, size_divisor=1, test_cfg=dict(size_divisor=1))
    image = torch.randint(0, 256, (5, 4, 6)).byte()
    data = dict(inputs=[image], data_samples=[SegDataSample(metainfo=dict(img_shape=(4, 6)))])
    found = preprocessor(data, training)['inputs'][0]
    for i in range(5):
        assert torch.equal(found[i], (image[i].float() - mean[i]) / std[i])


def test_as_many_deviations_as_means_are_needed():
    with pytest.raises(ValueError, match='mean has 3 values and std 4, expected one of each'):
        BatchPreprocessor([1.0] * 3, [1.0] * 4)
