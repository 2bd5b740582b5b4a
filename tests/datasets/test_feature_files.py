"""Files of features: what is written is what is read, or a sentence says why not."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from cct_mm.datasets.feature_files import features_to_bytes, read_features


def sample(**fields):
    data = SegDataSample(metainfo=dict(img_path='a.png', img_shape=(4, 6)))
    for name, value in fields.items():
        setattr(data, name, PixelData(data=value))
    return dict(inputs=torch.arange(72, dtype=torch.uint8).view(3, 4, 6), data_samples=data)


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_are_read_as_they_were_written(dtype, tmp_path):
    labels = torch.randint(0, 256, (1, 4, 6))
    filled = torch.rand(1, 4, 6) < 0.5
    maps = [torch.randn(2, 2, 3), torch.randn(5, 1, 1)]
    written = sample(gt_sem_seg=labels, filled=filled)
    (tmp_path / 'x.npz').write_bytes(features_to_bytes(written, maps, dtype))
    found = read_features(tmp_path / 'x.npz')
    data = found['data_samples']
    assert torch.equal(found['inputs'], written['inputs'])
    assert data.img_shape == (4, 6)
    assert torch.equal(data.gt_sem_seg.data, labels) and data.gt_sem_seg.data.dtype == torch.int64
    assert torch.equal(data.filled.data, filled) and data.filled.data.dtype == torch.bool
    assert [level.dtype for level in data.backbone_maps] == [getattr(torch, dtype)] * 2
    assert all(
        torch.equal(level, whole.to(level.dtype))
        for level, whole in zip(data.backbone_maps, maps, strict=True)
    )


@pytest.mark.parametrize(
    'known',
    [
        {},
        dict(image_labels=()),
        dict(image_labels=(1, 300), image_labels_complete=True),
        dict(image_labels=(2,), image_labels_complete=False),
    ],
)
def test_keep_image_level_labels(known, tmp_path):
    written = sample()
    written['data_samples'].set_metainfo(known)
    (tmp_path / 'x.npz').write_bytes(features_to_bytes(written, [torch.zeros(1, 2, 3)], 'float16'))
    data = read_features(tmp_path / 'x.npz')['data_samples']
    assert data.metainfo == dict(known, img_shape=(4, 6))
    complete = data.metainfo.get('image_labels_complete', True)
    assert isinstance(complete, bool)


def test_that_float16_cannot_hold_are_refused():
    with pytest.raises(ValueError, match=r"a.png: map 1 .* up to 1e\+05.*dtype='float32'"):
        features_to_bytes(sample(), [torch.zeros(1, 2, 3), torch.full((1, 2, 3), 1e5)], 'float16')


def test_of_a_sample_that_carries_more_are_refused():
    with pytest.raises(ValueError, match='a.png carries gt_depth_map, expected no more than'):
        features_to_bytes(sample(gt_depth_map=torch.zeros(1, 4, 6)), [], 'float16')
