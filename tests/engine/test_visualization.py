"""Predictions are drawn in the colors of their own domain."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from cct_mm.engine import DomainVisualizationHook

DOMAINS = {
    'day': dict(classes=('a', 'b'), palette=[[250, 0, 0], [0, 250, 0]]),
    'night': dict(classes=('c', 'd'), palette=[[0, 0, 250], [250, 250, 0]]),
}


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    """Draw the class-0 prediction of a black image of each domain; return the pictures."""
    tmp_path = tmp_path_factory.mktemp('drawn')
    visualizer = SegLocalVisualizer.get_instance(
        'drawing', vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path), alpha=1.0
    )
    hook = DomainVisualizationHook(draw=True, interval=1)
    hook._visualizer = visualizer
    dataset = SimpleNamespace(metainfo=dict(domains=DOMAINS))
    hook.before_test(SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset)))
    outputs = []
    for domain in DOMAINS:
        path = str(tmp_path / f'{domain}.png')
        cv2.imwrite(path, np.zeros((40, 60, 3), np.uint8))
        sample = SegDataSample(metainfo=dict(domain=domain, img_path=path))
        sample.pred_sem_seg = PixelData(data=torch.zeros(1, 40, 60, dtype=torch.long))
        outputs.append(sample)
    hook.after_test_iter(SimpleNamespace(), 0, {}, outputs)
    return {
        domain: cv2.imread(str(next(tmp_path.rglob(f'test_{domain}*.png'))))[..., ::-1]
        for domain in DOMAINS
    }


@pytest.mark.parametrize('domain', DOMAINS)
def test_each_domain_has_its_own_palette(drawn, domain):
    # A corner, away from the class name that mmseg writes into the middle.
    assert drawn[domain][2, 2].tolist() == DOMAINS[domain]['palette'][0]
