"""The way of docs/own_data.md, command by command, on folders like those it describes."""

import os
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from doc_pages import blocks, commands
from mmengine.config import Config

from cct_mm.lab.splits import file_list_hash

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'docs/own_data.md'
REAL_DATA = Path(os.environ.get('CCT_MM_DATA', ROOT / 'data')).resolve()
OPTIONS = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    # No weights that need another package or a download.
    'model.backbone.init_cfg=None',
]
COLORS = np.array([[0, 0, 0], [200, 100, 0], [0, 255, 0]], np.uint8)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """The folders of the page, with fewer and smaller images."""
    home = tmp_path_factory.mktemp('own_data')
    rng = np.random.default_rng(0)
    for i in range(16):
        height, width = rng.integers(64, 110, 2)
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        mask = rng.integers(0, 3, (height, width), np.uint8)
        write(home / f'data/leaves/photos/IMG_{i:04}.jpg', image)
        write(home / f'data/pots/more/{i}.jpg', 255 - image)
        if i < 6:
            write(home / f'data/leaves/masks/IMG_{i:04}.png', mask)
            write(home / f'data/pots/labeled/{i}.jpg', image)
            write(home / f'data/pots/colors/{i}.png', COLORS[mask][..., ::-1])
    return home


def run(server, home, command):
    """Run a command of the page in a folder of its own, with two iterations."""
    _, tool, *arguments = shlex.split(command)
    # The options of the page that come last go on.
    if tool == 'tools/train.py':
        arguments += [*([] if '--cfg-options' in arguments else ['--cfg-options']), *OPTIONS]
    arguments = [argument.replace('iter_400', 'iter_2') for argument in arguments]
    cache = dict(CCT_MM_CACHE=str(home / 'cache'))
    log = home / 'log.txt'
    done = server.run(log, ROOT / tool, *arguments, directory=home, environment=cache)
    assert done.code == 0, f'{command}\n{done.output[-3000:]}'


@pytest.mark.slow
def test_commands_in_their_order(server, home):
    done = []
    for command in commands(PAGE):
        tool = command.split()[1]
        if tool != 'tools/make_splits.py' and (ROOT / tool).is_file():
            run(server, home, command)
            done.append(tool)
    assert done.count('tools/new_domain.py') == 2 and done.count('tools/train.py') == 5
    for name in ('leaves', 'leaves-pots'):
        for method in ('supervised', 'recommended'):
            assert (home / f'work_dirs/{method}_{name}/iter_2.pth').is_file()


@pytest.mark.realdata
def test_splits(server, home, tmp_path):
    if not (REAL_DATA / 'CamVid').is_dir():
        pytest.skip(f'no CamVid in {REAL_DATA}: set CCT_MM_DATA to the folder that holds it')
    (command,) = (c for c in commands(PAGE) if 'make_splits' in c)
    (tmp_path / 'data').symlink_to(REAL_DATA)
    run(server, tmp_path, command)
    committed = ROOT / 'configs/_base_/domains/splits/camvid/n20.txt'
    written = tmp_path / 'splits/n20.txt'
    assert file_list_hash(written.read_text().split()) == file_list_hash(
        committed.read_text().split()
    )


def test_domain_by_hand(server, tmp_path):
    domain, baseline = blocks(PAGE, 'python')
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    configs = tmp_path / 'configs'
    (configs / '_base_/domains/mine.py').write_text(domain)
    (configs / 'baselines/supervised_mine.py').write_text(baseline)
    cct = (configs / 'cct/cct_toy.py').read_text().replace('supervised_toy', 'supervised_mine')
    (configs / 'cct/cct_mine.py').write_text(cct)
    config = Config.fromfile(configs / 'cct/cct_mine.py')
    assert list(config.model.domains) == ['mine'] and 'classes' not in config

    root = tmp_path / 'data/mine'
    for name in 'abc':
        pixels = np.random.default_rng(ord(name)).integers(0, 255, (60, 80, 3), np.uint8)
        write(root / f'images/{name}.png', pixels)
        write(root / f'frames/{name}{name}.png', 255 - pixels)
        write(root / f'masks/{name}.png', pixels[..., 0] % 3)
    (root / 'train.txt').write_text('images/a.png masks/a.png\nimages/b.png masks/b.png\n')
    (root / 'val.txt').write_text('images/c.png masks/c.png\n')
    run(server, tmp_path, f'python tools/check_data.py {configs}/cct/cct_mine.py --workers 1')
