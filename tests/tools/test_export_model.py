"""The tool as a user calls it, and its files where this package cannot be imported."""

import re
import runpy
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.structures import SegDataSample
from tiny_network import ROOT
from two_domains import FCN, PALETTES, write_network

import cct_mm

SIZES = [(61, 77), (64, 88), (103, 50)]
BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {blocked!r}:
            raise ImportError(f'{{name}} is not here')

sys.meta_path.insert(0, Blocker())
sys.path[:] = [path for path in sys.path if path not in ('', {root!r})]
"""
MMSEG = """
import numpy as np
from mmseg.apis import MMSegInferencer, inference_model, init_model

config, checkpoint, out, *images = sys.argv[1:]
model = init_model(config, checkpoint, device='cpu')
assert type(model).__name__ == 'EncoderDecoder'
results = [inference_model(model, image) for image in images]
np.savez(out, *(result.seg_logits.data.numpy() for result in results))
print(model.dataset_meta)
inferencer = MMSegInferencer(config, checkpoint, device='cpu', show_progress=False)
drawn = inferencer(images[0], return_vis=True)
assert (drawn['predictions'] == results[0].pred_sem_seg.data.numpy()[0]).all()
assert drawn['visualization'].shape == (*drawn['predictions'].shape, 3)
assert not any(name.partition('.')[0] == 'cct_mm' for name in sys.modules)
"""
ONNX = """
import cv2
import numpy as np
import onnxruntime

path, out, *images = sys.argv[1:]
session = onnxruntime.InferenceSession(path)
images = [cv2.imread(image).transpose(2, 0, 1)[None].astype('float32') for image in images]
np.savez(out, *(session.run(['logits'], {'images': image})[0][0] for image in images))
"""
TORCH = """
import cv2
import numpy as np
import torch

path, out, *images = sys.argv[1:]
network = torch.export.load(path).module()
images = [torch.from_numpy(cv2.imread(image)).permute(2, 0, 1)[None].float() for image in images]
np.savez(out, *(network(image)[0][0].detach().numpy() for image in images))
"""
NETWORKS = {
    'with our layers': dict(method='CCT'),
    'of a mean teacher, with layers of mmseg': dict(method='MeanTeacher', neck=None, head=FCN),
}


def export(folder, *arguments):
    command = ['tools/export_model.py', folder / 'network.py', folder / 'network.pth', *arguments]
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, cwd=ROOT
    )


def run_without(packages, script, *arguments):
    """Run a script where some packages cannot be imported, nor anything of this repository."""
    start = BLOCKED.format(blocked=packages, root=str(ROOT))
    done = subprocess.run(
        [sys.executable, '-I', '-c', start + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd='/',
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope='module', params=NETWORKS.values(), ids=NETWORKS)
def exported(request, tmp_path_factory):
    """The folder of a network, what the tool said, the images, and the network's own logits."""
    folder = tmp_path_factory.mktemp('network')
    model = write_network(folder, **request.param)
    formats = ['mmseg', 'torch']
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401

        formats.append('onnx')
    except ImportError:
        pass
    done = export(folder, '--domain', 'night', '--out', folder / 'out', '--format', *formats)
    assert done.returncode == 0, done.stderr
    rng = np.random.default_rng(0)
    images, logits = [], []
    for i, size in enumerate(SIZES):
        images.append(folder / f'{i}.png')
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        cv2.imwrite(str(images[-1]), pixels)
        sample = SegDataSample(metainfo=dict(domain='night', ori_shape=size, img_shape=size))
        inputs = torch.from_numpy(pixels).permute(2, 0, 1)
        with torch.no_grad():
            (result,) = model.test_step(dict(inputs=[inputs], data_samples=[sample]))
        logits.append(result.seg_logits.data.numpy())
    return folder, done.stdout, images, logits


def assert_same(path, expected):
    with np.load(path) as found:
        for i, logits in enumerate(expected):
            np.testing.assert_allclose(found[f'arr_{i}'], logits, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_mmseg_predicts_the_same_without_this_package(exported):
    folder, _, images, logits = exported
    files = (folder / 'out/night.py', folder / 'out/night.pth', folder / 'found.npz')
    said = run_without({'cct_mm'}, MMSEG, *files, *images)
    assert str(dict(classes=('lamp', 'person'), palette=PALETTES['night'])) in said
    assert_same(folder / 'found.npz', logits)


@pytest.mark.slow
def test_torch_alone_predicts_the_same(exported):
    folder, _, images, logits = exported
    others = {'cct_mm', 'mmseg', 'mmengine', 'mmcv', 'timm'}
    run_without(others, TORCH, folder / 'out/night.pt2', folder / 'found.npz', *images)
    assert_same(folder / 'found.npz', logits)


@pytest.mark.slow
def test_onnxruntime_alone_predicts_the_same(exported):
    folder, _, images, logits = exported
    if not (folder / 'out/night.onnx').exists():
        pytest.skip('onnxscript and onnxruntime are not installed; they are the extra export')
    others = {'cct_mm', 'mmseg', 'mmengine', 'mmcv', 'timm', 'torch'}
    run_without(others, ONNX, folder / 'out/night.onnx', folder / 'found.npz', *images)
    assert_same(folder / 'found.npz', logits)


@pytest.mark.slow
def test_only_what_one_domain_needs_is_exported(exported):
    folder, said, _, _ = exported
    names = {path.name for path in (folder / 'out').iterdir() if path.is_file()}
    text = (folder / 'out/night.py').read_text()
    assert ('night_layers.py' in names) == ('Plain' in text)
    assert all(str(folder / 'out' / name) in said for name in names)
    checkpoint = torch.load(folder / 'out/night.pth')
    assert set(checkpoint) == {'meta', 'state_dict'}
    assert checkpoint['meta']['cct_mm_version'] == cct_mm.__version__
    parameters = sum(
        value.numel()
        for name, value in checkpoint['state_dict'].items()
        if not name.endswith(('running_mean', 'running_var', 'num_batches_tracked'))
    )
    assert f'{parameters:,} exported' in said
    assert (folder / 'out/night.pth').stat().st_size < (folder / 'network.pth').stat().st_size


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('refused')
    write_network(folder)
    return folder


@pytest.fixture
def tool(folder, monkeypatch):
    """Call the tool in this process; the message with which it ends, if it does."""

    def call(*arguments):
        argv = ['export_model.py', folder / 'network.py', folder / 'network.pth', *arguments]
        monkeypatch.setattr(sys, 'argv', [str(argument) for argument in argv])
        with DefaultScope.overwrite_default_scope('mmseg'):
            try:
                runpy.run_path(str(ROOT / 'tools/export_model.py'), run_name='__main__')
            except SystemExit as end:
                return end.code

    return call


@pytest.mark.parametrize(('arguments', 'sentence'), [
    ((), 'no domain is chosen, expected one of day, night'),
    (('--domain', 'dusk'), "domain 'dusk' is unknown, expected one of"),
], ids=str)  # fmt: skip
def test_ends_with_a_sentence(tool, folder, arguments, sentence):
    assert re.search(sentence, tool('--out', folder / 'none', *arguments))
    assert not (folder / 'none').exists()


def test_files_that_are_there_stay_unless_forced(tool, folder):
    there = folder / 'there/day.py'
    there.parent.mkdir()
    there.write_text('mine')
    said = tool('--domain', 'day', '--out', there.parent)
    assert f'{there} is there already' in said
    assert [path.name for path in there.parent.iterdir()] == ['day.py']
    assert there.read_text() == 'mine'
    assert not tool('--domain', 'day', '--out', there.parent, '--force')
    assert 'EncoderDecoder' in there.read_text()


def test_all_domains_are_exported(tool, folder):
    assert not tool('--domain', 'all', '--out', folder / 'all')
    names = {path.stem for path in (folder / 'all').glob('*.pth')}
    assert names == {'day', 'night'}


def test_help_is_quick():
    done = subprocess.run(
        [sys.executable, '-X', 'importtime', 'tools/export_model.py', '-h'],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0
    assert 'torch' not in done.stderr and '--domain' in done.stdout
