"""A whole training step, computed in several ways."""

import argparse
import copy
import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from torch import Tensor, nn

from cct_mm import schedules
from cct_mm.models.cct import AuxiliaryBank, Target, UnsupervisedLoss, UnsupervisedTerms
from cct_mm.models.progress import set_progress

from .cases import Case, Group, Work
from .config import load_config, set_domains, with_decoders
from .inputs import made_up_batch
from .variants import PATHS, Variant, compute_decoders


def build_step(
    cfg: Config, variant: Variant, device: torch.device, seed: int
) -> tuple[nn.Module, Any]:
    """Build the config's model and optimizer wrapper for a variant.

    The weights are the constructors' random ones: ``init_weights``, which would load pretrained
    ones, is not called.

    Args:
        cfg: Config of CCT.
        variant: How its steps are computed.
        device: Where the model is.
        seed: Seed of the weights and of all random numbers in training.

    Returns:
        The model, past its ramp-up, and the wrapper, with learning rate 0.
    """
    config = cfg.model.to_dict() | {'channels_last': variant.channels_last}
    if variant.path == 'k0':
        # A model needs at least one decoder; this one is never computed.
        auxiliary = config['auxiliary']
        auxiliary['perturbations'] = with_decoders(auxiliary['perturbations'], 1)
    torch.manual_seed(seed)
    model = MODELS.build(config).to(device)
    model.unsupervised_loss = PATHS[variant.path]
    set_progress(model, schedules.Progress(iteration=900, max_iters=1000, seed=seed))
    wrapper = cfg.optim_wrapper.to_dict()
    wrapper['optimizer']['lr'] = 0.0
    if variant.bfloat16 and device.type == 'cuda':
        wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
    elif variant.bfloat16:
        wrapper.update(type='CPUAmpOptimWrapper')
    return model, build_optim_wrapper(model, wrapper)


class Prepared(nn.Module):
    """The preprocessor of batches that have been through the model's own."""

    def forward(self, data: dict, training: bool) -> dict:
        """Return the batch as it is."""
        return data


def step_work(
    model: nn.Module, wrapper: Any, batches: Sequence[dict], from_device: bool = False
) -> Work:
    """Return a whole training step: preprocessing, losses, backward, optimizer; batches in turn.

    Args:
        model: The model.
        wrapper: Its optimizer wrapper.
        batches: As a dataloader gives them, on the CPU.
        from_device: Whether preprocessing and copies to the device are done here, once, and are no
            part of the step.
    """
    if from_device:
        batches = [model.data_preprocessor(copy.deepcopy(batch), True) for batch in batches]
        model.data_preprocessor = Prepared()
    turns = itertools.cycle(batches)

    def run() -> Tensor:
        batch = next(turns)
        # The model's own preprocessor pads the labels in place.
        batch = batch if from_device else copy.deepcopy(batch)
        return model.train_step(batch, wrapper)['loss'].detach()

    return Work(run)


def auxiliary_part(model: nn.Module, path: str, run: Callable[[], Any]) -> Callable[[], Tensor]:
    """Return what computes the auxiliary decoders alone, on what a step gives them.

    Args:
        model: A model of CCT.
        path: The path of its decoders.
        run: Computes a step of it; called once.
    """
    own, given = model.unsupervised_loss, []

    def note(
        bank: AuxiliaryBank, z: Tensor, target: Target, terms: UnsupervisedTerms
    ) -> UnsupervisedLoss:
        given[:] = [bank, z.detach().requires_grad_(), target, terms]
        return own(bank, z, target, terms)

    model.unsupervised_loss = note
    try:
        run()
    finally:
        model.unsupervised_loss = own
    return lambda: compute_decoders(path, *given)


def step_case(
    args: argparse.Namespace,
    cfg: Config,
    variant: Variant,
    name: str | None = None,
    decoders: int | None = None,
    size: tuple[int, int] | None = None,
    domains: int = 1,
) -> Case:
    """Return the case of a training step on made-up images.

    Args:
        args: ``classes``, ``labeled``, ``unlabeled``, ``size``, ``from_device``, ``device`` and
            ``seed``.
        cfg: Config of CCT.
        variant: How it is computed.
        name: Name of the case; None takes the variant's.
        decoders: K, in the mix of the config; None takes the config's own.
        size: Height and width in pixels; None takes ``args.size``.
        domains: Number of domains, trained in turn.
    """
    size = size or args.size
    own = cfg.model.auxiliary.perturbations
    entries = list(own) if decoders is None else with_decoders(own, decoders)

    def build() -> Work:
        config = copy.deepcopy(cfg)
        config.model.auxiliary.perturbations = entries or own
        set_domains(config, args.classes, domains)
        model, wrapper = build_step(config, variant, args.device, args.seed)
        batches = [
            made_up_batch(domain, args.classes, size, args.labeled, args.unlabeled, args.seed)
            for domain in config.model.domains
        ]
        work = step_work(model, wrapper, batches, args.from_device)
        if variant.path != 'k0':
            work.auxiliary = lambda: auxiliary_part(model, variant.path, work.run)
        return work

    count = 0 if variant.path == 'k0' else sum(entry.get('num', 1) for entry in entries)
    return Case(
        name or variant.name,
        build,
        images=args.labeled + args.unlabeled,
        above_bare=True,
        # A first step in each domain makes the optimizer's momentum.
        memory_runs=domains + 1,
        facts={'K': count, 'size': list(size), 'domains': domains},
    )


def plan_step(args: argparse.Namespace) -> list[Group]:
    """Compare variants of a training step: each with K = 0, the reference with each fused one."""
    cfg = load_config(args.config, args.cfg_options)
    cases = {v: step_case(args, cfg, v, decoders=args.decoders) for v in args.variants}
    zero = next((v for v in cases if v.path == 'k0'), None)
    reference = next((v for v in cases if v.path == 'reference'), None)
    ratios = [(v.name, zero.name) for v in cases if zero and v.path != 'k0']
    ratios += [(reference.name, v.name) for v in cases if reference and v.path == 'fused']
    fused = reference and dataclasses.replace(reference, path='fused')
    same = [(fused.name, reference.name)] if fused in cases else []
    return [Group(list(cases.values()), ratios, same)]
