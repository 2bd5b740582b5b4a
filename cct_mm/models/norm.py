"""Batch norm across domains: the encoder is shared, but images of two datasets differ."""

import copy
from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

NORMS = ('shared', 'frozen', 'per-domain')
"""How the encoder's batch norms treat domains.

``shared``: one running mean and variance, of the mixture. An iteration trains one domain, so
training normalises by that domain's statistics and evaluation by the mixture's. ``frozen``: the
backbone keeps its pretrained statistics, in training too. ``per-domain``: each domain has running
statistics of its own, while weight and bias are shared.
"""


class DomainNorm(nn.Module):
    """A batch norm with running statistics of each domain, and one weight and bias for all.

    Args:
        norm: The batch norm that it takes the place of, of any kind; it is copied.
        domains: Names of the domains; the first is active until :func:`activate` says otherwise.
    """

    def __init__(self, norm: _BatchNorm, domains: Iterable[str]) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({name: copy.deepcopy(norm) for name in domains})
        self.active, first = next(iter(self.norms.items()))
        for own in self.norms.values():
            own.weight, own.bias = first.weight, first.bias
        self.register_load_state_dict_pre_hook(_spread)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by the statistics of the active domain's batch, or by its running ones."""
        return self.norms[self.active](x)


def _spread(module: DomainNorm, state_dict: dict, prefix: str, *_) -> None:
    """Let every domain start from the statistics of a checkpoint with ordinary batch norms."""
    keys = [k for k in state_dict if k.startswith(prefix) and '.' not in k[len(prefix) :]]
    for key in keys:
        value = state_dict.pop(key)
        for name in module.norms:
            state_dict.setdefault(f'{prefix}norms.{name}.{key[len(prefix) :]}', value)


def use_domain_norms(module: nn.Module, domains: Iterable[str]) -> None:
    """Replace each batch norm below ``module`` by a :class:`DomainNorm`."""
    domains = list(domains)
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, DomainNorm(child, domains))
        else:
            use_domain_norms(child, domains)


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
