"""Commands of the docs, made small enough for tests."""

import contextlib
import functools
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
# Two iterations instead of hundreds; without pretrained weights that would be downloaded.
TINY = (
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0',
    'model.backbone.init_cfg=None',
)


def tiny_training(command: str, work_dir: Path) -> list[str]:
    """Return the arguments of a training command with two iterations and three images to validate.

    Args:
        command: ``python tools/train.py CONFIG [options]``; where it has ``--cfg-options``, these
            are its last.
        work_dir: Where the run goes, in place of what the command names.
    """
    _, tool, config, *options = shlex.split(command)
    if '--work-dir' in options:
        at = options.index('--work-dir')
        del options[at : at + 2]
    domains = Config.fromfile(ROOT / config).val_dataloader.dataset.domains
    few = [f'val_dataloader.dataset.domains.{name}.labeled.indices=3' for name in domains]
    if '--cfg-options' not in options:
        options.append('--cfg-options')
    return [tool, config, '--work-dir', str(work_dir), *options, *TINY, *few]


def tiny_evaluation(command: str, checkpoint: Path, work_dir: Path, *changes: str) -> list[str]:
    """Return the arguments of a test command, with another checkpoint and what it writes below.

    Args:
        command: ``python tools/test.py CONFIG CHECKPOINT [--out FILE] [options]``.
        checkpoint: Takes the place of CHECKPOINT.
        work_dir: Where everything goes; FILE becomes ``metrics.json`` in it.
        *changes: Further ``--cfg-options``.
    """
    _, tool, config, _, *options = shlex.split(command)
    if '--out' in options:
        options[options.index('--out') + 1] = str(work_dir / 'metrics.json')
    options += ['--work-dir', str(work_dir), '--cfg-options', *changes]
    return [tool, config, str(checkpoint), *options]


def few_test_images(data: Path, folder: Path) -> str:
    """Return the option by which CamVid is tested on three images; writes their list."""
    few = folder / 'few.txt'
    few.write_text('\n'.join((data / 'CamVid/test.txt').read_text().splitlines()[:3]))
    return f'test_dataloader.dataset.domains.camvid.labeled.ann_file={few}'


def fresh_checkpoint(config: str, path: Path) -> Path:
    """Write a checkpoint with random weights of a config's model."""
    from mmengine.runner import save_checkpoint
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    cfg = Config.fromfile(ROOT / config)
    cfg.model.backbone.init_cfg = None
    save_checkpoint({'state_dict': MODELS.build(cfg.model).state_dict()}, str(path))
    return path


def run_in_shell(command: str, **environment: str) -> str:
    """Run a command from the root with this interpreter as ``python``; return its output.

    Raises:
        AssertionError: It fails.
    """
    folder = os.path.dirname(sys.executable)
    done = subprocess.run(
        command,
        shell=True,
        cwd=ROOT,
        env={
            **os.environ,
            'PATH': f'{folder}:{os.environ["PATH"]}',
            'PYTHON': sys.executable,
            'PYTHONPATH': str(ROOT),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f'{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}'
    return done.stdout


@functools.cache
def run_installation(command: str) -> None:
    """Run a command by which one installs the package and looks at it, without a change."""
    if command.startswith('make '):
        check_make(command)
    elif command.startswith('pip install '):
        # With what is installed.
        options = '--dry-run --no-build-isolation --no-index --quiet'
        run_in_shell(f'python -m {command.replace("install", f"install {options}", 1)}')
    else:
        run_in_shell(command)


def check_make(command: str) -> None:
    """Let ``make`` say what it would do for a command of a page."""
    run_in_shell(f'{command} -n')


def check_launcher(command: str) -> None:
    """Start the tool behind ``tools/dist_*.sh`` by torchrun, with one process, for its usage."""
    words = shlex.split(command)
    variables = [word for word in words if re.match('[A-Z_]+=', word)]
    known = {'NNODES', 'NODE_RANK', 'MASTER_ADDR', 'MAX_RESTARTS', 'PORT'}
    assert {word.partition('=')[0] for word in variables} <= known, variables
    script, config, *rest = words[len(variables) :]
    for word in (config, *rest):
        assert not word.startswith('configs/') or (ROOT / word).is_file(), word
    checkpoint = rest[:1] if 'dist_test' in script else []
    shown = run_in_shell(shlex.join([f'./{script}', config, *checkpoint, '1', '--help']))
    assert 'usage: ' in shown


def check_grid(command: str, work_dir: Path) -> None:
    """Let ``run_experiments.py`` read a grid with all its configs; tests/lab/grids run grids."""
    code, _, errors = run_here(f'{command} --table-only --work-dir {work_dir}')
    assert code == 2 and 'no finished run' in errors, errors[-2000:]


def run_here(command: str) -> tuple[int, str, str]:
    """Run ``python tools/NAME.py ...`` in this process, whose imports it needs not repeat.

    Args:
        command: Of a tool whose ``main`` returns its exit code.

    Returns:
        Exit code, output and errors.
    """
    _, tool, *arguments = shlex.split(command)
    output, errors = io.StringIO(), io.StringIO()
    folder, argv = os.getcwd(), sys.argv
    os.chdir(ROOT)
    sys.argv = [tool, *arguments]
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = runpy.run_path(tool)['main']()
    finally:
        os.chdir(folder)
        sys.argv = argv
    return code, output.getvalue(), errors.getvalue()
