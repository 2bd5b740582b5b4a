"""Every command and every line of Python on docs/predict.md, with weights that are random."""

import shlex

import numpy as np
import PIL.Image
import pytest
import torch
from doc_pages import ROOT, blocks, commands
from mmengine.registry import DefaultScope
from tiny_predictor import write_image, write_video

from cct_mm.apis import init_model

PAGE = 'docs/predict.md'


@pytest.fixture(scope='module')
def desk(tmp_path_factory):
    """A folder with the page's inputs and checkpoints, from which its commands are run."""
    desk = tmp_path_factory.mktemp('desk')
    for folder in ('configs', 'tools'):
        (desk / folder).symlink_to(ROOT / folder)
    for name in ('front.jpg', 'a/21.jpg', 'a/3.jpg'):
        write_image(desk / 'photos' / name)
    write_video(desk / 'drive.mp4', frames=2)
    runs = {'toy': 'baselines/supervised_toy', 'toy_two': 'multi_domain/supervised_toy'}
    with DefaultScope.overwrite_default_scope('mmseg'):
        for run, config in runs.items():
            model = init_model(ROOT / f'configs/{config}.py')
            path = desk / f'work_dirs/{run}/iter_400.pth'
            path.parent.mkdir(parents=True)
            torch.save({'state_dict': model.state_dict()}, path)
    return desk


@pytest.mark.parametrize('command', commands(PAGE))
def test_commands_write_what_the_page_says(desk, server, command):
    _, *arguments = shlex.split(command)
    run = server.run(desk / 'log', *arguments, directory=desk)
    assert run.code == 0, run.output
    out = desk / arguments[arguments.index('--out') + 1]
    found = {path.relative_to(out).as_posix() for path in out.glob('**/*.*')}
    names = {'front', 'a/21', 'a/3'}
    if '--out mixed' in command:
        expected = {'labels/photos/front.png', 'labels/photos/a/21.png', 'overlays/drive.mp4'}
        expected |= {f'labels/drive.mp4/00000{i}.png' for i in range(2)}
        assert not any('a/3' in name for name in found)
    elif '--domain all' in command:
        expected = {f'labels/{domain}/{n}.png' for domain in ('day', 'night') for n in names}
        expected |= {f'overlays/{n}.jpg' for n in names}
    else:
        expected = {f'labels/{n}.png' for n in names} | {f'overlays/{n}.jpg' for n in names}
    assert found >= expected | {'predictions.json'}


def test_python_runs_and_saves_what_the_tool_does(desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    with DefaultScope.overwrite_default_scope('mmseg'):
        names = {}
        for code in blocks(PAGE, 'python'):
            exec(code, names)
    assert capsys.readouterr().out.count('front.jpg') == 1
    assert names['problems'] == {}
    assert {p.name for p in names['found']} == {'front', 'a/21', 'a/3'}
    with PIL.Image.open(desk / 'from_python/labels/array-1.png') as labels:
        assert np.asarray(labels).shape == (96, 128)
