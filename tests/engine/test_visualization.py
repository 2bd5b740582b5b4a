"""Samples are drawn in the colors of their own domain, and each validation draws a few."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample

from cct_mm.engine import DomainVisualizationHook
from cct_mm.engine.visualization import LARGEST, panels

DOMAINS = {
    'day': dict(classes=('a', 'b'), palette=[[250, 0, 0], [0, 250, 0]]),
    'night': dict(classes=('c', 'd'), palette=[[0, 0, 250], [250, 250, 0]]),
}


def sample_of(domain, path, size=(40, 60)):
    sample = SegDataSample(metainfo=dict(domain=domain, img_path=str(path)))
    sample.pred_sem_seg = PixelData(data=torch.zeros(1, *size, dtype=torch.long))
    return sample


@pytest.fixture
def visualizer(tmp_path):
    """What configs call mmseg's visualizer; it paints without the image shining through."""
    made = VISUALIZERS.build(
        dict(
            type='SegLocalVisualizer',
            name=f'drawing in {tmp_path}',
            vis_backends=[dict(type='LocalVisBackend')],
            save_dir=str(tmp_path),
            alpha=1.0,
        )
    )
    made.dataset_meta = dict(domains=DOMAINS, **DOMAINS['day'])
    return made


def hook_with(visualizer, **kwargs):
    hook = DomainVisualizationHook(**kwargs)
    hook._visualizer = visualizer
    return hook


def pictures(folder):
    """The pictures below a folder by their names, RGB."""
    paths = sorted(folder.rglob('vis_image/*.png'))
    return {path.name: cv2.imread(str(path))[..., ::-1] for path in paths}


@pytest.mark.parametrize('domain', DOMAINS)
def test_each_domain_has_its_own_palette_and_name(visualizer, tmp_path, domain):
    path = tmp_path / 'x.png'
    cv2.imwrite(str(path), np.zeros((40, 60, 3), np.uint8))
    hook = hook_with(visualizer, draw=True, interval=1)
    hook.after_test_iter(SimpleNamespace(), 0, {}, [sample_of(domain, path)])
    ((name, picture),) = pictures(tmp_path).items()
    assert name.startswith(f'{domain}_test_x')
    # A corner, away from the class name that mmseg writes into the middle.
    assert picture[2, 2].tolist() == DOMAINS[domain]['palette'][0]


def test_files_of_two_domains_with_one_name_stay_apart(visualizer, tmp_path):
    for domain in DOMAINS:
        image, sample = np.zeros((40, 60, 3), np.uint8), sample_of(domain, 'x.png')
        visualizer.add_datasample('x', image, sample, out_file=str(tmp_path / 'out/x.png'))
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'day_x.png', 'night_x.png'}


def test_of_mmseg_alone_is_as_mmsegs(visualizer, tmp_path):
    visualizer.dataset_meta = DOMAINS['night']
    sample = sample_of('day', 'x.png')
    visualizer.add_datasample('x', np.zeros((40, 60, 3), np.uint8), sample)
    assert pictures(tmp_path)['x_0.png'][2, 2].tolist() == DOMAINS['night']['palette'][0]


class TestValidation:
    def validate(self, visualizer, iteration=0, images=5, **kwargs):
        hook = hook_with(visualizer, **kwargs)
        runner = SimpleNamespace(iter=iteration)
        hook.before_val(runner)
        for i in range(images):
            samples = [sample_of(domain, f'no/such/{i}.png') for domain in DOMAINS]
            inputs = [torch.zeros(3, 40, 60, dtype=torch.uint8)] * len(samples)
            hook.after_val_iter(runner, i, dict(inputs=inputs), samples)
        return hook

    def test_draws_the_first_images_of_each_domain(self, visualizer, tmp_path):
        self.validate(visualizer, iteration=7, val_pictures=2)
        names = {f'{domain}_val_{i}_7.png' for domain in DOMAINS for i in (0, 1)}
        assert set(pictures(tmp_path)) == names

    def test_draws_them_again_in_the_next(self, visualizer, tmp_path):
        hook = self.validate(visualizer, val_pictures=1)
        hook.before_val(SimpleNamespace())
        inputs = [torch.zeros(3, 40, 60, dtype=torch.uint8)]
        runner = SimpleNamespace(iter=3)
        hook.after_val_iter(runner, 0, dict(inputs=inputs), [sample_of('day', '0.png')])
        assert {'day_val_0_0.png', 'day_val_0_3.png'} <= set(pictures(tmp_path))

    @pytest.mark.parametrize('kwargs', [dict(), dict(val_pictures=0)])
    def test_draws_nothing_unless_it_is_told(self, visualizer, tmp_path, kwargs, recwarn):
        self.validate(visualizer, **kwargs)
        assert pictures(tmp_path) == {}
        assert not recwarn

    def test_of_a_classifier_draws_nothing(self, visualizer, tmp_path):
        hook = hook_with(visualizer, val_pictures=1)
        sample = SegDataSample(metainfo=dict(domain='day', img_path='x.png'))
        inputs = [torch.zeros(3, 40, 60, dtype=torch.uint8)]
        hook.after_val_iter(SimpleNamespace(iter=0), 0, dict(inputs=inputs), [sample])
        assert pictures(tmp_path) == {}


def test_panels_are_small_and_show_the_same_places():
    # The left half is blue and one class; the labels are larger than what the network saw.
    inputs = torch.zeros(3, 300, 2 * LARGEST, dtype=torch.uint8)
    inputs[0, :, :LARGEST] = 200
    sample = sample_of('day', 'x.png', size=(600, 4 * LARGEST))
    sample.pred_sem_seg.data[..., : 2 * LARGEST] = 1
    sample.gt_sem_seg = PixelData(data=torch.full((1, 600, 4 * LARGEST), 255))
    picture = panels(inputs, sample, DOMAINS['day']['palette'])
    assert picture.shape == (150, 3 * LARGEST, 3)
    image, labels, prediction = np.split(picture, 3, axis=1)
    left = np.arange(LARGEST) < LARGEST // 2
    assert (image == np.where(left[:, None], (0, 0, 200), (0, 0, 0))).all()
    # Labels without a class darken the image, and a class paints it.
    assert (labels == np.where(left[:, None], (0, 0, 80), (0, 0, 0))).all()
    assert (prediction == np.where(left[:, None], (0, 150, 80), (150, 0, 0))).all()
