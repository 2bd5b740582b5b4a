"""The commands and the example of docs/domain_files.md."""

import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from doc_pages import blocks, commands
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'docs/domain_files.md'
SPLITS, CHECK = commands(PAGE)


@pytest.mark.realdata
def test_splits_are_the_committed_ones(run_tool, real_data, tmp_path):
    arguments = shlex.split(SPLITS)[1:]
    arguments[arguments.index('--data-root') + 1] = str(real_data('CamVid') / 'CamVid')
    arguments[arguments.index('--out') + 1] = str(tmp_path / 'splits')
    run_tool(*arguments)
    committed = ROOT / 'configs/_base_/domains/splits/camvid/n20.txt'
    assert (tmp_path / 'splits/n20.txt').read_text() == committed.read_text()


def test_the_example_is_a_config_whose_data_are_found(run_tool, tmp_path):
    domain, rest = blocks(PAGE, 'python')
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    configs = tmp_path / 'configs'
    (configs / '_base_/domains/mine.py').write_text(domain)
    lines = (configs / 'baselines/supervised_toy.py').read_text().partition('model = ')[0]
    (configs / 'baselines/supervised_mine.py').write_text(lines.replace('toy_day', 'mine') + rest)
    cct = (configs / 'cct/cct_toy.py').read_text().replace('supervised_toy', 'supervised_mine')
    (configs / 'cct/cct_mine.py').write_text(cct)

    config = Config.fromfile(configs / 'cct/cct_mine.py')
    assert list(config.model.domains) == ['mine'] and 'classes' not in config

    root = tmp_path / 'data/mine'
    for folder in ('images', 'masks', 'video_frames'):
        (root / folder).mkdir(parents=True)
    for name in 'abc':
        pixels = np.random.default_rng(ord(name)).integers(0, 255, (60, 80, 3), np.uint8)
        cv2.imwrite(str(root / f'images/{name}.png'), pixels)
        cv2.imwrite(str(root / f'video_frames/{name}{name}.png'), 255 - pixels)
        cv2.imwrite(str(root / f'masks/{name}.png'), pixels[..., 0] % 3)
    (root / 'train.txt').write_text('images/a.png masks/a.png\nimages/b.png masks/b.png\n')
    (root / 'val.txt').write_text('images/c.png masks/c.png\n')
    _, tool, *arguments = shlex.split(CHECK)
    run_tool(ROOT / tool, *arguments, '--workers', '1', directory=tmp_path)
