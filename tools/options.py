"""Options that the tools share; nothing slow is imported here, so that --help takes no time."""

import argparse
import os


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options KEY=VALUE ...``, for :func:`cct_mm.engine.config_file.merge_options`."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override config entries; a value _base_.NAME is the entry NAME of the config',
    )


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint FILE``, for ``trust_checkpoint`` of cct_mm.engine.checkpoints."""
    parser.add_argument(
        '--trust-checkpoint',
        action='append',
        default=[],
        metavar='FILE',
        help='read this checkpoint although it can run any code: do so only if you trust where it '
        'comes from; repeat the option for each file',
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and the rank that launchers pass on."""
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def tell_rank(args: argparse.Namespace) -> None:
    """Put the rank that a launcher has passed as an argument where PyTorch looks for it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
