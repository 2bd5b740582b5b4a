"""Batch norm across domains: the encoder is shared, but images of two datasets differ."""

from collections.abc import Iterable

import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

NORMS = {'shared': (), 'frozen': ('neck',), 'per-domain': ('backbone', 'neck')}
"""How the encoder's batch norms treat domains, and in which parts each has its own statistics.

``shared``: one running mean and variance, of the mixture. An iteration trains one domain, so
training normalises by that domain's statistics and evaluation by the mixture's. ``frozen``: the
backbone keeps its pretrained statistics, in training too; the neck, which has none, has each
domain's. ``per-domain``, the default: each domain has running statistics of its own in both, while
weight and bias are shared. See the README for which is better where.
"""


class DomainNorm(nn.Module):
    """A batch norm with running statistics of each domain, and one weight and bias for all.

    Args:
        norm: The batch norm, of any kind, that it takes the place of and gives statistics to.
        domains: Names of the domains; the first is active until :func:`activate` says otherwise.
    """

    def __init__(self, norm: _BatchNorm, domains: Iterable[str]) -> None:
        super().__init__()
        self.norm = norm
        self.statistics = nn.ModuleDict({name: _Statistics(norm) for name in domains})
        self.active = next(iter(self.statistics))
        self._lend(False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the statistics of the active domain's batch, or by its running ones."""
        self._lend(True)
        try:
            return self.norm(x)
        finally:
            self._lend(False)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Let domains without statistics in a checkpoint start from those that it has.

        Ordinary batch norms have one set for all; of several domains' it is their mean.
        """
        start = f'{prefix}statistics.'
        for name in dict(self.norm.named_parameters()):
            if prefix + name in state_dict:
                state_dict[f'{prefix}norm.{name}'] = state_dict.pop(prefix + name)
        for name in dict(self.statistics[self.active].named_buffers()):
            if prefix + name in state_dict:
                there = [state_dict.pop(prefix + name)]
            else:
                there = [
                    value
                    for key, value in state_dict.items()
                    if key.startswith(start) and key.endswith(f'.{name}')
                ]
            if there:
                mean = torch.stack(there).double().mean(dim=0).to(there[0].dtype)
                for domain in self.statistics:
                    state_dict.setdefault(f'{start}{domain}.{name}', mean)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _lend(self, lend: bool) -> None:
        """Give the norm the active domain's statistics for a pass, or take them back.

        Without them it holds nothing but weight and bias, as far as checkpoints and DDP can see.
        """
        for key, value in self.statistics[self.active].named_buffers():
            self.norm._buffers[key] = value if lend else None
        self.norm.track_running_stats = lend


class _Statistics(nn.Module):
    """One domain's copy of the buffers of a batch norm."""

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        for key, value in norm.named_buffers():
            self.register_buffer(key, value.clone())


def use_domain_norms(module: nn.Module, domains: Iterable[str]) -> None:
    """Replace each batch norm below ``module`` by a :class:`DomainNorm`."""
    domains = list(domains)
    # A norm may be there under several names, and stays one.
    made: dict[_BatchNorm, DomainNorm] = {}
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, _BatchNorm):
                if child not in made:
                    made[child] = DomainNorm(child, domains)
                parent._modules[name] = made[child]


def activate(module: nn.Module, domain: str) -> None:
    """Let each :class:`DomainNorm` in ``module`` work for ``domain``."""
    for child in module.modules():
        if isinstance(child, DomainNorm):
            child.active = domain


def freeze_statistics(module: nn.Module) -> None:
    """Let each batch norm in ``module`` normalise by its running statistics and not move them."""
    for child in module.modules():
        if isinstance(child, _BatchNorm):
            child.eval()


@torch.no_grad()
def pool_statistics(*modules: nn.Module) -> None:
    """Let each running mean and variance be that of all processes' images, on every process.

    Where batch norms do not synchronize, each process has statistics of its own images. They become
    the mean of the means, and the mean of the variances plus the variance of the means: those of
    the images together, as each process has equally many. Equal statistics stay as they are, bit
    for bit, so that pooling again, or norms that are synchronized, change nothing. All processes
    have to call it together.

    Args:
        *modules: Networks with norms of any kind, by domain or not.
    """
    if get_world_size() == 1:
        return
    # Those of a DomainNorm are in a module of their own for each domain.
    buffers = [
        m._buffers for module in modules for m in module.modules() if 'running_mean' in m._buffers
    ]
    pairs = [
        (b['running_mean'], b['running_var']) for b in buffers if b['running_mean'] is not None
    ]
    if not pairs:
        return
    means, variances = zip(*pairs, strict=True)
    own = torch.stack([torch.cat([t.double().flatten() for t in x]) for x in (means, variances)])
    found = torch.stack(all_gather(own))
    # By differences from the first, which are exactly zero where all are equal.
    mean, variance = found[0] + (found - found[0]).mean(dim=0)
    variance += (found[:, 0] - mean).square().mean(dim=0)
    for there, pooled in (means, mean), (variances, variance):
        for t, values in zip(there, pooled.split([t.numel() for t in there]), strict=True):
            t.copy_(values.reshape(t.shape))
