"""Measure what Cross-Consistency Training costs in time, memory and launches.

python tools/benchmark.py step        # a whole training step: K = 0, reference, fused, bfloat16
python tools/benchmark.py decoders    # Table 13: each perturbation, reference and fused
python tools/benchmark.py data        # images/s of the loader beside those of the step
python tools/benchmark.py scale       # cost against K = 0..240, resolution, number of domains
python tools/benchmark.py targets     # on a GPU, in 4 minutes: the figures that have aims

The decoders alone, all 30 on one core, at the size of a training step; K = 240 against K = 30:

python tools/benchmark.py decoders --rows all --sizes 40x40 --batch 2 --threads 1
python tools/benchmark.py scale --sweeps auxiliary --counts 30 240

Says every figure on stderr as it comes, writes a Markdown table to stdout and all figures, with the
machine they belong to, as JSON to --out; what is measured before an interruption is kept. Weights,
images and labels are random, from --seed, and learning rates are 0, so that every repeat computes
the same. If two paths are compared, their losses are compared too. How it is measured:
docs/performance.md.
"""

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Sequence

import torch

from cct_mm.files import write_atomically
from cct_mm.lab.benchmark import report
from cct_mm.lab.benchmark.arguments import parse_args
from cct_mm.lab.benchmark.cases import Group, by_name
from cct_mm.lab.benchmark.decoders import plan_decoders
from cct_mm.lab.benchmark.goals import goals_table
from cct_mm.lab.benchmark.loader import measure_loader
from cct_mm.lab.benchmark.measure import measure_groups
from cct_mm.lab.benchmark.memory import measure_memory
from cct_mm.lab.benchmark.scale import plan_scale
from cct_mm.lab.benchmark.step import plan_step
from cct_mm.lab.benchmark.targets import judge, measure_targets, plan_targets

PLANS = {
    'step': plan_step,
    'decoders': plan_decoders,
    'scale': plan_scale,
    'targets': plan_targets,
    'data': lambda args: [],
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the tables and write the JSON.

    Args:
        argv: Command line without the program's name. Default: that of the process.

    Raises:
        SystemExit: With code 1, if ``targets`` could not measure everything.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    args = parse_args(argv, __doc__)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.device.type == 'cuda':
        torch.cuda.set_device(args.device)
        # As in default_runtime.py; the algorithms are chosen in the warm-up.
        torch.backends.cudnn.benchmark = True
    groups = PLANS[args.command](args)
    cases = by_name(groups)
    if getattr(args, 'memory_of', None):
        memory, _ = measure_memory(cases[args.memory_of], args.device, args.seed)
        print(json.dumps(memory))
        return
    figures = {
        'benchmark': args.command,
        'command': shlex.join(['python', 'tools/benchmark.py', *argv]),
        'machine': report.describe(args.device),
        'settings': settings(args),
        'results': [],
        'ratios': [],
    }
    before = report.load_average()
    try:
        measure(args, [sys.executable, __file__, *argv], groups, figures)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        figures['unfinished'] = 'interrupted' if interrupted else f'{type(error).__name__}: {error}'
        raise
    finally:
        figures['load_average'] = [before, report.load_average()]
        finish(args, figures)
    if figures.get('errors'):
        sys.exit(1)


def settings(args: argparse.Namespace) -> dict:
    """Return the settings that the figures depend on."""
    return {
        name: str(value) if isinstance(value, torch.device) else value
        for name, value in vars(args).items()
        if name not in ('command', 'variants', 'memory_of', 'out')
    }


def measure(
    args: argparse.Namespace, program: Sequence[str], groups: Sequence[Group], figures: dict
) -> None:
    """Add ``results`` and ``ratios`` to the figures, one after another."""
    if args.command == 'data':
        measure_loader(args, figures)
    elif args.command == 'targets':
        measure_targets(args, program, groups, figures)
    else:
        measure_groups(args, program, groups, figures)


def finish(args: argparse.Namespace, figures: dict) -> None:
    """Print the tables and write the JSON; where nothing is measured yet, do nothing."""
    if not figures['results'] and not figures.get('errors'):
        return
    write_atomically(args.out, json.dumps(figures, indent=2) + '\n')
    print(report.tables(figures))
    if args.command == 'targets':
        print(goals_table(judge(args, figures)))
        print(*(f'\nFailed: {error}' for error in figures['errors']))
    if 'unfinished' in figures:
        print(f'Not finished ({figures["unfinished"]}): these are the figures until then.')
    print(f'All figures: {args.out}')


def interrupt(*_: object) -> None:
    """Let a request to end (SIGTERM) do what Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, interrupt)
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f'benchmark: {error}')
    except KeyboardInterrupt:
        sys.exit(130)
