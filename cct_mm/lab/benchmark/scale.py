"""Cost against the number of decoders, the resolution and the number of domains."""

import argparse

from .cases import Case, Group
from .config import load_config, with_decoders
from .decoders import decoders_case
from .step import step_case
from .variants import Variant


def plan_scale(args: argparse.Namespace) -> list[Group]:
    """Measure the fused path against K (decoders alone, whole step), resolution and domains."""
    cfg = load_config(args.config, args.cfg_options)
    own = cfg.model.auxiliary.perturbations
    zero, fused = Variant('k0'), Variant('fused')
    groups = []
    if 'auxiliary' in args.sweeps:
        stride = cfg.model.auxiliary.stride
        z_shape = (args.unlabeled, *(-(-side // stride) for side in args.size))
        cases = [
            decoders_case(
                args,
                cfg,
                f'decoders alone, K = {count}',
                'fused',
                with_decoders(own, count),
                z_shape,
            )
            for count in args.counts
            if count
        ]
        groups.append(_against_first(cases))
    if 'step' in args.sweeps:
        cases = [
            step_case(args, cfg, fused if count else zero, f'step, K = {count}', count)
            for count in args.counts
        ]
        groups.append(_against_first(cases))
    if 'resolution' in args.sweeps:
        for size in args.sizes:
            name = f'step, {size[0]}x{size[1]}'
            cases = [
                step_case(args, cfg, variant, f'{name}, {variant.name}', size=size)
                for variant in (zero, fused)
            ]
            groups.append(_against_first(cases))
    if 'domains' in args.sweeps:
        cases = [
            step_case(args, cfg, fused, f'step, domains = {count}', domains=count)
            for count in args.domains
        ]
        groups.append(_against_first(cases))
    return groups


def _against_first(cases: list[Case]) -> Group:
    return Group(cases, [(case.name, cases[0].name) for case in cases[1:]])
