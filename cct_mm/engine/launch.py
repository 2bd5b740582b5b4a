"""Several processes on CPUs, which mmengine's launcher assumes to have GPUs."""

import torch
from mmengine.config import Config
from torch import distributed


def prepare_processes(cfg: Config) -> None:
    """Let DDP know of idle heads, and join processes by gloo where there is no GPU.

    Args:
        cfg: The run's config; ``cfg.launcher`` is the tools' ``--launcher``, of which only
            ``pytorch`` (torchrun) is meant. Gets a model wrapper that asks for no device.
    """
    # The heads of the domains that an iteration does not train get no gradient.
    unused = len(cfg.model.get('domains', {})) > 1
    cfg.setdefault('find_unused_parameters', unused)
    if cfg.launcher == 'pytorch' and not torch.cuda.is_available():
        distributed.init_process_group('gloo')
        # PyTorch's synchronised batch norm takes no tensors of a CPU.
        cfg.sync_bn = None
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            device_ids=None,
            find_unused_parameters=cfg.find_unused_parameters,
        )
