r"""Split the list of a dataset into labeled and unlabeled images.

Writes, for each size, ``n20.txt`` (labeled) and ``n20_unlabeled.txt`` (all the rest, images only),
and ``manifest.json`` with the seed, counts, class frequencies and fingerprints. The splits are
nested and depend only on the seed and the images' paths, see ``cct_mm/lab/splits.py``.

Example:
    python tools/make_splits.py --data-root data/CamVid --list train.txt --sizes 20 50 100 \
        --balanced --num-classes 11 --ignore 11 255 --out configs/_base_/domains/splits/camvid
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from cct_mm.datasets.file_finder import FileFinder
from cct_mm.datasets.file_lists import Entry, read_file_list
from cct_mm.datasets.reading import read_mask
from cct_mm.files import write_atomically
from cct_mm.lab.splits import check_sizes, nested_splits, split_files


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


def count_classes(
    data_root: Path, entries: Sequence[Entry], num_classes: int, ignore: Sequence[int]
) -> np.ndarray:
    """Count the pixels of each class in each mask.

    Args:
        data_root: Folder of the dataset.
        entries: ``(image, label)`` pairs, all with a label.
        num_classes: Number of classes C.
        ignore: Labels that are not counted, also among 0 .. C - 1.

    Returns:
        ``[len(entries), C]`` int64.

    Raises:
        FileNotFoundError: If a mask is missing.
        ValueError: If a mask cannot be read, or holds a label that is neither a class nor ignored.
    """
    counts = np.zeros((len(entries), num_classes), dtype=np.int64)
    # On stderr: the summary on stdout stays clean for a pipe.
    progress = track(entries, 'reading masks', console=Console(stderr=True))
    finder = FileFinder()
    for row, (_, label) in zip(counts, progress, strict=True):
        # Training also finds it when the list has backslashes or another Unicode form.
        asked = os.path.join(data_root, os.path.expanduser(label))
        path = finder.find(asked)
        if path is None:
            raise FileNotFoundError(
                f'mask {label} not found in {data_root}{finder.hint(asked)}; check --data-root and '
                'the list'
            )
        found = np.unique(read_mask(path), return_counts=True)
        for value, pixels in zip(*found, strict=True):
            if value in ignore:
                continue
            if not 0 <= value < num_classes:
                raise ValueError(
                    f'label {value} in {label}, expected 0-{num_classes - 1} or one of the '
                    f'ignored {sorted(ignore)}; check --num-classes and --ignore'
                )
            row[value] = pixels
    return counts


def write_files(out: Path, files: dict[str, str], force: bool) -> list[str]:
    """Write the files that are not there yet.

    Args:
        out: Folder, made if it is missing.
        files: File name -> text.
        force: Whether files with another content may be replaced.

    Returns:
        Names of the files that were written; files that have their text already are left alone.

    Raises:
        FileExistsError: If files with another content are there and ``force`` is False. Then
            nothing is written.
    """
    existing = {
        name: (out / name).read_text(encoding='utf-8') for name in files if (out / name).exists()
    }
    different = [name for name, text in existing.items() if text != files[name]]
    if different and not force:
        raise FileExistsError(
            f'{", ".join(different)} in {out} would change, and runs may have used them; write to '
            f'another folder with --out, or overwrite with --force'
        )
    new = [name for name, text in files.items() if existing.get(name) != text]
    for name in new:
        write_atomically(out / name, files[name])
    return new


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
