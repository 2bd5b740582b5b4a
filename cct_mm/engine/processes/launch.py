"""Start and end runs of one or several processes."""

import atexit
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
"""Seconds that a process waits for the others: default of ``env_cfg.dist_cfg.timeout``."""

LOADER_TIMEOUT = 300
"""Seconds that a process waits for its loader's workers: default of ``train_dataloader.timeout``.

It is less than :data:`TIMEOUT`, so that the process whose loader hangs reports before the others.
"""


def prepare_processes(cfg: Config) -> None:
    """Set time limits, tell DDP about idle heads, and without a GPU join the processes by gloo.

    Args:
        cfg: The run's config, with the command line's options merged; ``cfg.launcher`` is the
            tools' ``--launcher``. It gets the time limits that it does not set itself. On CPUs
            (torchrun only) it also gets a model wrapper that asks for no device.

    Raises:
        SystemExit: If a time limit is not a positive number.
    """
    # An iteration trains one domain; the heads of the others get no gradient.
    unused = len(cfg.model.get('domains', {})) > 1
    cfg.setdefault('find_unused_parameters', unused)
    explain_failures()
    _limit_loaders(cfg)
    if cfg.launcher == 'none':
        return
    timeout = _limit_waiting(cfg)
    _die_with_launcher()
    if cfg.launcher == 'slurm' and 'SLURM_JOB_ID' in os.environ:
        # With mmengine's default port two jobs on one host would join each other.
        job, step = (int(os.environ.get(f'SLURM_{name}_ID', 0)) for name in ('JOB', 'STEP'))
        os.environ.setdefault('MASTER_PORT', str(20000 + (97 * job + step) % 10000))
    # NCCL then tells after a timeout which processes had not reached the operation.
    os.environ.setdefault('TORCH_NCCL_DESYNC_DEBUG', '1')
    if cfg.launcher == 'pytorch' and not torch.cuda.is_available():
        distributed.init_process_group('gloo', timeout=timedelta(seconds=timeout))
        # PyTorch's synchronized batch norm refuses tensors on a CPU.
        cfg.sync_bn = None
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            device_ids=None,
            find_unused_parameters=cfg.find_unused_parameters,
        )


def leave_processes() -> None:
    """Wait for the other processes at the end, leave the process group and end this process.

    The first process holds the group's store; if it ended first, others could abort. A run of one
    process goes on.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    distributed.barrier()
    distributed.destroy_process_group()
    # PyTorch's DDP holds the group for as long as the interpreter lives. One of its threads that
    # drops a tensor while the interpreter is torn down aborts the process (pytorch/pytorch#179291),
    # so it is not torn down: what is registered for the end is done, and that is the end.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def restarted() -> bool:
    """Tell whether torchrun or Slurm has restarted this job, so that it has to resume."""
    counts = (os.environ.get(f'{name}_RESTART_COUNT', '0') for name in ('TORCHELASTIC', 'SLURM'))
    return any(count not in ('', '0') for count in counts)


def may_be_restarted() -> bool:
    """Tell whether torchrun will start this job again if it fails."""
    return os.environ.get('TORCHELASTIC_MAX_RESTARTS', '0') != '0'


def is_first_process(cfg: Config) -> bool:
    """Tell whether this is the first process of a job; this works before they are joined.

    Args:
        cfg: The run's config with ``launcher``, which tells who has started the processes.
    """
    names = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')
    return os.environ.get(names.get(cfg.launcher, ''), '0') == '0'


def _limit_loaders(cfg: Config) -> None:
    """Give each loader with workers a time limit; reading from a dead network mount never ends."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader and loader.get('num_workers', 0) > 0:
            loader.setdefault('timeout', LOADER_TIMEOUT)


def _limit_waiting(cfg: Config) -> float:
    """Set the seconds that processes wait for each other unless they are set, and return them."""
    # Config.setdefault returns a copy, not a part of the config.
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
    """End this process when the one that started it ends.

    The processes of a killed torchrun would otherwise go on writing into the work dir, while its
    successor trains there.
    """
    if sys.platform == 'linux':
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
