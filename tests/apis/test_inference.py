"""Predictions are those of mmseg's own way through the network, whatever is computed together."""

import itertools

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from mmcv import transforms
from mmengine.config import ConfigDict
from mmseg.models import SegTTAModel
from tiny_predictor import DOMAINS, write_image

from cct_mm.apis import TABLE_9_SCALES, predict

LOAD = [
    dict(type='LoadCheckedImage', orientation='exif'),
    dict(type='Resize', scale=(64, 48), keep_ratio=True),
]


@pytest.fixture
def photo(tmp_path):
    write_image(tmp_path / 'photo.png', 60, 100)
    return str(tmp_path / 'photo.png')


def expected(model, domain, path):
    """Return mmseg's result for an image."""
    packed = transforms.Compose([*LOAD, dict(type='PackSegInputs')])({'img_path': path})
    packed['data_samples'].set_metainfo({'domain': domain})
    data = {key: [value] for key, value in packed.items()}
    with torch.no_grad():
        return model.test_step(data)[0]


def assert_same(found, wanted):
    assert found.source == wanted.source
    assert (found.labels == wanted.labels).all()
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-5)


class TestPredict:
    @pytest.mark.parametrize('domain', DOMAINS)
    def test_gives_mmsegs_labels_at_the_images_size(self, model, photo, domain):
        (found,) = predict(model, photo, domain, probabilities=True)
        result = expected(model, domain, photo)
        assert found.labels.shape == (60, 100)
        assert found.labels.dtype == np.uint8
        assert len(np.unique(found.labels)) > 1
        assert (found.labels == result.pred_sem_seg.data[0].numpy()).all()
        probabilities = result.seg_logits.data.softmax(dim=0).numpy()
        np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-6)
        assert (found.domain, found.classes) == (domain, DOMAINS[domain]['classes'])
        assert found.palette.tolist() == DOMAINS[domain]['palette']
        assert (found.image == cv2.imread(photo)[..., ::-1]).all()

    def test_averages_as_mmsegs_model_of_test_time_augmentation(self, model, photo):
        scales = [dict(type='Resize', scale_factor=s, keep_ratio=True) for s in TABLE_9_SCALES]
        flips = [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)]
        pipeline = transforms.Compose(
            [*LOAD, transforms.TestTimeAug([scales, flips, [dict(type='PackSegInputs')]])]
        )
        packed = pipeline({'img_path': photo})
        for sample in packed['data_samples']:
            sample.set_metainfo({'domain': 'day'})
        data = {key: [[value] for value in values] for key, values in packed.items()}
        assert len(data['inputs']) == 10
        model.default_domain = 'day'
        with torch.no_grad():
            (result,) = SegTTAModel(model).test_step(data)
        (found,) = predict(model, photo, tta=True, probabilities=True)
        assert (found.labels == result.pred_sem_seg.data.numpy()).all()
        (plain,) = predict(model, photo)
        assert (found.labels != plain.labels).any()
        np.testing.assert_allclose(found.probabilities.sum(axis=0), 1, atol=1e-5)
        assert (found.probabilities.argmax(axis=0) == found.labels).all()

    def test_slides_as_mmseg_does(self, model, photo):
        (found,) = predict(model, photo, 'night', slide=(32, 24))
        (plain,) = predict(model, photo, 'night')
        assert (found.labels != plain.labels).any()
        model.test_cfg = ConfigDict(mode='slide', crop_size=(32, 32), stride=(24, 24))
        assert (found.labels == expected(model, 'night', photo).pred_sem_seg.data[0].numpy()).all()

    @pytest.mark.parametrize('tta', [False, True])
    def test_does_not_depend_on_what_is_computed_together(self, model, tmp_path, tta):
        sizes = [(40, 56), (56, 40), (40, 56), (80, 112), (30, 30)]
        for i, size in enumerate(sizes):
            write_image(tmp_path / f'{i}.png', *size, seed=i)
        options = dict(domain='day', probabilities=True, tta=tta)
        alone = list(predict(model, tmp_path, **options))
        together = list(predict(model, tmp_path, batch_size=4, **options))
        assert [p.labels.shape for p in together] == sizes
        for found, wanted in zip(together, alone, strict=True):
            assert_same(found, wanted)

    def test_takes_arrays_among_files(self, model, photo):
        pixels = cv2.imread(photo)
        array, file = predict(model, [pixels, photo], 'day')
        assert (array.labels == file.labels).all()
        assert (array.name, file.name) == ('array-0', 'photo')

    def test_by_all_domains_is_by_each_of_them(self, model, photo):
        both = list(predict(model, [photo, photo[:-4] + '*'], 'all', probabilities=True))
        assert [p.name for p in both] == ['day/photo', 'night/photo']
        for found in both:
            assert_same(found, *predict(model, photo, found.domain, probabilities=True))

    @pytest.mark.parametrize('orientation', range(1, 9))
    def test_turns_images_as_viewers_do(self, model, tmp_path, orientation):
        pixels = write_image(tmp_path / 'upright.png')
        turned = PIL.Image.fromarray(pixels[..., ::-1])
        exif = turned.getexif()
        exif[0x0112] = orientation
        turned.save(tmp_path / 'turned.png', exif=exif)
        (found,) = predict(model, tmp_path / 'turned.png', 'day')
        with PIL.Image.open(tmp_path / 'turned.png') as file:
            upright = np.asarray(PIL.ImageOps.exif_transpose(file))
        assert (found.image == upright).all()
        (wanted,) = predict(model, upright[..., ::-1], 'day')
        assert (found.labels == wanted.labels).all()

    def test_leaves_the_network_as_it_was_even_if_nobody_takes_all_images(self, model, photo):
        before = dict(model.test_cfg)
        results = predict(model, [photo, cv2.imread(photo)], 'day', slide=(32, 16))
        next(results)
        assert model.test_cfg == before
        with pytest.raises(RuntimeError, match='no domain is active'):
            _ = model.active_domain
        results.close()

    def test_takes_images_only_as_they_are_needed(self, model, tmp_path):
        for i in range(4):
            write_image(tmp_path / f'{i}.png', seed=i)
        results = predict(model, tmp_path, 'day', batch_size=2)
        first = list(itertools.islice(results, 2))
        (tmp_path / '2.png').write_bytes(b'')
        assert len(first) == 2
        with pytest.raises(ValueError, match=r'2\.png .*it is empty'):
            next(results)

    def test_leaves_out_what_cannot_be_read_if_told_so(self, model, tmp_path):
        write_image(tmp_path / 'a.png')
        (tmp_path / 'b.png').write_bytes(b'no image')
        (tmp_path / 'c.mp4').write_bytes(b'no video')
        problems = {}
        found = list(predict(model, tmp_path, 'day', batch_size=3, on_error=problems.__setitem__))
        assert [p.name for p in found] == ['a']
        assert set(problems) == {str(tmp_path / 'b.png'), str(tmp_path / 'c.mp4')}
        assert all(path in problem for path, problem in problems.items())


class TestDomain:
    def test_is_the_default_where_none_is_named(self, model, photo):
        model.default_domain = 'night'
        (found,) = predict(model, photo)
        assert found.domain == 'night'

    @pytest.mark.parametrize(
        ('domain', 'found'), [(None, 'no domain is chosen'), ('dusk', "'dusk' is unknown")]
    )
    def test_is_asked_for_with_those_that_there_are(self, model, photo, domain, found):
        with pytest.raises(
            ValueError, match=f'{found}, expected one of day, night, or all .*--domain'
        ):
            predict(model, photo, domain)


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (dict(slide=(32, 40)), r'slide .* 32 .* 40, expected 0 < stride <= side'),
        (dict(batch_size=0), 'batch_size is 0, expected at least 1'),
    ],
)
def test_impossible_arguments_are_named(model, photo, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        next(predict(model, photo, 'day', **options))


def test_arrays_of_another_kind_are_named(model):
    with pytest.raises(ValueError, match=r'array-0: .*\[4, 4\] and type float64, expected \[H, W'):
        next(predict(model, np.zeros((4, 4)), 'day'))
