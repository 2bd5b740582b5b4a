"""Compute what a frozen backbone makes of the training images, once, and keep it on disk.

python tools/cache_features.py CONFIG

The config names the folder (train_dataloader.dataset.cache) and how many augmented versions there
are of each image (.versions). The backbone is that of the checkpoint which the config's `load_from`
names, or else its pretrained one. Features that are there are checked and kept, so that a run that
was interrupted goes on where it stopped. Then train with the same config and options. See
docs/cached.md.
"""

import argparse
import sys

from options import add_cfg_options, add_trust


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the training, such as those in configs/cached')
    add_trust(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> int:
    """Return 0, 2 for bad input, or 130 if interrupted."""
    args = parse_args()
    # Here, so that --help does not wait for PyTorch.
    from mmengine.logging import MMLogger

    from cct_mm.engine.checkpoints.loading import trust_checkpoint
    from cct_mm.engine.features.compute import cache_features

    # Else each weight's initialization is a line.
    MMLogger.get_current_instance().setLevel('WARNING')
    for path in args.trust_checkpoint:
        trust_checkpoint(path)
    try:
        print(cache_features(args.config, args.cfg_options))
    except (ValueError, OSError) as error:
        print(f'cache_features.py: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nInterrupted: run the same command again to go on.', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
