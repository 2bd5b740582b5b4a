"""The auxiliary decoders alone: Table 13 of the paper."""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import Tensor

from cct_mm import keyed
from cct_mm.models.cct import AuxiliaryBank, Target, UnsupervisedTerms
from cct_mm.models.cct.perturbations import PERTURBATIONS, Perturbation
from cct_mm.models.cct.perturbations.base import conv1x1, conv1x1_backward

from .cases import Case, Group, Work
from .config import load_config, with_decoders
from .inputs import blobs
from .variants import PATHS, compute_decoders

CONSISTENCY_WEIGHT = 30.0
"""w_u when the decoders are measured alone: lambda_u of the paper."""


class Unperturbed(Perturbation):
    """No perturbation, to measure the decoder itself: the "main decoder" of Table 13."""

    copies_z = False

    def draw(self, context: Any) -> None:
        """Draw nothing."""

    def perturb(self, z: Tensor, state: None) -> Tensor:
        """Return z for one decoder."""
        return z.unsqueeze(0)

    def project(self, z: Tensor, weight: Tensor, state: None) -> Tensor:
        """Return W z."""
        return conv1x1(z, weight)

    def project_backward(
        self, grad: Tensor, z: Tensor, weight: Tensor, state: None, grad_z: Tensor
    ) -> Tensor:
        """Add ``W^T grad``, return ``grad z^T``."""
        return conv1x1_backward(grad, z, weight, grad_z).sum(dim=1)


@contextmanager
def unperturbed_as_main() -> Iterator[None]:
    """Register :class:`Unperturbed` as ``main`` inside the context alone; no config can name it."""
    PERTURBATIONS.register_module(name='main', module=Unperturbed)
    try:
        yield
    finally:
        del PERTURBATIONS.module_dict['main']


def decoders_work(
    cfg: Config,
    path: str,
    entries: Sequence[dict],
    z_shape: tuple[int, int, int],
    classes: int,
    device: torch.device,
    seed: int,
    forward_only: bool = False,
) -> Work:
    """Return the auxiliary part of a step: from a made-up z and target to loss and gradients.

    Args:
        cfg: Config of CCT, which says decoders and distance.
        path: ``reference`` or ``fused``.
        entries: Perturbations of the decoders.
        z_shape: Number of images B, height and width of z in positions.
        classes: Number of classes C.
        device: Where all is computed.
        seed: Seed of weights, z, target and perturbations.
        forward_only: Whether to compute the loss alone. The fused path has all gradients by then.
    """
    auxiliary = {**cfg.model.auxiliary, 'perturbations': list(entries)}
    torch.manual_seed(seed)
    with unperturbed_as_main():
        bank = AuxiliaryBank(num_classes=classes, **auxiliary).to(device)
    batch, height, width = z_shape
    size = height * bank.stride, width * bank.stride
    z = torch.randn(
        batch, auxiliary['in_channels'], height, width, generator=keyed.generator(seed, 'z')
    ).relu_()
    z = z.to(device).requires_grad_()
    target = Target(
        prob=blobs((batch, *size), classes, seed, 'target').softmax(dim=1).to(device),
        valid=torch.ones(batch, 1, *size, dtype=torch.bool, device=device),
        foreground=torch.arange(classes, device=device) > 0,
        key=(seed, 'benchmark', 900),
        samples=list(range(batch)),
    )
    pairwise = cfg.model.get('loss_pairwise')
    terms = UnsupervisedTerms(
        MODELS.build({'type': 'ConsistencyLoss', **cfg.model.get('loss_consistency', {})}),
        CONSISTENCY_WEIGHT,
        MODELS.build(pairwise) if pairwise else None,
    )

    def run() -> Tensor:
        if forward_only:
            return PATHS[path](bank, z, target, terms).total.detach()
        return compute_decoders(path, bank, z, target, terms)

    gradients = sum(p.numel() * p.element_size() for p in bank.parameters())
    return Work(run, 0 if forward_only else gradients, auxiliary=lambda: run)


def plan_decoders(args: argparse.Namespace) -> list[Group]:
    """Measure Table 13: the paths in turns, at each size and for each row."""
    cfg = load_config(args.config, args.cfg_options)
    own = {entry['type']: entry for entry in cfg.model.auxiliary.perturbations}
    rows = {'main': [dict(type='main')]}
    rows |= {name: [{**entry, 'num': 1}] for name, entry in own.items()}
    every = list(cfg.model.auxiliary.perturbations)
    rows['all'] = every if args.decoders is None else with_decoders(every, args.decoders)
    unknown = [row for row in args.rows or () if row not in rows]
    if unknown:
        raise ValueError(f'--rows {" ".join(unknown)}: expected some of {", ".join(rows)}')
    groups = []
    for size, row in itertools.product(args.sizes, args.rows or [r for r in rows if r != 'all']):
        count = sum(entry.get('num', 1) for entry in rows[row])
        title = f'{row} ({count})' if row == 'all' else row
        names = {path: f'{title}, z {size[0]}x{size[1]}, {path}' for path in args.paths}
        cases = [
            decoders_case(args, cfg, name, path, rows[row], (args.batch, *size))
            for path, name in names.items()
        ]
        both = [(names['reference'], names['fused'])] if len(names) > 1 else []
        groups.append(Group(cases, ratios=both, same_loss=both))
    return groups


def decoders_case(
    args: argparse.Namespace,
    cfg: Config,
    name: str,
    path: str,
    entries: Sequence[dict],
    z_shape: tuple[int, int, int],
) -> Case:
    """Return the case of the decoders of ``entries`` alone."""

    def build() -> Work:
        forward_only = getattr(args, 'forward_only', False)
        return decoders_work(
            cfg, path, entries, z_shape, args.classes, args.device, args.seed, forward_only
        )

    count = sum(entry.get('num', 1) for entry in entries)
    return Case(name, build, facts={'K': count, 'z': list(z_shape), 'path': path})
