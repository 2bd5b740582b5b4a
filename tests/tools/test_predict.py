"""The tool as a user calls it: what lies where, what is skipped, and going on."""

import json
import re
import runpy
import shutil
import sys

import cv2
import numpy as np
import PIL.Image
import pytest
from mmengine.registry import DefaultScope
from tiny_network import ROOT
from tiny_predictor import DOMAINS, write_image, write_network, write_video

from cct_mm.apis import init_model, predict
from cct_mm.apis.inference import build_predictors
from cct_mm.apis.inputs import Input, find_inputs
from cct_mm.apis.results import PredictionFolder, Writer


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp('network')
    write_network(folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    for i, name in enumerate(['a/1.png', 'a/2.jpg', 'b/1.png']):
        write_image(tmp_path / 'photos' / name, 40 + 8 * i, 56, seed=i)
    return tmp_path / 'photos'


@pytest.fixture
def tool(network, tmp_path, monkeypatch, capfd):
    """Call the tool in this process; what it prints, or the message with which it ends."""
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')

    def call(*arguments, out='out', domain='day'):
        argv = ['predict.py', network / 'tiny.py', network / 'tiny.pth', *arguments]
        argv[3:3] = ['--out', tmp_path / out]
        argv += ['--domain', domain] if domain else []
        monkeypatch.setattr(sys, 'argv', [str(argument) for argument in argv])
        with DefaultScope.overwrite_default_scope('mmseg'):
            try:
                runpy.run_path(str(ROOT / 'tools/predict.py'), run_name='__main__')
            except SystemExit as end:
                if end.code:
                    return f'{capfd.readouterr()} {end.code}'
        return capfd.readouterr().out

    return call


def files(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file()}


def times(folder):
    return {name: (folder / name).stat().st_mtime_ns for name in files(folder)}


def read(path):
    with PIL.Image.open(path) as file:
        return np.asarray(file)


@pytest.fixture
def model(network):
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield init_model(network / 'tiny.py', network / 'tiny.pth')


class TestImages:
    def test_get_labels_overlays_and_probabilities_as_from_python(
        self, tool, tmp_path, photos, model
    ):
        output = tool(photos, '--probabilities', '--batch-size', 2)
        assert '3 predicted, 0 there before, 0 skipped' in output
        assert f'Predictions: {tmp_path}/out' in output
        expected = {
            f'{kind}/{name}.{suffix}'
            for kind, suffix in (('labels', 'png'), ('overlays', 'jpg'), ('probabilities', 'npz'))
            for name in ('a/1', 'a/2', 'b/1')
        }
        assert files(tmp_path / 'out') == expected | {'predictions.json'}
        for p in predict(model, photos, 'day', probabilities=True):
            assert (read(tmp_path / f'out/labels/{p.name}.png') == p.labels).all()
            found = np.load(tmp_path / f'out/probabilities/{p.name}.npz')['probabilities']
            assert (found == p.probabilities.astype(np.float16)).all()
            drawn = read(tmp_path / f'out/overlays/{p.name}.jpg')
            assert np.abs(drawn.astype(int) - p.overlay()).mean() < 8
        settings = json.loads((tmp_path / 'out/predictions.json').read_text())
        assert settings['classes of day'] == {
            'sky': '#0000fa',
            'ground': '#5a5046',
            'car': '#090909',
        }

    def test_by_all_domains_are_drawn_side_by_side(self, tool, tmp_path, photos, model):
        tool(photos / 'a', domain='all')
        for p in predict(model, photos / 'a', 'all'):
            assert (read(tmp_path / f'out/labels/{p.name}.png') == p.labels).all()
        expected = {f'labels/{domain}/{i}.png' for domain in DOMAINS for i in (1, 2)}
        expected |= {'overlays/1.jpg', 'overlays/2.jpg', 'predictions.json'}
        assert files(tmp_path / 'out') == expected

    def test_options_reach_the_network(self, tool, tmp_path, photos, model):
        tool(photos / 'b', '--tta', '--slide', 64, 40)
        for p in predict(model, photos / 'b', 'day', tta=True, slide=(64, 40)):
            assert (read(tmp_path / f'out/labels/{p.name}.png') == p.labels).all()

    def test_that_cannot_be_read_are_named_counted_and_skipped(self, tool, tmp_path, photos):
        (photos / 'a/0.png').write_bytes(b'')
        whole = (photos / 'a/2.jpg').read_bytes()
        (photos / 'a/2.jpg').write_bytes(whole[: len(whole) // 2])
        output = tool(photos, '--batch-size', 2)
        assert '2 predicted, 0 there before, 2 skipped' in output
        assert re.search(r'skipped: image .*a/0\.png .*empty', output)
        assert re.search(r'skipped: image .*a/2\.jpg is truncated', output)
        shutil.rmtree(photos / 'b')
        (photos / 'a/1.png').unlink()
        assert tool(photos, out='none').endswith('nothing could be predicted')


class TestVideos:
    @pytest.mark.parametrize('domain', ['night', 'all'])
    def test_get_labels_of_each_frame_and_a_video(self, tool, tmp_path, model, domain):
        write_video(tmp_path / 'drive.mp4', frames=4)
        assert '4 predicted' in tool(tmp_path / 'drive.mp4', domain=domain)
        for p in predict(model, tmp_path / 'drive.mp4', domain):
            assert (read(tmp_path / f'out/labels/{p.name}.png') == p.labels).all()
        assert not list((tmp_path / 'out/overlays').glob('**/*.jpg'))
        (drawn,) = find_inputs([tmp_path / 'out/overlays/drive.mp4'])
        assert len(list(drawn.items())) == 4
        assert cv2.VideoCapture(drawn.image).get(cv2.CAP_PROP_FPS) == 5

    def test_that_end_too_early_are_used_as_far_as_they_go(self, tool, tmp_path, photos):
        (photos / 'b/drive.avi').write_bytes(b'RIFF')
        output = tool(photos)
        assert '3 predicted, 0 there before, 1 skipped' in output
        assert 'drive.avi can be read up to frame 0' in output


class TestGoesOn:
    def test_with_what_is_missing(self, tool, tmp_path, photos):
        write_video(photos / 'drive.mp4', frames=3)
        tool(photos)
        before = times(tmp_path / 'out')
        for name in ('labels/a/1.png', 'overlays/b/1.jpg', 'labels/drive.mp4/000001.png'):
            (tmp_path / 'out' / name).unlink()
        (tmp_path / 'out/overlays/drive.mp4').unlink()
        assert '3 predicted, 3 there before, 0 skipped' in tool(photos)
        after = times(tmp_path / 'out')
        assert after.keys() == before.keys()
        kept = {'labels/a/2.png', 'overlays/a/2.jpg', 'labels/drive.mp4/000000.png'}
        assert all(after[name] == before[name] for name in kept)

    def test_with_probabilities_that_were_not_asked_for_before(self, tool, tmp_path, photos):
        tool(photos)
        assert '3 predicted' in tool(photos, '--probabilities')
        assert '0 predicted, 3 there before' in tool(photos, '--probabilities')

    def test_after_an_interruption_with_whole_files(self, tmp_path, photos, model):
        class Interrupted(Input):
            def items(self):
                raise KeyboardInterrupt

        inputs = find_inputs([photos])
        folder = PredictionFolder(tmp_path / 'out', {})
        writer = Writer(build_predictors(model, 'day'), folder)
        with pytest.raises(KeyboardInterrupt):
            writer([inputs[0], Interrupted('x', 'x'), *inputs[1:]])
        folder.close()
        expected = {'labels/a/1.png', 'overlays/a/1.jpg', 'predictions.json'}
        assert files(tmp_path / 'out') == expected
        writer = Writer(build_predictors(model, 'day'), PredictionFolder(tmp_path / 'out', {}))
        summary = writer(inputs)
        assert (summary.predicted, summary.there) == (2, 1)

    def test_only_with_the_same_settings_unless_it_starts_over(self, tool, tmp_path, photos):
        tool(photos)
        before = times(tmp_path / 'out')
        output = tool(photos / 'a', '--tta')
        assert re.search(
            'tta: False, now True\n.*another --out, or start over with --overw', output
        )
        assert times(tmp_path / 'out') == before
        assert '2 predicted' in tool(photos / 'a', '--tta', '--overwrite')
        assert files(tmp_path / 'out/labels') == {'1.png', '2.png'}


class TestLeavesAlone:
    def test_files_of_unknown_origin(self, tool, tmp_path, photos):
        mine = tmp_path / 'out/labels/mine.png'
        mine.parent.mkdir(parents=True)
        mine.write_bytes(b'precious')
        for options in ((), ('--overwrite',)):
            output = tool(photos, *options)
            assert 'out holds labels, but no predictions.json' in output
        assert files(tmp_path) - files(photos.parent / 'photos') >= {'out/labels/mine.png'}
        assert mine.read_bytes() == b'precious'

    def test_labels_of_another_image_of_the_same_name(self, tool, tmp_path, photos):
        tool(photos / 'a')
        before = times(tmp_path / 'out')
        output = tool(photos / 'b')
        assert re.search(
            r'skipped: .*b/1\.png: .*labels/1\.png is there, but of .*a/1\.png', output
        )
        assert times(tmp_path / 'out').keys() == before.keys()

    def test_its_own_results_among_the_inputs(self, tool, photos):
        tool(photos, out='photos/out')
        assert '0 predicted, 3 there before, 0 skipped' in tool(photos, out='photos/out')


@pytest.mark.parametrize(
    ('options', 'domain', 'sentence'),
    [
        ((), None, 'no domain is chosen, expected one of day, night, or all'),
        (('--slide', '8', '9'), 'day', 'expected 0 < stride <= side'),
        (('none.jpg',), 'day', 'none.jpg does not exist'),
        (('--batch-size', '0'), 'day', 'batch_size is 0, expected at least 1'),
        (('--cfg-options', 'modle.norm=shared'), 'day', 'did you mean model'),
        (('--device', 'cuda:99'), 'day', 'device is cuda:99, but PyTorch finds'),
    ],
)
def test_ends_with_a_sentence(tool, photos, options, domain, sentence):
    output = tool(photos, *options, domain=domain)
    assert sentence in output
    assert 'Traceback' not in output
