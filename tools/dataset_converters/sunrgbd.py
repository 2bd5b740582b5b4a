r"""Convert SUN RGB-D, 37 classes, to 13 classes; or take NYUv2, which has these 13 already.

``--kind sunrgbd`` reads the folders of https://github.com/ankurhanda/sunrgbd-meta-data, unpacked
beside each other: ``SUNRGBD-train_images`` (img-000001.jpg to img-005285.jpg),
``SUNRGBD-test_images`` (img-000001.jpg to img-005050.jpg) and ``sunrgbd_train_test_labels``, whose
files img-000001.png to img-005050.png belong to test and the rest to train.
``--kind nyuv2`` reads ``image/`` and ``label13/`` with ``train/`` and ``test/`` below each. An
image and its label have the same name. If no image has the name of a label, the numbers at the end
of the names are compared, as https://github.com/ankurhanda/nyuv2-meta-data needs it
(nyu_rgb_0001.png, new_nyu_class13_0001.png).

Writes ``image/train/x.jpg label13/train/x.png``, the same for test, and lists "image label". Images
are copied as they are. A run that was interrupted goes on where it stopped. ``--lists-only`` writes
the lists of NYUv2 alone, and the data stay where they are.

The 37 classes are merged as by Handa et al. (SceneNet), after Couprie et al.; 0 is void:

== ========= ===========================================================================
0  void      void
1  bed       bed
2  books     books
3  ceiling   ceiling
4  chair     chair
5  floor     floor, floor_mat
6  furniture cabinet, bookshelf, counter, shelves, dresser, fridge, night_stand
7  objects   pillow, mirror, clothes, paper, towel, shower_curtain, box, whiteboard, person,
             toilet, sink, lamp, bathtub, bag
8  picture   picture
9  sofa      sofa
10 table     table, desk
11 tv        tv
12 wall      wall, door
13 window    window, blinds, curtain
== ========= ===========================================================================

Example:
    python tools/dataset_converters/sunrgbd.py --kind sunrgbd --source downloads --out data/SUNRGBD
    python tools/dataset_converters/sunrgbd.py --kind nyuv2 --source NYUv2 --out lists --lists-only
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cct_mm.datasets.conversion import check_size, run, tracked, write_png
from cct_mm.datasets.file_finder import list_image_folder
from cct_mm.datasets.file_lists import format_file_list
from cct_mm.datasets.reading import read_header, read_image, read_mask
from cct_mm.files import write_atomically

LABELS_37 = {
    'void': 0,
    'wall': 12,
    'floor': 5,
    'cabinet': 6,
    'bed': 1,
    'chair': 4,
    'sofa': 9,
    'table': 10,
    'door': 12,
    'window': 13,
    'bookshelf': 6,
    'picture': 8,
    'counter': 6,
    'blinds': 13,
    'desk': 10,
    'shelves': 6,
    'curtain': 13,
    'dresser': 6,
    'pillow': 7,
    'mirror': 7,
    'floor_mat': 5,
    'clothes': 7,
    'ceiling': 3,
    'books': 2,
    'fridge': 6,
    'tv': 11,
    'paper': 7,
    'towel': 7,
    'shower_curtain': 7,
    'box': 7,
    'whiteboard': 7,
    'person': 7,
    'night_stand': 6,
    'toilet': 7,
    'sink': 7,
    'lamp': 7,
    'bathtub': 7,
    'bag': 7,
}
"""Name in the original, in the order of its labels 0-37 -> merged label."""

MERGED = {
    'sunrgbd': np.array(list(LABELS_37.values()), dtype=np.uint8),
    'nyuv2': np.arange(14, dtype=np.uint8),
}
"""For each kind of source: label of its files -> merged label."""

TEST_IMAGES = 5050
"""Number of test images of SUN RGB-D: label 5051 is that of training image 1."""


class Pair(NamedTuple):
    """One image with its mask.

    Args:
        image: Path of the image in the source.
        mask: Path of the mask in the source.
        entry: Paths of both in the result, relative to its folder.
    """

    image: Path
    mask: Path
    entry: tuple[str, str]


def merge_labels(labels: np.ndarray, kind: str) -> np.ndarray:
    """Merge the labels of one mask to 13 classes and void.

    Args:
        labels: The mask, ``[H, W]``, labels as in the files of the source.
        kind: ``'sunrgbd'`` or ``'nyuv2'``.

    Returns:
        Labels ``[H, W]`` uint8, 0 is void and 1-13 are the classes.

    Raises:
        ValueError: If a label is none of the source's.
    """
    table = MERGED[kind]
    labels = labels.astype(np.int64)
    wrong = (labels < 0) | (labels >= len(table))
    if wrong.any():
        raise ValueError(f'label {labels[wrong][0]}, expected 0-{len(table) - 1}')
    return table[labels]


def mask_of(name: str, split: str, kind: str) -> str:
    """Return the path that the mask of an image has in the source, whether it exists or not.

    Args:
        name: The image's path in the folder of its split.
        split: ``'train'`` or ``'test'``.
        kind: ``'sunrgbd'`` or ``'nyuv2'``.

    Raises:
        ValueError: If SUN RGB-D has no images of such a name.
    """
    if kind == 'nyuv2':
        return f'label13/{split}/{Path(name).with_suffix(".png").as_posix()}'
    number = Path(name).stem.removeprefix('img-')
    if not number.isdecimal():
        raise ValueError(
            f'{name} among the images of {split} has no number, expected names such as '
            f'img-000001.jpg; take other files out of this folder'
        )
    index = int(number) + (TEST_IMAGES if split == 'train' else 0)
    return f'sunrgbd_train_test_labels/img-{index:06d}.png'


def by_number(folder: Path) -> dict[int, str]:
    """Map the number at the end of each image's name to that name, in ascending order.

    Raises:
        ValueError: If a name has no number at its end, or two names have the same.
    """
    found: dict[int, str] = {}
    for name in list_image_folder(folder):
        digits = re.search('[0-9]*$', Path(name).stem).group()
        if not digits:
            raise ValueError(
                f'{folder / name} has no number at the end of its name, expected one: no image has '
                'the name of its label; take other files out of this folder'
            )
        if (other := found.setdefault(int(digits), name)) != name:
            raise ValueError(
                f'{folder / other} and {folder / name} both end with the number {int(digits)}, '
                'expected one file for each number: no image has the name of its label; take '
                'other files out of this folder'
            )
    return dict(sorted(found.items()))


def find_pairs(split: str, args: argparse.Namespace) -> list[Pair]:
    """Return all images of one split with their masks.

    Args:
        split: ``'train'`` or ``'test'``.
        args: The command line, see :func:`parse_args`.

    Returns:
        The pairs, in the order of the images' names, or of their numbers if these are compared.

    Raises:
        FileNotFoundError: If the folder of the images or a mask is missing.
        ValueError: If there is no image, if the source has no images of such a name, or if numbers
            are ambiguous.
    """
    folder = args.source / ('image/' + split if args.kind == 'nyuv2' else f'SUNRGBD-{split}_images')
    if not folder.is_dir():
        raise FileNotFoundError(
            f'image folder {folder} does not exist; check --source and --kind {args.kind}, and '
            'unpack the archives there'
        )
    masks = {name: mask_of(name, split, args.kind) for name in list_image_folder(folder)}
    labels = args.source / 'label13' / split
    if (
        args.kind == 'nyuv2'
        and labels.is_dir()
        and not any((args.source / mask).is_file() for mask in masks.values())
    ):
        numbers = by_number(labels)
        masks = {
            name: f'label13/{split}/{numbers[number]}' if number in numbers else masks[name]
            for number, name in by_number(folder).items()
        }
    pairs = []
    for name, mask in masks.items():
        # With --lists-only, the lists name the files of the source.
        label = mask if args.lists_only else mask_of(name, split, 'nyuv2')
        pairs.append(Pair(folder / name, args.source / mask, (f'image/{split}/{name}', label)))
    missing = [pair for pair in pairs if not pair.mask.is_file()]
    if missing:
        raise FileNotFoundError(
            f'mask {missing[0].mask} of {missing[0].image} not found ({len(missing)} of '
            f'{len(pairs)} of {split} missing); unpack the labels again, or check --source'
        )
    return pairs


def is_done(pair: Pair, out: Path) -> bool:
    """Tell whether an earlier run has written this pair, from files of the same size."""
    targets = [out / path for path in pair.entry]
    if not all(path.is_file() for path in targets):
        return False
    if targets[0].stat().st_size != pair.image.stat().st_size:
        return False
    new, old = (read_header(path, kind='mask') for path in (targets[1], pair.mask))
    return (new.width, new.height) == (old.width, old.height)


def read_pair(pair: Pair, kind: str) -> tuple[bytes, np.ndarray]:
    """Read and check one pair.

    Args:
        pair: The image and its mask.
        kind: ``'sunrgbd'`` or ``'nyuv2'``.

    Returns:
        The content of the image's file, and the merged labels ``[H, W]`` uint8.

    Raises:
        ValueError: If a file cannot be decoded, if the mask has colors or another size than its
            image, or if it holds a label that is none of the source's.
    """
    content = pair.image.read_bytes()
    shape = read_image(content, name=str(pair.image)).shape[:2]
    labels = read_mask(pair.mask, hint='unpack the labels again, this is a picture of them')
    fix = 'take images and labels of the same version'
    check_size(pair.mask, labels.shape, pair.image, shape, fix)
    try:
        return content, merge_labels(labels, kind)
    except ValueError as error:
        raise ValueError(f'{pair.mask}: {error}; check --kind {kind}') from None


def convert_split(split: str, args: argparse.Namespace) -> None:
    """Convert the pairs of one split, and write its list once all are there."""
    pairs = find_pairs(split, args)
    task = f'{"checking" if args.lists_only else "converting"} {split}'
    for pair in tracked(pairs, task, len(pairs)):
        if not args.lists_only and is_done(pair, args.out):
            continue
        content, labels = read_pair(pair, args.kind)
        if not args.lists_only:
            write_atomically(args.out / pair.entry[0], content)
            write_png(args.out / pair.entry[1], labels)
    write_atomically(args.out / f'{split}.txt', format_file_list(pair.entry for pair in pairs))


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Convert SUN RGB-D or NYUv2 to 13 classes.')
    parser.add_argument(
        '--kind', choices=list(MERGED), required=True, help='what --source holds, see above'
    )
    parser.add_argument('--source', type=Path, required=True, help='folder of the unpacked data')
    parser.add_argument(
        '--out', type=Path, default=Path('data/SUNRGBD'), help='folder of the result'
    )
    parser.add_argument(
        '--lists-only', action='store_true', help='check the files of NYUv2 and write lists alone'
    )
    args = parser.parse_args(argv)
    if args.lists_only and args.kind != 'nyuv2':
        parser.error(
            f'--lists-only with --kind {args.kind}: its labels have to be converted, expected '
            '--kind nyuv2; leave --lists-only out'
        )
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Convert both splits.

    Args:
        argv: Command line without the program's name. Default: that of the process.
    """
    args = parse_args(argv)
    for split in ('train', 'test'):
        convert_split(split, args)
    print(args.out)


if __name__ == '__main__':
    run('sunrgbd', main)
