"""Measure the cluster assumption (Figs. 2 and 7): are distances high on label boundaries?

python tools/analyze_cluster_assumption.py CONFIG CHECKPOINT --domain NAME --out DIR

For each evaluated image: the mean Euclidean distance of each position to its 8 neighbors, of
patches at the input, and of the vectors of the encoder's last map and of z, brought to the input's
size. Writes NAME.png (some images with their distances) and NAME.json: how much higher distances
are on label boundaries than inside, and the area under the ROC curve of "distance tells a boundary"
(0.5 is chance). Without CHECKPOINT it looks at the encoder that training starts from.
"""

import argparse
import sys

from options import add_cfg_options, add_trust


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the network')
    parser.add_argument('checkpoint', nargs='?', help='its checkpoint file')
    parser.add_argument(
        '--domain', help='domain to analyze, where the network has several; all: each of them'
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the results')
    parser.add_argument(
        '--split', choices=['test', 'val'], default='test', help='images to look at [test]'
    )
    parser.add_argument('--limit', type=int, help='look at this many images, spread over all')
    parser.add_argument('--pictures', type=int, default=4, help='draw this many of them [4]')
    parser.add_argument(
        '--width',
        type=int,
        default=5,
        help='how far a label boundary reaches to each side, in pixels of the input [5]',
    )
    parser.add_argument(
        '--patch', type=int, default=20, help="side of the input's patches, in pixels [20]"
    )
    add_trust(parser)
    add_cfg_options(parser)
    args = parser.parse_args()
    for name, least in (('limit', 1), ('pictures', 0), ('width', 1), ('patch', 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            parser.error(f'--{name} {value}: expected at least {least}')
    return args


def main() -> None:
    """Analyze, and print a table for each domain."""
    args = parse_args()
    # Only now, so that --help does not wait for PyTorch.
    from cct_mm.engine.checkpoints.files import CheckpointError, require_writable
    from cct_mm.engine.checkpoints.loading import trust_checkpoint
    from cct_mm.lab.cluster_assumption import Settings, analyze, table

    for path in args.trust_checkpoint:
        trust_checkpoint(path)
    settings = Settings(args.split, args.width, args.patch, args.limit, args.pictures)
    try:
        require_writable(args.out, '--out')
        results = analyze(
            args.config, args.checkpoint, args.domain, args.out, settings, args.cfg_options
        )
    except (ValueError, OSError, ImportError, CheckpointError) as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit('interrupted; nothing of this domain was written') from None
    for result in results.values():
        print(table(result))
    print(f'Results: {args.out} ({", ".join(f"{name}.json" for name in results)})')


if __name__ == '__main__':
    sys.exit(main())
