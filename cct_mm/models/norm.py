"""Batch norm across domains: the encoder is shared, but the images of two datasets differ."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import all_gather, get_world_size
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .active_domain import ActiveDomain

NORMS = {'shared': (), 'frozen': ('neck',), 'domain-specific': ('backbone', 'neck')}
"""How the encoder's batch norms treat domains, and which parts get :class:`DomainSpecificNorm`.

``shared``: one running mean and variance for all domains. An iteration shows one domain, so
training normalizes by the statistics of that domain and evaluation by those of the mixture.
``frozen``: the backbone keeps its pretrained statistics, in training too; the neck, which has no
pretrained statistics, has domain-specific ones. ``domain-specific``, the default: backbone and neck
have running statistics for each domain, while weight and bias are shared.
docs/results.md compares them.
"""


def norm_named(name: str, owner: str) -> str:
    """Return a key of :data:`NORMS`; ``'per-domain'`` is the old name of ``'domain-specific'``.

    Args:
        name: As the config gives it.
        owner: Who asks, as an error calls it.

    Raises:
        ValueError: If there is no such kind of norm.
    """
    if name == 'per-domain':
        warnings.warn(
            "norm='per-domain' is now called norm='domain-specific'; please rename it in your "
            'config, it means the same',
            FutureWarning,
            stacklevel=3,
        )
        return 'domain-specific'
    if name not in NORMS:
        raise ValueError(f'{owner}: norm is {name!r}, expected one of {", ".join(NORMS)}')
    return name


class DomainSpecificNorm(nn.Module):
    """A batch norm with running statistics for each domain, and one weight and bias for all.

    Args:
        norm: The batch norm, of any kind, that it replaces and lends statistics to.
        active: The domains of the network, and which of them is active.
    """

    def __init__(self, norm: _BatchNorm, active: ActiveDomain) -> None:
        super().__init__()
        # As of a batch norm: False leaves the running statistics alone in training.
        self.track_running_stats = True
        self.norm = norm
        self.statistics = nn.ModuleDict({name: _Statistics(norm) for name in active.names})
        self.active = active
        self._take_back()

    def forward(self, x: Tensor) -> Tensor:
        """Normalize by the batch statistics, or in evaluation by the active domain's running ones.

        Shape:
            - x, output: [B, D, h, w]

        Raises:
            RuntimeError: If no domain is active.
        """
        if self.norm.training and not self.track_running_stats:
            return self.norm(x)
        # Run again in backward, a pass has moved the statistics already, or was not to move them.
        again = self.norm.training and self.active.again
        for key, value in self.statistics[self.active.name].named_buffers():
            self.norm._buffers[key] = value.clone() if again else value
        self.norm.track_running_stats = True
        try:
            return self.norm(x)
        finally:
            self._take_back()

    def _take_back(self) -> None:
        # Between two passes the norm holds nothing but weight and bias, so that checkpoints and DDP
        # find each statistic once, under its domain.
        for key in self.norm._buffers:
            self.norm._buffers[key] = None
        self.norm.track_running_stats = False

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Load the checkpoint of an ordinary batch norm too, and of other domains.

        An ordinary batch norm has one set of statistics, which every domain starts from. A domain
        that is not in the checkpoint starts from the mean over the domains that are.
        """
        start = f'{prefix}statistics.'
        for name in dict(self.norm.named_parameters()):
            if prefix + name in state_dict:
                state_dict[f'{prefix}norm.{name}'] = state_dict.pop(prefix + name)
        for name in dict(next(iter(self.statistics.values())).named_buffers()):
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


class _Statistics(nn.Module):
    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        for key, value in norm.named_buffers():
            self.register_buffer(key, value.clone())


def use_domain_specific_norms(module: nn.Module, active: ActiveDomain) -> None:
    """Replace each batch norm below ``module`` by a :class:`DomainSpecificNorm`.

    Args:
        module: The backbone, for example.
        active: The domains of the network, and which of them is active.
    """
    # A norm may be there under several names, and stays one.
    made: dict[_BatchNorm, DomainSpecificNorm] = {}
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, _BatchNorm):
                if child not in made:
                    made[child] = DomainSpecificNorm(child, active)
                parent._modules[name] = made[child]


def use_plain_norms(module: nn.Module, domain: str) -> None:
    """Undo :func:`use_domain_specific_norms`: each norm keeps the statistics of one domain.

    Args:
        module: The copy of a backbone, for example; it serves this domain alone from here on.
        domain: Name of the domain.
    """
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, DomainSpecificNorm):
                for key, value in child.statistics[domain].named_buffers():
                    child.norm._buffers[key] = value
                child.norm.track_running_stats = True
                parent._modules[name] = child.norm


def freeze_statistics(module: nn.Module) -> None:
    """Let each batch norm in ``module`` normalize by its running statistics and not update them."""
    for child in module.modules():
        if isinstance(child, _BatchNorm):
            child.eval()


@contextmanager
def statistics_kept(*modules: nn.Module) -> Iterator[None]:
    """Normalize by batch statistics, as in training, and leave the running ones as they are.

    Where activation checkpointing runs a pass again in backward, after this context has ended, a
    :class:`DomainSpecificNorm` keeps its statistics too, and an ordinary batch norm does not.
    """
    norms = [
        m
        for module in modules
        for m in module.modules()
        if isinstance(m, _BatchNorm | DomainSpecificNorm) and m.training and m.track_running_stats
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def runs_again(module: nn.Module) -> bool:
    """Tell whether a network of mmseg runs again in backward, by activation checkpointing."""
    return any(getattr(m, 'with_cp', False) for m in module.modules())


@torch.no_grad()
def pool_statistics(*modules: nn.Module) -> None:
    """Let each running mean and variance be that of all processes' images, on every process.

    Where batch norms do not synchronize, each process has the statistics of its own images. The
    pooled mean is the mean of the means, and the pooled variance is the mean of the variances plus
    the variance of the means, because every process has seen equally many images. Equal statistics
    stay as they are, bit for bit: pooling twice, or synchronized norms, change nothing. All
    processes have to call it together.

    Args:
        *modules: Networks with norms of any kind.
    """
    if get_world_size() == 1:
        return
    # A DomainSpecificNorm has a module with statistics for each domain.
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
