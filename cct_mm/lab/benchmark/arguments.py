"""The command line of ``tools/benchmark.py``."""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from .config import DEFAULT_CONFIG
from .variants import PATHS, Variant, current_path

MEASURED = ('memory', 'time', 'counts')


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


def parse_args(argv: Sequence[str], description: str) -> argparse.Namespace:
    """Parse the command line.

    Args:
        argv: Command line without the program's name.
        description: What ``--help`` says first.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    common, cases, batch = _common(), _cases(), _batch()
    _add_step(commands.add_parser('step', parents=[common, cases, batch], help='a training step'))
    _add_decoders(commands.add_parser('decoders', parents=[common, cases], help='Table 13'))
    _add_data(commands.add_parser('data', parents=[common], help='loader against step'))
    _add_scale(
        commands.add_parser('scale', parents=[common, cases, batch], help='cost against size')
    )
    _add_targets(commands.add_parser('targets', parents=[common, cases], help='figures and aims'))
    args = parser.parse_args(argv)
    if args.command == 'scale' and 'auxiliary' in args.sweeps and not any(args.counts):
        parser.error('--counts has no K > 0, which the sweep auxiliary needs')
    args.out = args.out or Path('work_dirs/benchmark') / f'{args.command}.json'
    return args


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--config', default=DEFAULT_CONFIG, help='config of CCT [%(default)s]')
    common.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override config entries; a value _base_.NAME is the entry NAME of the config',
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
    for name, least, number, text in (
        ('--repeats', 1, 5, 'rounds that count'),
        ('--warmup', 0, 1, 'rounds before them'),
    ):
        common.add_argument(
            name, type=at_least(least), default=number, help=f'{text} [%(default)s]'
        )
    common.add_argument(
        '--seed', type=int, default=0, help='seed of all random numbers [%(default)s]'
    )
    common.add_argument(
        '--out', type=Path, help='JSON of all figures [work_dirs/benchmark/COMMAND.json]'
    )
    return common


def _cases() -> argparse.ArgumentParser:
    cases = argparse.ArgumentParser(add_help=False)
    cases.add_argument(
        '--only',
        nargs='+',
        choices=MEASURED,
        default=list(MEASURED),
        help=f'some of {", ".join(MEASURED)} (kernels, waits, calls) [all]',
    )
    cases.add_argument(
        '--classes', type=at_least(2), default=21, help='number of classes C [%(default)s]'
    )
    # In a process started by this tool: measure the memory of this case and print it.
    cases.add_argument('--memory-of', help=argparse.SUPPRESS)
    return cases


def _batch() -> argparse.ArgumentParser:
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
    batch.add_argument(
        '--from-device',
        action='store_true',
        help='a step starts from preprocessed tensors on the device, as the released code was '
        'timed; otherwise it starts from the batches of a dataloader',
    )
    return batch


def _add_step(step: argparse.ArgumentParser) -> None:
    step.add_argument(
        '--variants',
        type=Variant.parse,
        nargs='+',
        default=[Variant(path) for path in ('k0', 'reference', 'fused')]
        + [Variant('fused', True, True)],
        help=f'each one of {", ".join(PATHS)}, with +bfloat16 and +channels-last if wanted '
        '[k0 reference fused fused+bfloat16+channels-last]',
    )
    step.add_argument('--decoders', type=at_least(1), help="K [the config's]")


def _add_decoders(decoders: argparse.ArgumentParser) -> None:
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


def _add_data(data: argparse.ArgumentParser) -> None:
    data.add_argument(
        '--workers', type=at_least(0), nargs='+', default=[0, 1, 2, 4], help='[0 1 2 4]'
    )
    data.add_argument('--batches', type=at_least(1), default=50, help='a figure [%(default)s]')
    data.add_argument(
        '--skip', type=at_least(0), default=10, help='batches before them [%(default)s]'
    )
    data.add_argument('--no-step', action='store_true', help='the loader alone')


def _add_scale(scale: argparse.ArgumentParser) -> None:
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


def _add_targets(targets: argparse.ArgumentParser) -> None:
    targets.add_argument(
        '--tiny',
        action='store_true',
        help='tiny sizes, and a tiny network unless --config names one, to see that it works',
    )
