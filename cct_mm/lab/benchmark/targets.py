"""The figures of a GPU that have aims, measured one after another and kept in spite of failures."""

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmengine.config import Config

from .cases import Group
from .config import DEFAULT_CONFIG, load_config, with_decoders
from .decoders import decoders_case
from .goals import Goal, goals
from .measure import count_case, measure_group
from .plain import plain_case
from .report import say
from .step import step_case
from .variants import Variant

SECONDS = 180
"""Nothing begins later than this, so that the whole ends in 4 minutes."""


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Args:
        image: Height and width in pixels.
        classes: Number of classes C.
        batches: Labeled and unlabeled images of a step.
        decoders: Two numbers of decoders K: the usual one, and one to which launches are compared.
        depth: Layers of the plain network.
    """

    image: tuple[int, int]
    classes: int
    batches: tuple[tuple[int, int], ...]
    decoders: tuple[int, int]
    depth: int


FULL = Sizes((320, 320), 21, ((2, 2), (10, 10)), (30, 240), 50)
TINY = Sizes((32, 32), 3, ((2, 2), (3, 3)), (4, 8), 14)
TINY_CONFIG = 'configs/cct/cct_toy.py'
"""Of a network whose steps take no time: a ResNet-50 outlasts :data:`SECONDS` on a slow CPU."""

PRECISIONS = ('', '+bfloat16+channels-last')
PATHS = ('k0', 'fused', 'reference')


def plan_targets(args: argparse.Namespace) -> list[Group]:
    """Return the groups; sizes are those of :data:`FULL` or :data:`TINY`.

    Raises:
        ValueError: Nothing would be measured.
    """
    path = TINY_CONFIG if args.tiny and args.config == DEFAULT_CONFIG else args.config
    cfg = load_config(path, args.cfg_options)
    sizes = TINY if args.tiny else FULL
    if args.device.type == 'cpu':
        # Its memory has other aims and needs a process for each figure.
        args.only = [what for what in args.only if what != 'memory']
        if not args.only:
            raise ValueError(
                '--only memory: on a CPU the command targets measures no memory, expected time or '
                'counts; measure memory with the command step'
            )
    args.classes, args.size, args.from_device = sizes.classes, sizes.image, True
    groups = []
    for labeled, unlabeled in sizes.batches:
        batch = argparse.Namespace(**{**vars(args), 'labeled': labeled, 'unlabeled': unlabeled})
        groups += [_plain_group(batch, sizes.depth), _decoders_group(batch, cfg, sizes.decoders)]
        groups += [_step_group(batch, cfg, sizes.decoders[0], extras) for extras in PRECISIONS]
    return groups


def batch_name(labeled: int, unlabeled: int) -> str:
    """Return how the names of cases of a batch begin."""
    return f'{labeled} + {unlabeled}'


def _plain_group(args: argparse.Namespace, depth: int) -> Group:
    name = f'{batch_name(args.labeled, args.unlabeled)}, plain'
    own = (args.classes, args.size, args.labeled, args.unlabeled, args.device, args.seed)
    return Group([plain_case(name, *own, depth)], [])


def _step_group(args: argparse.Namespace, cfg: Config, count: int, extras: str) -> Group:
    batch = batch_name(args.labeled, args.unlabeled)
    paths = list(PATHS)
    if args.device.type == 'cuda':
        paths.append('triton-tf32' if extras else 'triton')
    variants = [Variant.parse(path + extras) for path in paths]
    names = [f'{batch}, {variant.name}' for variant in variants]
    cases = [
        step_case(args, cfg, variant, name, count)
        for variant, name in zip(variants, names, strict=True)
    ]
    zero, fused, reference, *kernels = names
    same = [] if extras else [(reference, fused), *((own, fused) for own in kernels)]
    ratios = [(fused, zero), (reference, fused), *((own, zero) for own in kernels)]
    return Group(cases, ratios, same)


def _decoders_group(args: argparse.Namespace, cfg: Config, counts: Sequence[int]) -> Group:
    stride = cfg.model.auxiliary.stride
    z_shape = (args.unlabeled, *(-(-side // stride) for side in args.size))
    own = cfg.model.auxiliary.perturbations
    batch = batch_name(args.labeled, args.unlabeled)
    paths = ('fused', 'triton') if args.device.type == 'cuda' else ('fused',)
    names = {
        (path, count): f'{batch}, decoders alone, {path}, K = {count}'
        for path in paths
        for count in counts
    }
    cases = [
        decoders_case(args, cfg, name, path, with_decoders(own, count), z_shape)
        for (path, count), name in names.items()
    ]
    return Group(cases, [(names[path, counts[1]], names[path, counts[0]]) for path in paths])


class Measuring:
    """Measures one thing after another in spite of failures, and says what is met and missed.

    Args:
        args: The parsed command line.
        figures: Gets ``results`` and ``ratios`` as in :func:`~.measure.measure_groups`, ``errors``
            (one line for each failure) and ``goals``.
    """

    def __init__(self, args: argparse.Namespace, figures: dict) -> None:
        self.args = args
        self.figures = figures
        self.begin = time.monotonic()
        self.said: dict[str, str] = {}
        figures |= {'errors': [], 'goals': []}

    def __call__(self, name: str, measure: Callable[[dict], None]) -> bool:
        """Measure, unless the time is up.

        Args:
            name: What is measured, for the messages.
            measure: Adds to ``results`` and ``ratios``. If it fails, what it has added is dropped.

        Returns:
            Whether it failed.
        """
        own: dict[str, list] = {'results': [], 'ratios': []}
        try:
            if time.monotonic() - self.begin > SECONDS:
                raise TimeoutError(f'not measured, {SECONDS} s were over')
            measure(own)
        except Exception as error:  # whatever it is, the other figures are worth having
            self.figures['errors'].append(f'{name}: {type(error).__name__}: {error}')
            say(f'FAILED {self.figures["errors"][-1]}')
            return True
        except KeyboardInterrupt:
            self._keep(own)
            raise
        self._keep(own)
        return False

    def _keep(self, own: dict[str, list]) -> None:
        known = {entry['case']: entry for entry in self.figures['results']}
        for entry in own['results']:
            if entry['case'] in known:
                known[entry['case']] |= entry
            else:
                self.figures['results'].append(entry)
        self.figures['ratios'] += own['ratios']
        judged = judge(self.args, self.figures)
        self.figures['goals'] = [vars(goal) | {'verdict': goal.verdict} for goal in judged]
        for goal in judged:
            if goal.value is not None and self.said.get(goal.figure) != goal.line:
                self.said[goal.figure] = goal.line
                say(f'==> {goal.line}')


def measure_targets(
    args: argparse.Namespace, program: Sequence[str], groups: Sequence[Group], figures: dict
) -> None:
    """Measure the groups, each of which may fail.

    A group that fails is measured again case by case, so that each failure costs one figure.

    Args:
        args: The parsed command line.
        program: As for :func:`~.measure.measure_groups`.
        groups: From :func:`plan_targets`.
        figures: See :class:`Measuring`.
    """
    measured = Measuring(args, figures)

    def fails(group: Group) -> bool:
        name = ', '.join(case.name for case in group.cases)
        return measured(name, lambda own: measure_group(args, program, group, own))

    for group in groups:
        if fails(group) and len(group.cases) > 1:
            for case in group.cases:
                fails(Group([case], []))
    # Last, because a profiler that has been used may slow down what comes after it.
    for case in (case for group in groups for case in group.cases):
        measured(f'counts of {case.name}', functools.partial(count_case, args, case))


def judge(args: argparse.Namespace, figures: dict) -> list[Goal]:
    """Return all goals, with what is known of them."""
    sizes = TINY if args.tiny else FULL
    return goals(figures, sizes.batches, sizes.decoders)
