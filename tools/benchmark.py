"""Measure what Cross-Consistency Training costs in time and memory.

python tools/benchmark.py step        # a whole training step: K = 0, reference, fast, bfloat16
python tools/benchmark.py decoders    # Table 13: each perturbation, reference and fast
python tools/benchmark.py data        # images/s of the loader beside those of the step
python tools/benchmark.py scale       # cost against K = 0..240, resolution, number of domains

The decoders alone, all 30 on one core, at the size of a training step; K = 240 against K = 30:

python tools/benchmark.py decoders --rows all --sizes 40x40 --batch 2 --threads 1
python tools/benchmark.py scale --sweeps auxiliary --counts 30 240

Writes a Markdown table to stdout and all figures, with the machine they belong to, as JSON to
--out. Weights, images and labels are random, from --seed, and learning rates are 0, so that every
repeat computes the same. Where two paths are compared, their losses are too. How time and memory
are measured: cct_mm/benchmark.py.
"""

import argparse
import copy
import itertools
import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules
from torch import Tensor, nn
from torch.nn import functional as F

from cct_mm import benchmark, keyed, schedules
from cct_mm.benchmark import Bar, Case, Group, Work
from cct_mm.engine.config_file import merge_options, read_config
from cct_mm.files import write_atomically
from cct_mm.models.cct import (
    AuxiliaryBank,
    Target,
    UnsupervisedLoss,
    UnsupervisedTerms,
    consistency_fused,
    consistency_reference,
)
from cct_mm.models.cct.perturbations import PERTURBATIONS, Perturbation
from cct_mm.models.cct.perturbations.base import add_conv1x1_, conv1x1, outer
from cct_mm.models.progress import set_progress

CONFIG = 'configs/cct/cct_resnet50-d8_camvid-n20.py'

CONSISTENCY_WEIGHT = 30.0
"""w_u where the decoders are measured alone: lambda_u of the paper."""

# A whole training step ----------------------------------------------------------------------------


def no_decoders(
    bank: AuxiliaryBank, z: Tensor, target: Target, terms: UnsupervisedTerms
) -> UnsupervisedLoss:
    """K = 0: a path that takes the mean of z in the place of L_u.

    It is the cheapest scalar whose gradient goes back through the whole encoder on the unlabeled
    images. So the step still makes z and the target, and computes no decoder.
    """
    return UnsupervisedLoss(
        terms.consistency_weight * z.mean(), z.new_zeros(len(bank)), pairwise=None
    )


PATHS = {'k0': no_decoders, 'reference': consistency_reference, 'fast': consistency_fused}
TITLES = {'k0': 'K = 0'}


@dataclass(frozen=True)
class Variant:
    """How a step is computed.

    Args:
        path: One of ``PATHS``.
        bfloat16: Mixed precision.
        channels_last: Memory format of the model.
    """

    path: str
    bfloat16: bool = False
    channels_last: bool = False

    @classmethod
    def parse(cls, text: str) -> 'Variant':
        """Read ``fast`` or ``fast+bfloat16+channels-last``.

        Raises:
            argparse.ArgumentTypeError: For anything else.
        """
        path, *extras = text.split('+')
        if path not in PATHS or not {'bfloat16', 'channels-last'}.issuperset(extras):
            raise argparse.ArgumentTypeError(
                f'found {text!r}, expected one of {", ".join(PATHS)}, with +bfloat16 and '
                '+channels-last where wanted'
            )
        return cls(path, 'bfloat16' in extras, 'channels-last' in extras)

    @property
    def name(self) -> str:
        """Name in the table."""
        extras = [', bfloat16'] * self.bfloat16 + [', channels last'] * self.channels_last
        return ''.join([TITLES.get(self.path, self.path), *extras])


def load_config(path: str, options: dict | None = None) -> Config:
    """Read a config of CCT.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it trains something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'config {path} does not exist; give one with --config, or call this from the root of '
            'the repository'
        )
    cfg = read_config(path)
    merge_options(cfg, options)
    register_all_modules(init_default_scope=True)
    if not cfg.get('model', {}).get('auxiliary'):
        raise ValueError(
            f'{path}: its model has no auxiliary decoders, expected a config of CCT such as '
            f'{CONFIG}; give one with --config'
        )
    return cfg


def with_decoders(entries: Sequence[dict], count: int) -> list[dict]:
    """The same mix of perturbations with another number of decoders (largest remainders).

    Example:
        >>> with_decoders([dict(type='F-Drop', num=6), dict(type='I-VAT', num=2)], 4)
        [{'type': 'F-Drop', 'num': 3}, {'type': 'I-VAT', 'num': 1}]
    """
    own = [entry.get('num', 1) for entry in entries]
    exact = [number * count / sum(own) for number in own]
    counts = [int(number) for number in exact]
    by_remainder = sorted(range(len(own)), key=lambda i: counts[i] - exact[i])
    for i in by_remainder[: count - sum(counts)]:
        counts[i] += 1
    return [{**entry, 'num': n} for entry, n in zip(entries, counts, strict=True) if n]


def set_domains(cfg: Config, classes: int, domains: int) -> None:
    """Give the config's model that many domains with that many classes, all but one foreground."""
    own = next(iter(cfg.model.domains.values()))
    names = ['background', *(f'class {i}' for i in range(1, classes))]
    cfg.model.domains = {
        f'domain{i}': {**own, 'classes': names, 'foreground': names[1:]} for i in range(domains)
    }


def build_step(
    cfg: Config, variant: Variant, device: torch.device, seed: int
) -> tuple[nn.Module, Any]:
    """Build the config's model and optimizer wrapper for a variant.

    The weights are the constructors' random ones: ``init_weights``, which would load pretrained
    ones, is not called.

    Args:
        cfg: Config of CCT.
        variant: How its steps are computed.
        device: Where.
        seed: Of the weights and of all draws in training.

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
        wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=1.0)
    elif variant.bfloat16:
        wrapper.update(type='CPUAmpOptimWrapper')
    return model, build_optim_wrapper(model, wrapper)


def blobs(shape: Sequence[int], classes: int, *key: keyed.Part) -> Tensor:
    """Random logits that are smooth over space, so that label maps have objects: [B, C, H, W]."""
    batch, height, width = shape
    coarse = [max(1, side // 16) for side in (height, width)]
    noise = torch.randn(batch, classes, *coarse, generator=keyed.generator(*key))
    return F.interpolate(4 * noise, (height, width), mode='bilinear')


def made_up_batch(
    domain: str, classes: int, size: tuple[int, int], labeled: int, unlabeled: int, seed: int
) -> dict[str, list]:
    """Make up a batch as a dataloader gives it.

    Args:
        domain: Name of the domain.
        classes: Number of classes C.
        size: Height and width in pixels.
        labeled: Number of labeled images.
        unlabeled: Number of unlabeled images.
        seed: Another seed makes other images and labels.
    """
    inputs, samples = [], []
    generator = keyed.generator(seed, 'images', domain)
    labels = blobs((max(labeled, 1), *size), classes, seed, 'labels', domain).argmax(dim=1)
    for i in range(labeled + unlabeled):
        inputs.append(torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator))
        sample = SegDataSample(
            metainfo=dict(
                domain=domain,
                supervision='labeled' if i < labeled else 'unlabeled',
                sample_key=f'{domain}/{i}',
                img_shape=size,
                ori_shape=size,
            )
        )
        if i < labeled:
            sample.gt_sem_seg = PixelData(data=labels[i : i + 1])
        samples.append(sample)
    return {'inputs': inputs, 'data_samples': samples}


def step_work(model: nn.Module, wrapper: Any, batches: Sequence[dict]) -> Work:
    """A whole training step: preprocessing, losses, backward, optimizer; batches in turn."""
    turns = itertools.cycle(batches)

    def run() -> Tensor:
        # The preprocessor pads the labels in place.
        return model.train_step(copy.deepcopy(next(turns)), wrapper)['loss'].detach()

    return Work(run)


def step_case(
    args: argparse.Namespace,
    cfg: Config,
    variant: Variant,
    name: str | None = None,
    decoders: int | None = None,
    size: tuple[int, int] | None = None,
    domains: int = 1,
) -> Case:
    """A training step on made-up images.

    Args:
        args: ``classes``, ``labeled``, ``unlabeled``, ``size``, ``device`` and ``seed``.
        cfg: Config of CCT.
        variant: How it is computed.
        name: Of the case; None takes the variant's.
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
        return step_work(model, wrapper, batches)

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
    """Variants of one training step: each over K = 0, and the reference over each fast one."""
    cfg = load_config(args.config, args.cfg_options)
    cases = {v: step_case(args, cfg, v, decoders=args.decoders) for v in args.variants}
    zero = next((v for v in cases if v.path == 'k0'), None)
    slow = next((v for v in cases if v.path == 'reference'), None)
    ratios = [(v.name, zero.name) for v in cases if zero and v.path != 'k0']
    ratios += [(slow.name, v.name) for v in cases if slow and v.path == 'fast']
    fast = Variant('fast', slow.bfloat16, slow.channels_last) if slow else None
    same = [(fast.name, slow.name)] if fast in cases else []
    return [Group(list(cases.values()), ratios, same)]


# The decoders alone -------------------------------------------------------------------------------


@PERTURBATIONS.register_module(name='main', force=True)
class Unperturbed(Perturbation):
    """No perturbation: the cost of the decoder itself, the "main decoder" of Table 13."""

    def draw(self, context: Any) -> None:
        """Nothing to draw."""

    def perturb(self, z: Tensor, state: None) -> Tensor:
        """Return z."""
        return z

    def project(self, z: Tensor, weight: Tensor, state: None) -> Tensor:
        """Return W z."""
        return conv1x1(z, weight)

    def project_backward(
        self, grad: Tensor, z: Tensor, weight: Tensor, state: None, grad_z: Tensor
    ) -> Tensor:
        """Add ``W^T grad``, return ``grad z^T``."""
        add_conv1x1_(grad_z, grad, weight)
        return outer(grad, z)


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
    """The auxiliary part of a step: from a made-up z and target to the loss and all gradients.

    Args:
        cfg: Config of CCT: decoders and distance.
        path: ``reference`` or ``fast``.
        entries: Perturbations of the decoders.
        z_shape: Images B, height and width of z in positions.
        classes: Number of classes C.
        device: Where.
        seed: Of weights, z, target and draws.
        forward_only: Compute the loss alone. The fast path has all gradients by then.
    """
    auxiliary = {**cfg.model.auxiliary, 'perturbations': list(entries)}
    torch.manual_seed(seed)
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
        MODELS.build(cfg.model.get('loss_consistency', dict(type='ConsistencyLoss'))),
        CONSISTENCY_WEIGHT,
        MODELS.build(pairwise) if pairwise else None,
    )
    parameters = list(bank.parameters())

    def run() -> Tensor:
        loss = PATHS[path](bank, z, target, terms).total
        if not forward_only:
            torch.autograd.grad(loss, [z, *parameters])
        return loss.detach()

    gradients = 0 if forward_only else sum(p.numel() * p.element_size() for p in parameters)
    return Work(run, gradients)


def plan_decoders(args: argparse.Namespace) -> list[Group]:
    """Table 13: for each size and row, the paths in turns."""
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
            _decoders_case(args, cfg, name, path, rows[row], (args.batch, *size))
            for path, name in names.items()
        ]
        both = [(names['reference'], names['fast'])] if len(names) > 1 else []
        groups.append(Group(cases, ratios=both, same_loss=both))
    return groups


def _decoders_case(
    args: argparse.Namespace,
    cfg: Config,
    name: str,
    path: str,
    entries: Sequence[dict],
    z_shape: tuple[int, int, int],
) -> Case:
    def build() -> Work:
        forward_only = getattr(args, 'forward_only', False)
        return decoders_work(
            cfg, path, entries, z_shape, args.classes, args.device, args.seed, forward_only
        )

    count = sum(entry.get('num', 1) for entry in entries)
    return Case(name, build, facts={'K': count, 'z': list(z_shape), 'path': path})


# Scaling ------------------------------------------------------------------------------------------


def plan_scale(args: argparse.Namespace) -> list[Group]:
    """The fast path's cost against K (decoders alone, whole step), resolution and domains."""
    cfg = load_config(args.config, args.cfg_options)
    own = cfg.model.auxiliary.perturbations
    zero, fast = Variant('k0'), Variant('fast')
    groups = []
    if 'auxiliary' in args.sweeps:
        stride = cfg.model.auxiliary.get('stride', 8)
        z_shape = (args.unlabeled, *(-(-side // stride) for side in args.size))
        cases = [
            _decoders_case(
                args,
                cfg,
                f'decoders alone, K = {count}',
                'fast',
                with_decoders(own, count),
                z_shape,
            )
            for count in args.counts
            if count
        ]
        groups.append(_against_first(cases))
    if 'step' in args.sweeps:
        cases = [
            step_case(args, cfg, fast if count else zero, f'step, K = {count}', count)
            for count in args.counts
        ]
        groups.append(_against_first(cases))
    if 'resolution' in args.sweeps:
        for size in args.sizes:
            name = f'step, {size[0]}x{size[1]}'
            cases = [
                step_case(args, cfg, variant, f'{name}, {variant.name}', size=size)
                for variant in (zero, fast)
            ]
            groups.append(_against_first(cases))
    if 'domains' in args.sweeps:
        cases = [
            step_case(args, cfg, fast, f'step, domains = {count}', domains=count)
            for count in args.domains
        ]
        groups.append(_against_first(cases))
    return groups


def _against_first(cases: list[Case]) -> Group:
    return Group(cases, [(case.name, cases[0].name) for case in cases[1:]])


# The loader ---------------------------------------------------------------------------------------


def seconds_a_batch(loader: Iterable[dict], skip: int, batches: int) -> float:
    """Time a loader that nobody keeps waiting.

    Args:
        loader: Gives batches for ever.
        skip: Batches before the clock starts, in which workers start.
        batches: Batches that count.
    """
    iterator = iter(loader)
    for _ in range(skip):
        next(iterator)
    start = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return (time.perf_counter() - start) / batches


def report_data(args: argparse.Namespace, bar: Bar) -> dict[str, list]:
    """Time the config's loader for each number of workers, in turns with its training step.

    Args:
        args: The command line.
        bar: Shows how far it is.

    Returns:
        See :func:`report_groups`; seconds are those of a batch.
    """
    cfg = load_config(args.config, args.cfg_options)
    loaders = {}
    for workers in args.workers:
        config = copy.deepcopy(cfg.train_dataloader)
        config.update(num_workers=workers, persistent_workers=False)
        if not workers:
            config.pop('prefetch_factor', None)
        name = f'loader, {workers} worker{"s" * (workers != 1)}'
        loaders[name] = Runner.build_dataloader(config, seed=args.seed)
    batch = next(iter(next(iter(loaders.values()))))
    times: dict[str, list[float]] = {name: [] for name in loaders}
    step = None
    if not args.no_step:
        step = step_work(*build_step(cfg, Variant('fast'), args.device, args.seed), [batch])
        times['step, fast'] = []
        for _ in range(args.warmup):
            step.run()
    bar.start(args.repeats * len(times))
    for _ in range(args.repeats):
        for name, loader in loaders.items():
            times[name].append(seconds_a_batch(loader, args.skip, args.batches))
            bar.advance(name)
        if step:
            times['step, fast'].append(benchmark.seconds_of(step.run, args.device)[0])
            bar.advance('step')
    results = [
        {'case': name, **benchmark.timed(seconds, len(batch['inputs']))}
        for name, seconds in times.items()
    ]
    ratios = [benchmark.ratio(entry, results[-1]) for entry in results[:-1]] if step else []
    return {'results': results, 'ratios': ratios}


# Command line -------------------------------------------------------------------------------------


def at_least(least: int) -> Callable[[str], int]:
    """Type of an argument that is a whole number >= ``least``."""

    def number(text: str) -> int:
        if not text.lstrip('-').isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f'found {text}, expected a whole number >= {least}')
        return int(text)

    return number


def size_argument(text: str) -> tuple[int, int]:
    """Read ``HEIGHTxWIDTH``."""
    if not re.fullmatch(r'[1-9]\d*x[1-9]\d*', text):
        raise argparse.ArgumentTypeError(f'found {text!r}, expected HEIGHTxWIDTH such as 320x320')
    height, width = map(int, text.split('x'))
    return height, width


def device_argument(text: str) -> torch.device:
    """Read a device that is there."""
    if text == 'cpu':
        return torch.device('cpu')
    if re.fullmatch(r'cuda(:\d+)?', text):
        index = torch.device(text).index or 0
        if index < torch.cuda.device_count():
            return torch.device('cuda', index)
        raise argparse.ArgumentTypeError(
            f'found {text!r}, but PyTorch sees {torch.cuda.device_count()} GPUs; use cpu'
        )
    raise argparse.ArgumentTypeError(f'found {text!r}, expected cpu, cuda or cuda:INDEX')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--config', default=CONFIG, help='config of CCT [%(default)s]')
    common.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override config entries: key=value ...'
    )
    common.add_argument(
        '--device',
        type=device_argument,
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu, cuda or cuda:INDEX [%(default)s]',
    )
    common.add_argument('--threads', type=at_least(1), help="of the CPU [PyTorch's default]")
    common.add_argument('--repeats', type=at_least(1), default=5, help='rounds [%(default)s]')
    common.add_argument(
        '--warmup', type=at_least(0), default=1, help='rounds before them [%(default)s]'
    )
    common.add_argument('--seed', type=int, default=0, help='of all random numbers [%(default)s]')
    common.add_argument(
        '--out', type=Path, help='JSON of all figures [work_dirs/benchmark/COMMAND.json]'
    )

    cases = argparse.ArgumentParser(add_help=False)
    cases.add_argument('--only', choices=['time', 'memory'], help='measure one of the two')
    cases.add_argument(
        '--classes', type=at_least(2), default=21, help='number of classes C [%(default)s]'
    )
    # In a process started by this tool: measure the memory of this case and print it.
    cases.add_argument('--memory-of', help=argparse.SUPPRESS)

    batch = argparse.ArgumentParser(add_help=False)
    batch.add_argument(
        '--size',
        type=size_argument,
        default=(320, 320),
        metavar='HxW',
        help='images in pixels [320x320]',
    )
    for kind in ('labeled', 'unlabeled'):
        batch.add_argument(
            f'--{kind}', type=at_least(1), default=2, help='images a step [%(default)s]'
        )

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')

    step = commands.add_parser('step', parents=[common, cases, batch], help='a training step')
    step.add_argument(
        '--variants',
        type=Variant.parse,
        nargs='+',
        default=[Variant(path) for path in PATHS] + [Variant('fast', True, True)],
        help=f'each one of {", ".join(PATHS)}, with +bfloat16 and +channels-last where wanted '
        '[k0 reference fast fast+bfloat16+channels-last]',
    )
    step.add_argument('--decoders', type=at_least(1), help="K [the config's]")

    decoders = commands.add_parser('decoders', parents=[common, cases], help='Table 13')
    decoders.add_argument(
        '--rows',
        nargs='+',
        help="main, names of the config's perturbations (one decoder each), or all (its K decoders "
        'together) [each but all]',
    )
    decoders.add_argument(
        '--sizes',
        type=size_argument,
        nargs='+',
        default=[(96, 96), (256, 128)],
        metavar='HxW',
        help='of z, in positions [96x96 256x128]',
    )
    decoders.add_argument('--batch', type=at_least(1), default=1, help='images in z [%(default)s]')
    decoders.add_argument(
        '--paths', nargs='+', choices=['reference', 'fast'], default=['reference', 'fast']
    )
    decoders.add_argument('--decoders', type=at_least(1), help="K of the row all [the config's]")
    decoders.add_argument(
        '--forward-only',
        action='store_true',
        help='leave the backward pass out (the fast path has the gradients with the value)',
    )

    data = commands.add_parser('data', parents=[common], help='loader against step')
    data.add_argument(
        '--workers', type=at_least(0), nargs='+', default=[0, 1, 2, 4], help='[0 1 2 4]'
    )
    data.add_argument('--batches', type=at_least(1), default=50, help='a figure [%(default)s]')
    data.add_argument(
        '--skip', type=at_least(0), default=10, help='batches before them [%(default)s]'
    )
    data.add_argument('--no-step', action='store_true', help='the loader alone')

    scale = commands.add_parser('scale', parents=[common, cases, batch], help='cost against size')
    sweeps = ['auxiliary', 'step', 'resolution', 'domains']
    scale.add_argument(
        '--sweeps',
        nargs='+',
        choices=sweeps,
        default=sweeps,
        help='auxiliary: K, the decoders alone; step: K, whole steps [all]',
    )
    scale.add_argument(
        '--counts',
        type=at_least(0),
        nargs='+',
        default=[0, 30, 60, 120, 240],
        help='K [0 30 60 120 240]',
    )
    scale.add_argument(
        '--sizes',
        type=size_argument,
        nargs='+',
        default=[(160, 160), (320, 320), (480, 480)],
        metavar='HxW',
        help='resolutions in pixels [160x160 320x320 480x480]',
    )
    scale.add_argument('--domains', type=at_least(1), nargs='+', default=[1, 2, 4], help='[1 2 4]')

    args = parser.parse_args(argv)
    if args.command == 'scale' and 'auxiliary' in args.sweeps and not any(args.counts):
        parser.error('--counts has no K > 0, which the sweep auxiliary needs')
    args.out = args.out or Path('work_dirs/benchmark') / f'{args.command}.json'
    return args


def report_groups(
    args: argparse.Namespace, argv: Sequence[str], groups: Sequence[Group], bar: Bar
) -> dict[str, list]:
    """Measure groups of cases.

    Args:
        args: The command line, parsed ...
        argv: ... and as it was given, for the memory processes.
        groups: What to measure.
        bar: Shows how far it is.

    Returns:
        ``results``, one entry a case, and ``ratios``, one a pair.
    """
    timed, weighed = args.only != 'memory', args.only != 'time'
    count = sum(len(group.cases) for group in groups)
    bar.start(count * (timed * (args.warmup + args.repeats) + weighed))
    results, ratios = [], []
    for group in groups:
        entries = {case.name: {'case': case.name, **case.facts} for case in group.cases}
        # First, while this process leaves room: it has not built the group's models yet.
        for case in group.cases if weighed else ():
            command = [sys.executable, __file__, *argv, '--memory-of', case.name]
            entries[case.name]['memory'] = benchmark.memory_in_fresh_process(case.name, command)
            bar.advance(f'{case.name}: memory')
        if timed:
            works = {case.name: case.build() for case in group.cases}
            times, losses = benchmark.measure_times(
                works, args.device, args.warmup, args.repeats, args.seed, bar.advance
            )
            del works
            benchmark.check_same_loss(losses, group.same_loss)
            for case in group.cases:
                entries[case.name].update(benchmark.timed(times[case.name], case.images))
                entries[case.name]['loss'] = losses[case.name]
        results += entries.values()
        ratios += [benchmark.ratio(entries[one], entries[other]) for one, other in group.ratios]
    return {'results': results, 'ratios': ratios}


def by_name(groups: Sequence[Group]) -> dict[str, Case]:
    """All cases.

    Raises:
        ValueError: Where one is asked for twice.
    """
    cases = {}
    for case in itertools.chain.from_iterable(group.cases for group in groups):
        if case.name in cases:
            raise ValueError(f'"{case.name}" is asked for twice, expected every case once')
        cases[case.name] = case
    return cases


PLANS = {'step': plan_step, 'decoders': plan_decoders, 'scale': plan_scale}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the tables and write the JSON.

    Args:
        argv: Command line without the program's name. Default: that of the process.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.device.type == 'cuda':
        torch.cuda.set_device(args.device)
        # As in default_runtime.py; the algorithms are chosen in the warm-up.
        torch.backends.cudnn.benchmark = True
    groups = PLANS[args.command](args) if args.command in PLANS else []
    cases = by_name(groups)
    if getattr(args, 'memory_of', None):
        case = cases[args.memory_of]
        print(json.dumps(benchmark.measure_memory(case, args.device, args.seed)))
        return

    settings = {
        name: str(value) if isinstance(value, torch.device) else value
        for name, value in vars(args).items()
        if name not in ('command', 'variants', 'memory_of', 'out')
    }
    report = {
        'benchmark': args.command,
        'command': shlex.join(['python', 'tools/benchmark.py', *argv]),
        'machine': benchmark.describe(args.device),
        'settings': settings,
    }
    before = benchmark.load_average()
    with Bar() as bar:
        report |= report_groups(args, argv, groups, bar) if groups else report_data(args, bar)
    report['load_average'] = [before, benchmark.load_average()]
    write_atomically(args.out, json.dumps(report, indent=2) + '\n')
    print(benchmark.tables(report))
    print(f'All figures: {args.out}')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f'benchmark: {error}')
