"""Files of an export appear whole and right, or not at all."""

import pytest

from cct_mm.export import export_domain
from cct_mm.models import SupervisedSegmentor


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_network_that_does_more_is_refused(network, tmp_path):
    class Doubling(SupervisedSegmentor):
        def encode_decode(self, *args):
            return 2 * super().encode_decode(*args)

    cfg, model = network()
    model.__class__ = Doubling
    with pytest.raises(ValueError, match='predicts something else than Doubling'):
        export_domain(model, cfg, 'day', tmp_path)
    assert names(tmp_path) == []


def test_a_config_of_another_network_is_refused(network, tmp_path):
    cfg, model = network()
    cfg.model.backbone.base_channels = 16
    with pytest.raises(ValueError, match='a network of the exported config has other weights'):
        export_domain(model, cfg, 'day', tmp_path)
    assert names(tmp_path) == []


def test_what_is_there_stays(network, tmp_path):
    cfg, model = network()
    (tmp_path / 'day_layers.py').write_text('mine')
    with pytest.raises(FileExistsError, match=r'day_layers\.py is there already'):
        export_domain(model, cfg, 'day', tmp_path)
    assert names(tmp_path) == ['day_layers.py']
    export_domain(model, cfg, 'day', tmp_path, force=True)
    assert names(tmp_path) == ['day.pth', 'day.py', 'day_layers.py']
    assert (tmp_path / 'day_layers.py').read_text() != 'mine'


def test_images_that_mmseg_does_not_know_are_refused(network, tmp_path):
    cfg, model = network()
    stem = model.backbone.stem[0]
    model.backbone.stem[0] = type(stem)(4, stem.out_channels, 3, 2, 1)
    with pytest.raises(ValueError, match='reads images of 4 channels, expected 1 or 3'):
        export_domain(model, cfg, 'day', tmp_path)
    assert names(tmp_path) == []


def test_counts_parameters(network, tmp_path):
    cfg, model = network('CCT')
    done = export_domain(model, cfg, 'night', tmp_path)
    head = model.domains['night'].decode_head
    parts = (model.backbone, model.neck, head)
    assert done.parameters[0] == sum(p.numel() for p in model.parameters())
    assert done.parameters[1] == sum(p.numel() for part in parts for p in part.parameters())
    assert names(tmp_path) == sorted(path.name for path in done.files)
    assert done.differences['mmseg'] < 1e-4


def test_two_exports_in_one_process(network, tmp_path):
    # Their generated files have one name, and other layers.
    cfg, model = network(neck=None, head=dict(type='SubPixelHead', in_channels=32, stride=8))
    export_domain(model, cfg, 'day', tmp_path / 'head')
    cfg, model = network()
    export_domain(model, cfg, 'day', tmp_path / 'neck')
    texts = [(tmp_path / f'{name}/day_layers.py').read_text() for name in ('head', 'neck')]
    assert ['class PSPNeck' in text for text in texts] == [False, True]
