"""Measure what Cross-Consistency Training costs in time and memory.

python tools/benchmark.py step        # a whole training step: K = 0, reference, fused, bfloat16
python tools/benchmark.py decoders    # Table 13: each perturbation, reference and fused
python tools/benchmark.py data        # images/s of the loader beside those of the step
python tools/benchmark.py scale       # cost against K = 0..240, resolution, number of domains

The decoders alone, all 30 on one core, at the size of a training step; K = 240 against K = 30:

python tools/benchmark.py decoders --rows all --sizes 40x40 --batch 2 --threads 1
python tools/benchmark.py scale --sweeps auxiliary --counts 30 240

Writes a Markdown table to stdout and all figures, with the machine they belong to, as JSON to
--out. Weights, images and labels are random, from --seed, and learning rates are 0, so that every
repeat computes the same. If two paths are compared, their losses are compared too. How time and
memory are measured: cct_mm/lab/benchmark/timing.py and memory.py.
"""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmengine.config import DictAction

from cct_mm.files import write_atomically
from cct_mm.lab.benchmark import report
from cct_mm.lab.benchmark.cases import by_name
from cct_mm.lab.benchmark.config import DEFAULT_CONFIG
from cct_mm.lab.benchmark.decoders import plan_decoders
from cct_mm.lab.benchmark.loader import report_loader
from cct_mm.lab.benchmark.measure import report_groups
from cct_mm.lab.benchmark.memory import measure_memory
from cct_mm.lab.benchmark.scale import plan_scale
from cct_mm.lab.benchmark.step import PATHS, Variant, current_path, plan_step

PLANS = {'step': plan_step, 'decoders': plan_decoders, 'scale': plan_scale}


def at_least(least: int) -> Callable[[str], int]:
    """Return the type of an argument that is a whole number >= ``least``."""

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
    """Read a device that exists."""
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
    common.add_argument('--config', default=DEFAULT_CONFIG, help='config of CCT [%(default)s]')
    common.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override config entries: key=value ...; _base_.NAME is the entry NAME of the config',
    )
    common.add_argument(
        '--device',
        type=device_argument,
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='cpu, cuda or cuda:INDEX [%(default)s]',
    )
    common.add_argument(
        '--threads', type=at_least(1), help="threads of the CPU [PyTorch's default]"
    )
    common.add_argument(
        '--repeats', type=at_least(1), default=5, help='rounds that count [%(default)s]'
    )
    common.add_argument(
        '--warmup', type=at_least(0), default=1, help='rounds before them [%(default)s]'
    )
    common.add_argument(
        '--seed', type=int, default=0, help='seed of all random numbers [%(default)s]'
    )
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
        default=[Variant(path) for path in PATHS] + [Variant('fused', True, True)],
        help=f'each one of {", ".join(PATHS)}, with +bfloat16 and +channels-last if wanted '
        '[k0 reference fused fused+bfloat16+channels-last]',
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
        '--paths',
        nargs='+',
        type=current_path,
        choices=['reference', 'fused'],
        default=['reference', 'fused'],
    )
    decoders.add_argument('--decoders', type=at_least(1), help="K of the row all [the config's]")
    decoders.add_argument(
        '--forward-only',
        action='store_true',
        help='leave the backward pass out (the fused path has the gradients with the value)',
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
        print(json.dumps(measure_memory(case, args.device, args.seed)))
        return

    settings = {
        name: str(value) if isinstance(value, torch.device) else value
        for name, value in vars(args).items()
        if name not in ('command', 'variants', 'memory_of', 'out')
    }
    figures = {
        'benchmark': args.command,
        'command': shlex.join(['python', 'tools/benchmark.py', *argv]),
        'machine': report.describe(args.device),
        'settings': settings,
    }
    before = report.load_average()
    program = [sys.executable, __file__, *argv]
    figures |= report_groups(args, program, groups) if groups else report_loader(args)
    figures['load_average'] = [before, report.load_average()]
    write_atomically(args.out, json.dumps(figures, indent=2) + '\n')
    print(report.tables(figures))
    print(f'All figures: {args.out}')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f'benchmark: {error}')
