r"""Split the list of a dataset into labeled and unlabeled images.

Writes, for each size, ``n20.txt`` (labeled) and ``n20_unlabeled.txt`` (all the rest, images only),
and ``manifest.json`` with the seed, counts, class frequencies and fingerprints. The splits are
nested and depend only on the seed and the images' paths, see ``cct_mm/lab/splits.py``.

Example:
    python tools/make_splits.py --data-root data/CamVid --list train.txt --sizes 20 50 100 \
        --balanced --num-classes 11 --ignore 11 255 --out configs/_base_/domains/splits/camvid
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Split a list of images into labeled and unlabeled lists.'
    )
    parser.add_argument(
        '--data-root', type=Path, required=True, help='folder that the paths of the list start from'
    )
    parser.add_argument(
        '--list', default='train.txt', help='list "image label", in data-root or a path to it'
    )
    parser.add_argument(
        '--sizes', type=int, nargs='+', required=True, help='numbers of labeled images'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the random order')
    parser.add_argument(
        '--balanced', action='store_true', help='keep rare classes in; needs --num-classes'
    )
    parser.add_argument(
        '--num-classes', type=int, help='read the masks and tell the frequency of each class'
    )
    parser.add_argument(
        '--ignore', type=int, nargs='*', default=[255], help='labels that are no class'
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the new lists')
    parser.add_argument(
        '--force', action='store_true', help='overwrite lists that differ from the new ones'
    )
    args = parser.parse_args(argv)
    if args.balanced and args.num_classes is None:
        parser.error('--balanced counts the classes in the masks: give --num-classes')
    return args


def canonical_command(args: argparse.Namespace, list_name: str) -> str:
    """Return the command that makes the same lists on any machine, without paths of this one."""
    parts = ['python', 'tools/make_splits.py', '--data-root', 'DATA_ROOT', '--list', list_name]
    parts += ['--sizes', *map(str, args.sizes), '--seed', str(args.seed)]
    if args.balanced:
        parts.append('--balanced')
    if args.num_classes is not None:
        parts += ['--num-classes', str(args.num_classes), '--ignore', *map(str, args.ignore)]
    return shlex.join([*parts, '--out', 'OUT'])


def main(argv: Sequence[str] | None = None) -> None:
    """Make the splits.

    Args:
        argv: Command line without the program's name. Default: that of the process.
    """
    args = parse_args(argv)
    from cct_mm.datasets.file_lists import read_file_list
    from cct_mm.lab.split_files import count_classes, write_files
    from cct_mm.lab.splits import check_sizes, nested_splits, split_files

    path = args.data_root / args.list
    if not path.is_file():
        path = Path(args.list)
    entries = read_file_list(path, labeled=True)
    check_sizes(args.sizes, len(entries))
    if args.out.exists() and not args.out.is_dir():
        raise FileExistsError(f'--out {args.out} is a file, expected a folder; choose another')
    counts = None
    if args.num_classes is not None:
        counts = count_classes(args.data_root, entries, args.num_classes, args.ignore)
    splits = nested_splits(entries, counts if args.balanced else None, args.sizes, args.seed)
    header = {
        'command': canonical_command(args, path.name),
        'list': path.name,
        'seed': args.seed,
        'balanced': args.balanced,
    }
    files = split_files(entries, splits, header, counts)
    written = write_files(args.out, files, args.force)
    for name in files:
        print(f'{args.out / name}: {"written" if name in written else "unchanged"}')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f'make_splits: {error}')
