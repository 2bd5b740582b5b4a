"""Measure why CCT gains what it gains: how L_u acts on the encoder, and what perturbations do.

python tools/analyze_gain.py CONFIG CHECKPOINT... --out DIR

Over some batches of the training data, the same at each checkpoint of a run: norms of the gradients
of L_s and w_u L_u in each stage of backbone and neck and the cosine of the angle between them; and
for each perturbation its size, the distance of its decoders to the main head, and that distance
without it. docs/gain.md says what to read from them.
"""

import argparse
import shlex
import sys

from options import add_cfg_options, add_trust


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of CCT')
    parser.add_argument(
        'checkpoints', nargs='+', metavar='CHECKPOINT', help='checkpoints of its run'
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for tables and figures')
    parser.add_argument(
        '--batches', type=int, default=16, help='batches at each checkpoint [%(default)s]'
    )
    add_trust(parser)
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.batches < 1:
        parser.error(f'--batches is {args.batches}, expected at least 1')
    return args


def main() -> int:
    """Return 0, or 2 for bad input."""
    args = parse_args()
    # Here, so that --help does not wait for PyTorch.
    from cct_mm.engine.checkpoints.loading import trust_checkpoint
    from cct_mm.lab.gain.analysis import analyze

    for path in args.trust_checkpoint:
        trust_checkpoint(path)
    command = shlex.join(['python', 'tools/analyze_gain.py', *sys.argv[1:]])
    given = args.config, args.checkpoints, args.out, args.batches
    try:
        files = analyze(*given, command, args.cfg_options)
    except (ValueError, OSError) as error:
        print(f'analyze_gain.py: {error}', file=sys.stderr)
        return 2
    print(f'Results: {", ".join(map(str, files))}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
