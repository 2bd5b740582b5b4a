"""ONNX and torch.export files, at sizes and batches that were not traced."""

import json

import pytest
import torch
from tiny_network import tiny_backbone
from two_domains import build, network_config

from cct_mm.export import plain_model
from cct_mm.export.formats import NOTES, read_onnx, read_torch, write_onnx, write_torch
from cct_mm.export.traceable import (
    TRACED_SIZE,
    Traceable,
    description,
    example,
    predicted_logits,
    trace,
)

META = dict(classes=('lamp', 'person'), palette=[[1, 2, 3], [4, 5, 6]])
# No multiple of the stride, 8; one that is; one side smaller than what PSP pools to.
SIZES = [(1, 61, 77), (3, 103, 130), (1, 64, 88), (3, 33, 200)]
WITHOUT_ONNX = 'onnx, onnxscript and onnxruntime are not installed; they are the extra export'


@pytest.fixture(scope='module')
def traced():
    """A network, what was traced of one domain, and its description."""
    model = build(network_config())
    plain = plain_model(model, 'night')
    notes = description('night', META, plain, [dict(type='LoadImageFromFile')])
    return model, trace(Traceable(plain)), notes


def differences(model, predict):
    assert TRACED_SIZE not in SIZES
    for size in SIZES:
        images = example(model, size)
        yield float((predict(images) - predicted_logits(model, images, 'night')).abs().max())


def test_torch_file_predicts_what_the_network_does(traced, tmp_path):
    model, program, notes = traced
    write_torch(program, tmp_path / 'night.pt2', notes)
    assert max(differences(model, read_torch(tmp_path / 'night.pt2'))) < 1e-4
    found = {NOTES: ''}
    torch.export.load(tmp_path / 'night.pt2', extra_files=found)
    assert json.loads(found[NOTES]) == notes


def test_torch_file_moves_to_another_device(traced, tmp_path):
    from torch.export.passes import move_to_device_pass

    write_torch(traced[1], tmp_path / 'night.pt2', {})
    # Where shapes alone are computed; a tensor that stayed on the CPU would not fit.
    program = move_to_device_pass(torch.export.load(tmp_path / 'night.pt2'), 'meta')
    logits, labels = program.module()(torch.empty(3, 3, 50, 75, device='meta'))
    assert (logits.shape, labels.shape) == ((3, 2, 50, 75), (3, 50, 75))


@pytest.fixture(scope='module')
def onnx_file(traced, tmp_path_factory):
    for package in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(package, reason=WITHOUT_ONNX)
    path = tmp_path_factory.mktemp('onnx') / 'night.onnx'
    write_onnx(traced[1], path, traced[2])
    return path


def test_onnx_file_predicts_what_the_network_does(traced, onnx_file):
    assert max(differences(traced[0], read_onnx(onnx_file))) < 1e-4


def test_onnx_file_says_what_it_takes_and_gives(traced, onnx_file):
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx_file)
    (image,) = session.get_inputs()
    assert (image.name, image.type) == ('images', 'tensor(float)')
    assert image.shape == ['batch', 3, 'height', 'width']
    logits, labels = session.get_outputs()
    assert (logits.name, logits.shape) == ('logits', ['batch', 2, 'height', 'width'])
    assert (labels.name, labels.type) == ('labels', 'tensor(uint8)')
    notes = session.get_modelmeta().custom_metadata_map
    assert notes == traced[2]
    assert json.loads(notes['classes']) == ['lamp', 'person']
    assert json.loads(notes['palette']) == META['palette']
    assert json.loads(notes['mean']) == [120.0, 110.0, 100.0]
    assert notes['domain'] == 'night'


def test_labels_are_the_largest_logits(traced, onnx_file):
    import onnxruntime

    images = example(traced[0], (2, 50, 60)).numpy()
    logits, labels = onnxruntime.InferenceSession(onnx_file).run(None, {'images': images})
    assert (labels == logits.argmax(axis=1)).all()


@pytest.mark.parametrize('changes', [
    dict(bgr_to_rgb=False),
    dict(mean=None, std=None),
    dict(test_cfg=None),
    dict(pad_val=1.5, test_cfg=dict(size_divisor=32)),
], ids=str)  # fmt: skip
def test_prepares_images_as_mmseg(network, changes):
    cfg, _ = network()
    cfg.model.data_preprocessor.update(changes)
    model = build(cfg)
    with torch.no_grad():
        traceable = Traceable(plain_model(model, 'day'))
        # Without padding a sub-pixel head knows multiples of the stride alone.
        size = (2, 64, 96) if changes.get('test_cfg', 0) is None else (2, 50, 75)
        images = example(model, size)
        found, _ = traceable(images)
        assert torch.allclose(found, predicted_logits(model, images, 'day'), atol=1e-5)


def test_refuses_padding_to_one_size(network):
    cfg, model = network()
    model.data_preprocessor.test_cfg = dict(size=(64, 64))
    with pytest.raises(ValueError, match='test_cfg.size is .64, 64., expected size_divisor alone'):
        Traceable(plain_model(model, 'day'))


def test_images_may_have_other_than_three_channels(network):
    cfg, _ = network()
    cfg.model.backbone = dict(**tiny_backbone(), in_channels=5)
    # mmseg normalizes images of one or three channels.
    cfg.model.data_preprocessor.update(mean=None, std=None)
    model = build(cfg)
    images = example(model, (1, 40, 48))
    assert images.shape == (1, 5, 40, 48)
    with torch.no_grad():
        found, _ = Traceable(plain_model(model, 'day'))(images)
    assert torch.allclose(found, predicted_logits(model, images, 'day'), rtol=1e-4, atol=1e-3)
