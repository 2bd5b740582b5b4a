"""Write ToyScenes, two small rendered domains.

They go to ``data/ToyScenes`` in seconds. If they exist, they are checked and left as they are.

Example:
    python tools/make_toy_scenes.py --root data
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    """Write the data.

    Args:
        argv: Command line without the program's name. Default: that of the process.
    """
    parser = argparse.ArgumentParser(description='Write ToyScenes, two small rendered domains.')
    parser.add_argument('--root', type=Path, default=Path('data'), help='folder of the data sets')
    parser.add_argument(
        '--force', action='store_true', help='replace data of another version or with changed files'
    )
    parser.add_argument(
        '--demo', action='store_true', help='write those of `make demo`, to ToyScenesDemo'
    )
    args = parser.parse_args(argv)
    from cct_mm.lab.toy_scenes import write_toy_scenes

    print(write_toy_scenes(args.root, force=args.force, demo=args.demo))


if __name__ == '__main__':
    try:
        main()
    except OSError as error:
        sys.exit(f'make_toy_scenes: {error}')
