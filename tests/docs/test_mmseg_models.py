"""The commands of docs/mmseg_models.md, with networks of no size."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from doc_pages import ROOT, blocks, commands
from mmengine.config import Config
from mmseg.datasets import ADE20KDataset
from mmseg.registry import MODELS
from tiny_zoo import NETWORKS

from cct_mm.lab.toy_scenes import writing

PAGE = 'docs/mmseg_models.md'
SCENES, TRAIN, LOAD, *CONFIGS, GRID = commands(PAGE)
REAL_DATA = Path(os.environ.get('CCT_MM_DATA', ROOT / 'data')).resolve()
UPERNET = dict(
    pretrained=None,
    backbone=dict(depth=18, base_channels=8, stem_channels=8),
    decode_head=dict(in_channels=8, channels=8),
    neck=dict(head=dict(in_channels=[8, 16, 32, 64], channels=8)),
    auxiliary_head=dict(in_channels=32, channels=8),
)
SHORT = {
    'train_cfg': dict(max_iters=2, val_interval=2),
    'train_dataloader': dict(num_workers=0, persistent_workers=False),
}


def options(config, prefix=''):
    """Return a nested dict as the options that set it."""
    found = []
    for key, value in config.items():
        if isinstance(value, dict):
            found += options(value, f'{prefix}{key}.')
        else:
            found.append(f'{prefix}{key}={value}'.replace(' ', ''))
    return found


@pytest.fixture(scope='module')
def run(run_tool):
    """Run a command of the page with further options; return its output."""

    def run(command, work_dir, config, domain, directory=ROOT, data=None):
        argv = shlex.split(command)[1:]
        if '--cfg-options' not in argv:
            argv.append('--cfg-options')
        few = [f'val_dataloader.dataset.domains.{domain}.labeled.indices=3']
        argv += options(SHORT) + options(config, 'model.') + few
        argv[0] = str(ROOT / argv[0])
        argv[1:1] = ['--work-dir', str(work_dir)]
        return run_tool(*argv, directory=directory, CCT_MM_DATA=str(data or REAL_DATA))

    return run


@pytest.fixture(scope='module')
def toy_data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    with mock.patch.object(writing, 'SPLIT_SIZES', {'train': 16, 'val': 3, 'test': 3}):
        writing.write_toy_scenes(root)
    return root


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A folder with the page's config and the configs that it names."""
    folder = tmp_path_factory.mktemp('clone')
    (folder / 'configs').symlink_to(ROOT / 'configs')
    (config,) = blocks(PAGE, 'python')
    (folder / 'upernet_toy.py').write_text(config)
    return folder


@pytest.mark.slow
def test_model_of_the_zoo_trains(run, clone, toy_data, tmp_path):
    assert SCENES == 'python tools/make_toy_scenes.py --root data'
    run(TRAIN, tmp_path, UPERNET, 'day', clone, toy_data)
    assert (tmp_path / 'iter_2.pth').is_file()


@pytest.mark.slow
def test_weights_of_the_zoo_are_loaded_as_the_page_says(run, clone, toy_data, tmp_path):
    upernet = {**UPERNET, 'decode_head': UPERNET['neck']['head']}
    del upernet['neck']
    path = tmp_path / 'zoo.py'
    path.write_text(f'_base_ = "mmseg::_base_/models/upernet_r50.py"\nmodel = {upernet!r}\n')
    config = Config.fromfile(path).model
    config.decode_head.num_classes = config.auxiliary_head.num_classes = 150
    meta = dict(dataset_meta=dict(classes=ADE20KDataset.METAINFO['classes']))
    weights = MODELS.build(config).state_dict()
    name = LOAD.rpartition('=')[2]
    torch.save(dict(meta=meta, state_dict=weights), clone / name)
    output = run(LOAD, tmp_path / 'run', UPERNET, 'day', clone, toy_data)
    (said,) = blocks(PAGE, 'text')
    assert said.partition('; ')[2].strip() in output
    assert 'of the backbone, 12 of 12 layers of the neck' in output


def network_of(command):
    name = Path(shlex.split(command)[2]).stem
    found = [network for network in NETWORKS if f'_{network}_' in name]
    if found:
        return {**NETWORKS[found[0]], 'decode_head': dict(in_channels=8, channels=8)}
    return {}


@pytest.mark.slow
@pytest.mark.parametrize('command', [command for command in CONFIGS if '_toy' in command])
def test_configs_train_on_toy_scenes(run, toy_data, tmp_path, command):
    run(command, tmp_path, network_of(command), 'day', data=toy_data)
    assert (tmp_path / 'iter_2.pth').is_file()


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize('command', [command for command in CONFIGS if 'camvid' in command])
def test_configs_train_on_camvid(run, tmp_path, command):
    if not (REAL_DATA / 'CamVid').is_dir():
        pytest.skip(f'no CamVid in {REAL_DATA}: set CCT_MM_DATA to the folder that has it')
    run(command, tmp_path, network_of(command), 'camvid')
    assert (tmp_path / 'iter_2.pth').is_file()


def test_page_names_every_config_there_is():

    text = (ROOT / PAGE).read_text()
    for path in (ROOT / 'configs/zoo').glob('*.py'):
        assert f'_{path.stem.partition("_")[2].rpartition("_")[0]}_' in text


@pytest.mark.slow
def test_grid_is_read(tmp_path):
    argv = shlex.split(GRID)[1:]
    done = subprocess.run(
        [sys.executable, *argv, '--table-only', '--work-dir', str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'no finished run' in done.stderr, done.stderr
