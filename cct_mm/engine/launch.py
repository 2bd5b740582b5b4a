"""Several processes on CPUs, which mmengine's launcher assumes to have GPUs."""

import torch
from mmengine.config import Config
from torch import distributed


def prepare_processes(cfg: Config) -> None:
    """Join torchrun's processes by gloo where there is no GPU; elsewhere mmengine does it all.

    Args:
        cfg: The run's config; ``cfg.launcher`` is the tools' ``--launcher``, of which only
            ``pytorch`` (torchrun) is meant. Gets a model wrapper that asks for no device.
    """
    if cfg.launcher == 'pytorch' and not torch.cuda.is_available():
        distributed.init_process_group('gloo')
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None
        )
