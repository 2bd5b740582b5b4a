"""Write pseudo-labels for the training images of a domain.

python tools/gen_pseudo_labels.py CONFIG CHECKPOINT --out DIR

The network is a classifier (configs/weak), whose class activation maps become labels, or, with
--from-segmentor, a trained segmentor, whose confident predictions become labels. The images belong
to the domain's `weak` source in train_dataloader, or else to its `unlabeled` source. Existing label
files are kept, so a run that was interrupted or killed goes on where it stopped. On several GPUs:

torchrun --nproc_per_node 4 tools/gen_pseudo_labels.py CONFIG CHECKPOINT --out DIR
"""

import argparse
import os
import sys

from options import add_cfg_options, add_trust


def share_of_cores() -> int:
    """Return how many of the machine's cores belong to this process, one of several on it."""
    return (os.cpu_count() or 1) // int(os.environ.get('LOCAL_WORLD_SIZE', 1))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file of the network')
    parser.add_argument('checkpoint', help='its checkpoint file')
    parser.add_argument('--domain', help='which domain, where the config has several')
    parser.add_argument('--out', required=True, help='folder for the label files')
    parser.add_argument(
        '--from-segmentor', action='store_true', help='the checkpoint is a segmentor, e.g. CCT'
    )
    parser.add_argument(
        '--confidence',
        type=float,
        default=0.9,
        help='least probability of a label of a segmentor [0.9]',
    )
    parser.add_argument(
        '--preset',
        choices=['paper', 'released'],
        default='paper',
        help='paper: both thresholds, one CRF; released: a CRF for each threshold [paper]',
    )
    parser.add_argument('--theta-bg', type=float, help='background below this activation [0.05]')
    parser.add_argument('--theta-fg', type=float, help='foreground above this activation [0.30]')
    parser.add_argument(
        '--scales',
        type=float,
        nargs='+',
        default=[0.5, 1.0, 1.5, 2.0],
        help='factors of the validation size at which a classifier looks [0.5 1.0 1.5 2.0]',
    )
    parser.add_argument('--no-flip', action='store_true', help='do not look at mirrored images')
    parser.add_argument('--no-crf', action='store_true', help='leave the dense CRF out')
    parser.add_argument(
        '--workers',
        type=int,
        default=max(1, share_of_cores() // 2),
        help='processes beside each network, which run the CRF [half of the cores]',
    )
    parser.add_argument(
        '--on-error',
        choices=['stop', 'skip'],
        default='stop',
        help='what to do about an image that cannot be read or has no image-level labels [stop]',
    )
    parser.add_argument(
        '--preview', type=int, default=0, metavar='N', help='make a picture of N images and labels'
    )
    add_trust(parser)
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.from_segmentor:
        of_classifiers = ('preset', 'theta_bg', 'theta_fg', 'scales', 'no_flip')
        given = [name for name in of_classifiers if getattr(args, name) != parser.get_default(name)]
        if given:
            options = ', '.join(f'--{name.replace("_", "-")}' for name in given)
            parser.error(f'{options}: only for classifiers; leave it out with --from-segmentor')
    elif args.confidence != parser.get_default('confidence'):
        parser.error('--confidence: only with --from-segmentor; a classifier has --theta-fg')
    if not 0 <= args.confidence <= 1:
        parser.error(f'--confidence {args.confidence}: expected a probability in [0, 1]')
    if args.workers < 1:
        parser.error(f'--workers {args.workers}: expected at least 1')
    return args


def main() -> int:
    """Make pseudo-labels."""
    args = parse_args()
    from cct_mm.weak.label_images import label_images

    return label_images(args, share_of_cores())


if __name__ == '__main__':
    sys.exit(main())
