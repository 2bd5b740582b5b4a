"""``python -m cct_mm``, the help of all tools, and the package as it is installed from a wheel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cct_mm.__main__ import commands

ROOT = Path(__file__).resolve().parent.parent
# A module of that name on the path lets no import of torch pass.
BLOCKED = 'raise RuntimeError("torch was imported")\n'
SLOW = ('benchmark',)  # its options are in the package


def run(*arguments, code=0, cwd=None, **environment):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), **environment}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture
def without_torch(tmp_path):
    (tmp_path / 'torch.py').write_text(BLOCKED)
    return f'{tmp_path}{os.pathsep}{ROOT}'


def test_help_lists_every_command_and_imports_nothing_slow(without_torch):
    text = run('-m', 'cct_mm', '--help', PYTHONPATH=without_torch)
    listed = {line.split()[0] for line in text.splitlines() if line.startswith('  ')}
    assert {'train', 'test', 'check_data'} <= set(commands()) == listed
    assert not {'options', 'dist_run'} & listed


@pytest.mark.parametrize('name', sorted(set(commands()) - set(SLOW)))
def test_help_of_a_command_imports_nothing_slow(name, without_torch):
    text = run('-m', 'cct_mm', name, '--help', PYTHONPATH=without_torch)
    assert f'usage: {name}.py' in text


def test_an_unknown_command_is_a_sentence():
    assert 'no command' in run('-m', 'cct_mm', 'trian', code=1)


def test_importing_the_package_is_silent():
    assert run('-c', 'import cct_mm') == ''


def test_configs_of_the_package_are_bases_without_a_clone(tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text(
        "_base_ = ['cct_mm::cct/cct_toy.py']\n"
        'mine = {{_base_.val_dataloader}}\n'
        'train_cfg = dict(max_iters=7)\n'
    )
    script = (
        'import cct_mm\n'
        'from mmengine.config import Config\n'
        f'config = Config.fromfile({str(config)!r})\n'
        'print(config.model.type, config.train_cfg.max_iters, config.mine.sampler._scope_)\n'
        'from mmseg.registry import DATA_SAMPLERS, VISUALIZERS\n'
        "DATA_SAMPLERS.build({**config.mine.sampler, 'dataset': [1]})\n"
        "VISUALIZERS.build({**config.visualizer, '_scope_': 'cct_mm', 'vis_backends': []})\n"
    )
    assert run('-c', script).split()[-3:] == ['CCT', '7', 'cct_mm']


@pytest.mark.slow
def test_a_wheel_trains_without_a_clone(tmp_path):
    # Of what git would commit, so that leftovers of builds do not stand in for what is missing.
    files = subprocess.check_output(
        ['git', 'ls-files', '-co', '--exclude-standard', '-z'], cwd=ROOT, text=True
    ).split('\0')
    source = tmp_path / 'source'
    for name in filter(None, files):
        if name.startswith('tests/') or not (ROOT / name).exists():
            continue
        place = source / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place, follow_symlinks=False)
    pip = ('-m', 'pip', '--disable-pip-version-check')
    run(*pip, 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', tmp_path, source)
    (wheel,) = tmp_path.glob('*.whl')
    site = tmp_path / 'site'
    run(*pip, 'install', '-q', '--no-deps', '--target', site, wheel)
    for pattern in ('_base_/domains/splits/camvid/n20.txt', 'cct/cct_toy.py', 'experiments/*.yaml'):
        assert list((site / 'cct_mm/.mim/configs').glob(pattern)), pattern
    assert os.access(site / 'cct_mm/.mim/tools/dist_train.sh', os.X_OK)

    user = tmp_path / 'user'
    user.mkdir()
    environment = dict(PYTHONPATH=str(site), CCT_MM_DATA='data', OMP_NUM_THREADS='1')
    run('-m', 'cct_mm', 'make_toy_scenes', cwd=user, **environment)
    (user / 'mine.py').write_text(
        "_base_ = 'cct_mm::baselines/supervised_toy.py'\n"
        'train_cfg = dict(max_iters=2)\n'
        'model = dict(backbone=dict(init_cfg=None))\n'
    )
    text = run('-m', 'cct_mm', 'train', 'mine.py', cwd=user, **environment)
    assert (user / 'work_dirs/mine/iter_2.pth').is_file()
    # What a run says at its start fits on a screen.
    assert len(text.splitlines()) < 40, text
