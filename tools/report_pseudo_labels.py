"""Compare pseudo-labels with true masks.

python tools/report_pseudo_labels.py CONFIG CHECKPOINT --masks DIR --out DIR

Takes a classifier and images with image-level labels, as gen_pseudo_labels.py does, and a folder of
true masks. Writes mIoU, coverage, and precision, recall and IoU of each class, before and after the
CRF, and a sweep over both thresholds, as table (report.md), plot (thresholds.png) and counts
(counts.json). Choose thresholds on training images, never on those of the final evaluation.

python tools/report_pseudo_labels.py CONFIG --labels DIR --masks DIR --out DIR

Does the same, without thresholds, for label files that are there, such as those of
gen_pseudo_labels.py --from-segmentor.
"""

import argparse
import os
import sys

from options import add_cfg_options, add_trust


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the classifier')
    parser.add_argument('checkpoint', nargs='?', help='its checkpoint file')
    parser.add_argument('--labels', help='folder of pseudo-labels, in place of a checkpoint')
    parser.add_argument('--masks', required=True, help='folder of the true masks')
    parser.add_argument('--out', required=True, help='folder for the report')
    parser.add_argument('--domain', help='which domain, where the config has several')
    parser.add_argument(
        '--scales',
        type=float,
        nargs='+',
        default=[0.5, 1.0, 1.5, 2.0],
        help='at which it looks at an image, of its validation size [0.5 1.0 1.5 2.0]',
    )
    parser.add_argument('--no-flip', action='store_true', help='do not look at mirrored images')
    for name, default in (('bg', '0.05'), ('fg', '0.30')):
        parser.add_argument(
            f'--theta-{name}',
            type=float,
            help=f'of the recipes; the sweep has thresholds of its own [{default}]',
        )
    parser.add_argument('--no-crf', action='store_true', help='leave the dense CRF out')
    parser.add_argument('--limit', type=int, help='compare this many images, spread over all')
    parser.add_argument(
        '--workers',
        type=int,
        default=max(1, (os.cpu_count() or 1) // 2),
        help='processes beside the network [half of the cores]',
    )
    add_trust(parser)
    add_cfg_options(parser)
    args = parser.parse_args()
    if (args.checkpoint is None) == (args.labels is None):
        parser.error('expected either a checkpoint or --labels, a folder of pseudo-labels')
    if args.labels:
        of_maps = ('scales', 'no_flip', 'theta_bg', 'theta_fg', 'no_crf', 'workers')
        given = [name for name in of_maps if getattr(args, name) != parser.get_default(name)]
        if given:
            options = ', '.join(f'--{name.replace("_", "-")}' for name in given)
            parser.error(f'{options}: label files are compared as they are; leave it out')
    for name in ('limit', 'workers'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name} {value}: expected at least 1')
    return args


def main() -> int:
    """Make the report."""
    args = parse_args()
    from cct_mm.lab.compare_labels import compare_labels

    return compare_labels(args)


if __name__ == '__main__':
    sys.exit(main())
