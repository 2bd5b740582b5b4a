"""Every command of the README is run, at a size that takes seconds."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from cct_mm.lab.toy_scenes import write_toy_scenes

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r'^( *)```(\w+)\n(.*?)^\1```', re.MULTILINE | re.DOTALL)
BLOCKS = [(kind, text) for _, kind, text in BLOCK.findall((ROOT / 'README.md').read_text())]
COMMANDS = [
    line.strip() for kind, text in BLOCKS if kind == 'bash' for line in text.strip().splitlines()
]
# A run of two iterations instead of hundreds; without pretrained weights that need a download.
TINY = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0',
    'model.backbone.init_cfg=None',
]
REAL_DATA = Path(os.environ.get('CCT_MM_DATA', ROOT / 'data'))


def run(command, cwd, **environment):
    """Run a command and return its output; fail the test with it if it fails."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """ToyScenes in a folder of its own."""
    root = tmp_path_factory.mktemp('data')
    write_toy_scenes(root)
    return root


def needs_camvid():
    """Skip where the real CamVid is absent."""
    if not (REAL_DATA / 'CamVid').is_dir():
        pytest.skip(f'no CamVid in {REAL_DATA}: set CCT_MM_DATA to the folder that holds it')
    return REAL_DATA.resolve()


@pytest.mark.parametrize('command', [c for c in COMMANDS if c.startswith('make ')])
def test_make_targets_exist(command):
    run([*shlex.split(command), '-n'], ROOT)


def is_weak(command):
    return 'configs/weak/' in command


@pytest.mark.parametrize(
    'command', [c for c in COMMANDS if 'tools/train.py' in c and not is_weak(c)]
)
def test_training_commands(command, tmp_path):
    data = needs_camvid()
    arguments = [sys.executable, *shlex.split(command)[1:], '--work-dir', str(tmp_path)]
    domains = Config.fromfile(ROOT / shlex.split(command)[2]).val_dataloader.dataset.domains
    few = [f'val_dataloader.dataset.domains.{name}.labeled.indices=3' for name in domains]
    options = ['--cfg-options', *TINY, *few]
    run([*arguments, *options], ROOT, CCT_MM_DATA=str(data), OMP_NUM_THREADS='2')
    assert (tmp_path / 'iter_2.pth').is_file()


@pytest.mark.parametrize('command', [c for c in COMMANDS if 'tools/test.py' in c])
def test_evaluation_commands(command, tmp_path):
    data = needs_camvid()
    _, tool, config, _, *options = shlex.split(command)
    options[options.index('--out') + 1] = str(tmp_path / 'metrics.json')
    from mmengine.runner import save_checkpoint
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(ROOT / config)
    cfg.model.backbone.init_cfg = None
    checkpoint = tmp_path / 'model.pth'
    save_checkpoint({'state_dict': MODELS.build(cfg.model).state_dict()}, str(checkpoint))
    few = tmp_path / 'few.txt'
    few.write_text('\n'.join((data / 'CamVid/test.txt').read_text().splitlines()[:3]))
    source = 'test_dataloader.dataset.domains.camvid.labeled.ann_file'
    run(
        [sys.executable, tool, config, str(checkpoint), '--work-dir', str(tmp_path), *options]
        + ['--cfg-options', f'{source}={few}'],
        ROOT,
        CCT_MM_DATA=str(data),
    )
    assert '"mIoU"' in (tmp_path / 'metrics.json').read_text()


def test_image_level_commands_in_their_order(tmp_path):
    root = REAL_DATA.resolve() / 'VOCdevkit/VOC2012'
    if not (root / 'JPEGImages').is_dir():
        pytest.skip(f'no VOC in {REAL_DATA}: set CCT_MM_DATA to the folder that holds it')
    lists = ROOT / 'configs/_base_/domains/splits/voc'
    few = tmp_path / 'few.txt'
    # Spread over the list: the first ones show none of the domain's classes.
    few.write_text('\n'.join((lists / 'n100_unlabeled.txt').read_text().split()[::125]))
    train, val = 'train_dataloader.dataset.domains.voc', 'val_dataloader.dataset.domains.voc'
    classifier, labels = tmp_path / 'classifier', tmp_path / 'labels'
    images = [f'{train}.weak.ann_file={few}']
    tools = []
    for command in filter(is_weak, COMMANDS):
        _, tool, config, *options = shlex.split(command)
        tools.append(tool)
        if tool == 'tools/train.py':
            weak = 'cct-weak' in config
            kind, work_dir = ('labeled', tmp_path / 'cct') if weak else ('weak', classifier)
            changes = [*TINY, *images, f'{val}.{kind}.indices=3', 'param_scheduler.0.end=2']
            if weak:
                changes += [f'{train}.weak.data_prefix.seg_map_path={labels}']
                changes += [f'load_from={classifier}/iter_2.pth']
            options = ['--work-dir', str(work_dir), '--cfg-options', *changes]
        else:
            options[0] = f'{classifier}/iter_2.pth'
            options[options.index('--out') + 1] = str(labels)
            if '--masks' in options:
                options[options.index('--out') + 1] = str(tmp_path / 'report')
                options[options.index('--masks') + 1] = str(root / 'SegmentationClass')
            options += ['--no-crf', '--cfg-options', *images]
        run([sys.executable, tool, config, *options], ROOT, OMP_NUM_THREADS='1')
    assert tools == [
        'tools/train.py',
        'tools/gen_pseudo_labels.py',
        'tools/train.py',
        'tools/report_pseudo_labels.py',
    ]
    assert len(list(labels.glob('2*.png'))) == 6
    assert (labels / 'preview.jpg').is_file()
    assert (tmp_path / 'report/report.md').is_file()
    assert (tmp_path / 'cct/iter_2.pth').is_file()


@pytest.mark.parametrize('command', [c for c in COMMANDS if c.startswith('tools/dist_')])
def test_launch_scripts_start_their_tool(command):
    # The usage of the tool itself, seen through torchrun with one process.
    script, *arguments = shlex.split(command)
    positional = 1 if 'dist_train' in script else 2
    shown = subprocess.run(
        [f'./{script}', *arguments[:positional], '1', '--help'],
        cwd=ROOT,
        env={**os.environ, 'PYTHON': sys.executable},
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr[-2000:]
    assert 'usage: ' in shown.stdout
    assert all((ROOT / a).is_file() for a in arguments if a.startswith('configs/'))


@pytest.mark.parametrize('command', [c for c in COMMANDS if 'run_experiments' in c])
def test_experiment_commands_read_their_grid(command, tmp_path):
    # The runs are tested in tests/lab/grids; here, that the grid and all its configs are there.
    _, tool, grid, *options = shlex.split(command)
    done = subprocess.run(
        [sys.executable, tool, grid, *options, '--table-only', '--work-dir', str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert 'no finished run' in done.stderr


@pytest.mark.parametrize('command', [c for c in COMMANDS if 'make_splits' in c])
def test_split_commands(command, tmp_path):
    data = needs_camvid()
    arguments = shlex.split(command)[1:]
    arguments[arguments.index('--data-root') + 1] = str(data / 'CamVid')
    arguments[arguments.index('--out') + 1] = str(tmp_path / 'splits')
    run([sys.executable, *arguments], ROOT)
    committed = ROOT / 'configs/_base_/domains/splits/camvid/n20.txt'
    assert (tmp_path / 'splits/n20.txt').read_text() == committed.read_text()


def test_environment_check_runs():
    assert 'python cct_mm/environment.py' in COMMANDS
    run([sys.executable, 'cct_mm/environment.py'], ROOT)


def test_every_command_is_covered():
    known = ('make ', 'tools/dist_', 'pip install -c constraints.txt')
    tools = ('train', 'test', 'run_experiments', 'make_splits', 'benchmark')
    for command in COMMANDS:
        if is_weak(command):
            continue
        covered = command.startswith(known) or any(f'tools/{tool}.py' in command for tool in tools)
        assert covered or command == 'python cct_mm/environment.py', command


def test_own_perturbation_of_the_readme_works_as_it_says(tmp_path, monkeypatch):
    python = [text for kind, text in BLOCKS if kind == 'python']
    (code,) = [text for text in python if 'class RowDrop' in text]
    (config,) = [text for text in python if "imports=['cct_mm', 'row_drop']" in text]
    (test,) = [text for text in python if 'def test_row_drop' in text]
    (tmp_path / 'row_drop.py').write_text(code)
    (tmp_path / 'config.py').write_text(config.replace('./', f'{ROOT}/configs/cct/'))
    monkeypatch.syspath_prepend(tmp_path)

    perturbations = Config.fromfile(tmp_path / 'config.py').model.auxiliary.perturbations
    assert perturbations[-1] == dict(type='Row-Drop', num=2) and len(perturbations) == 8

    names = {}
    exec(compile(test, 'README.md', 'exec'), names)
    names['test_row_drop']()
    from cct_mm.testing import assert_fused_equals_reference

    assert_fused_equals_reference(dict(type='Row-Drop', p=0.5))


def test_own_data_of_the_readme_is_a_config(tmp_path):
    python = [textwrap.dedent(text) for kind, text in BLOCKS if kind == 'python']
    (domain,) = [text for text in python if 'mine = dict(classes=classes' in text]
    (rest,) = [text for text in python if '{{_base_.mine_train}}' in text]
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    configs = tmp_path / 'configs'
    (configs / '_base_/domains/mine.py').write_text(domain)
    lines = (configs / 'baselines/supervised_toy.py').read_text().partition('model = ')[0]
    (configs / 'baselines/supervised_mine.py').write_text(lines.replace('toy_day', 'mine') + rest)
    cct = (configs / 'cct/cct_toy.py').read_text().replace('supervised_toy', 'supervised_mine')
    (configs / 'cct/cct_mine.py').write_text(cct)

    config = Config.fromfile(configs / 'cct/cct_mine.py')
    assert list(config.model.domains) == ['mine'] and 'classes' not in config

    # Data of that layout, built and loaded.
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
    arguments = ['--workers', '1']
    run(
        [
            sys.executable,
            f'{ROOT}/tools/check_data.py',
            str(configs / 'cct/cct_mine.py'),
            *arguments,
        ],
        tmp_path,
        CCT_MM_CACHE=str(tmp_path / 'cache'),
    )


def test_architecture_names_what_is_there():
    text = (ROOT / 'README.md').read_text().partition('## Architecture')[2]
    paths = re.findall(r'(?:cct_mm|configs|docs|tools)/[\w/.]*', text)
    assert len(paths) > 25
    assert [path for path in paths if not (ROOT / path.rstrip('.')).exists()] == []
    assert 'models/segmentors/cct.py' in text
