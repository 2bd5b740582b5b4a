"""Several processes: how they meet, how long they wait for each other, and when they go on."""

import ctypes
import os
import signal
import sys
from datetime import timedelta

import torch
from mmengine.config import Config
from torch import distributed

from .failures import explain_failures

TIMEOUT = 600
"""Seconds that a process waits for the others before it ends: ``env_cfg.dist_cfg.timeout``."""

LOADER_TIMEOUT = 300
"""Seconds that a process waits for its loader's workers: ``train_dataloader.timeout``.

Less than :data:`TIMEOUT`: the process whose loader hangs speaks before those that wait for it.
"""


def prepare_processes(cfg: Config) -> None:
    """Set time limits, let DDP know of idle heads, and join processes by gloo without a GPU.

    Args:
        cfg: The run's config, with the command line's options in it; ``cfg.launcher`` is the
            tools' ``--launcher``. Gets time limits where it has none of its own, and on CPUs, where
            only ``pytorch`` (torchrun) is meant, a model wrapper that asks for no device.

    Raises:
        SystemExit: If a time limit is no positive number.
    """
    # The heads of the domains that an iteration does not train get no gradient.
    unused = len(cfg.model.get('domains', {})) > 1
    cfg.setdefault('find_unused_parameters', unused)
    explain_failures()
    _limit_loaders(cfg)
    if cfg.launcher == 'none':
        return
    timeout = _limit_waiting(cfg)
    _die_with_launcher()
    if cfg.launcher == 'slurm' and 'SLURM_JOB_ID' in os.environ:
        # Two jobs on one host would meet in mmengine's default.
        job, step = (int(os.environ.get(f'SLURM_{name}_ID', 0)) for name in ('JOB', 'STEP'))
        os.environ.setdefault('MASTER_PORT', str(20000 + (97 * job + step) % 10000))
    # On GPUs a timeout then says which processes had not come to the operation that timed out.
    os.environ.setdefault('TORCH_NCCL_DESYNC_DEBUG', '1')
    if cfg.launcher == 'pytorch' and not torch.cuda.is_available():
        distributed.init_process_group('gloo', timeout=timedelta(seconds=timeout))
        # PyTorch's synchronised batch norm takes no tensors of a CPU.
        cfg.sync_bn = None
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            device_ids=None,
            find_unused_parameters=cfg.find_unused_parameters,
        )


def leave_processes() -> None:
    """Wait for the other processes at the end, then part from them.

    The first process holds what they meet by: without it another's threads may abort as they end.
    """
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def restarted() -> bool:
    """Tell whether torchrun or Slurm has started this job before, so that it has to go on."""
    counts = (os.environ.get(f'{name}_RESTART_COUNT', '0') for name in ('TORCHELASTIC', 'SLURM'))
    return any(count not in ('', '0') for count in counts)


def may_be_restarted() -> bool:
    """Tell whether torchrun will start this job again if it fails."""
    return os.environ.get('TORCHELASTIC_MAX_RESTARTS', '0') != '0'


def is_first_process(cfg: Config) -> bool:
    """Tell whether this is the first process of a job, also before they have met.

    Args:
        cfg: The run's config, whose ``launcher`` says who has started them.
    """
    names = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')
    return os.environ.get(names.get(cfg.launcher, ''), '0') == '0'


def _limit_loaders(cfg: Config) -> None:
    """Give each loader with workers a time limit: one on a dead network mount blocks for ever."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader and loader.get('num_workers', 0) > 0:
            loader.setdefault('timeout', LOADER_TIMEOUT)


def _limit_waiting(cfg: Config) -> float:
    """Return the seconds that processes wait for each other, setting them where there are none."""
    # setdefault of a config returns no part of it.
    cfg.setdefault('env_cfg', {})
    cfg.env_cfg.setdefault('dist_cfg', {})
    cfg.env_cfg.dist_cfg.setdefault('timeout', TIMEOUT)
    timeout = cfg.env_cfg.dist_cfg.timeout
    if not isinstance(timeout, (int, float)) or timeout <= 0:
        raise SystemExit(
            f'env_cfg.dist_cfg.timeout is {timeout!r}, expected seconds above 0, such as '
            f'{TIMEOUT}: how long a process waits for the others before it ends'
        )
    return timeout


def _die_with_launcher() -> None:
    """End this process with the one that started it.

    What is left of a killed torchrun would go on writing into the work dir, where its successor
    trains.
    """
    if sys.platform == 'linux':
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
