r"""Convert SBD's labels to masks, and join them with those of PASCAL VOC 2012.

Reads ``cls/*.mat`` of ``benchmark_RELEASE/dataset`` in SBD's benchmark.tgz, and of VOC the images,
``SegmentationClass`` and ``ImageSets/Segmentation/{train,val}.txt``. Writes

* ``SegmentationClassAug/*.png``: VOC's own masks as they are, and for all other images of SBD its
  labels, as indexed PNGs with VOC's palette. SBD has no void border: its masks do not hold 255.
* ``ImageSets/Segmentation/trainaug.txt``: VOC's train and all of SBD that is not in VOC's val,
  10582 images; ``trainaug_rest.txt``: the 9118 of them that are not in VOC's train.

A run that was interrupted goes on where it stopped.

Example:
    python tools/dataset_converters/sbd.py --sbd downloads/benchmark_RELEASE/dataset \
        --voc data/VOCdevkit/VOC2012
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmseg.datasets import PascalVOCDataset
from scipy.io import loadmat

from cct_mm.datasets.conversion import check_size, run, tracked
from cct_mm.datasets.reading import read_header, read_mask
from cct_mm.files import write_atomically
from cct_mm.labels import IGNORE_INDEX
from cct_mm.visualization import indexed_png

NUM_CLASSES = len(PascalVOCDataset.METAINFO['classes'])

PALETTE = np.zeros((256, 3), dtype=np.uint8)
"""Colors of the labels in VOC's masks, ``[256, 3]`` RGB."""
PALETTE[:NUM_CLASSES] = PascalVOCDataset.METAINFO['palette']
PALETTE[IGNORE_INDEX] = 224, 224, 192

FULL_SIZE = 10582
"""Images in trainaug.txt where both data sets are complete."""


class Job(NamedTuple):
    """One mask to write.

    Args:
        source: Path of VOC's mask or of SBD's .mat file.
        image: Path of the image, whose size the mask has to have.
        target: Path of the new mask.
    """

    source: Path
    image: Path
    target: Path


def read_ids(path: Path) -> list[str]:
    """Read a list of VOC, which has one image id on each line.

    Raises:
        FileNotFoundError: If there is no such list.
        ValueError: If it is empty.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'list {path} does not exist; --voc is the folder VOCdevkit/VOC2012 of the unpacked '
            'trainval archive'
        )
    ids = path.read_text(encoding='utf-8').split()
    if not ids:
        raise ValueError(f'list {path} is empty, expected one image id per line; unpack VOC again')
    return ids


def find_jobs(args: argparse.Namespace) -> tuple[list[Job], list[str], list[str]]:
    """Find the masks to write, and the images of the new lists.

    Args:
        args: The command line, see :func:`parse_args`.

    Returns:
        The jobs; the sorted ids of VOC's train and the rest of SBD; the sorted ids of this rest.

    Raises:
        FileNotFoundError: If a folder, a list, an image or a mask of VOC is missing.
        ValueError: If a list is empty, or there is no .mat file.
    """
    lists = args.voc / 'ImageSets/Segmentation'
    train, val = read_ids(lists / 'train.txt'), read_ids(lists / 'val.txt')
    if not (args.sbd / 'cls').is_dir():
        raise FileNotFoundError(
            f'folder {args.sbd / "cls"} does not exist; --sbd is benchmark_RELEASE/dataset of the '
            'unpacked benchmark.tgz'
        )
    sbd = {path.stem for path in (args.sbd / 'cls').glob('*.mat')}
    if not sbd:
        raise ValueError(
            f'{args.sbd / "cls"} holds no .mat file, expected 11355; unpack benchmark.tgz again'
        )
    rest = sorted(sbd - {*train, *val})
    sources = {name: args.voc / f'SegmentationClass/{name}.png' for name in (*train, *val)}
    sources |= {name: args.sbd / f'cls/{name}.mat' for name in rest}
    jobs = [
        Job(
            source,
            args.voc / f'JPEGImages/{name}.jpg',
            args.out / f'SegmentationClassAug/{name}.png',
        )
        for name, source in sorted(sources.items())
    ]
    for kind, paths in (
        ('mask', [job.source for job in jobs]),
        ('image', [job.image for job in jobs]),
    ):
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(
                f'{kind} {missing[0]} does not exist ({len(missing)} of {len(paths)} {kind}s '
                'missing); unpack VOC 2012 trainval again, whose JPEGImages has the images of SBD '
                'too'
            )
    return jobs, sorted({*train, *rest}), rest


def convert(job: Job) -> None:
    """Write one mask unless an earlier run has written it.

    Raises:
        ValueError: If a file is broken, if the mask has another size than its image, or if it
            holds a label that is no class.
    """
    image = read_header(job.image)
    shape = image.height, image.width
    if job.target.is_file():
        mask = read_header(job.target, kind='mask')
        if (mask.height, mask.width) == shape:
            return
    if job.source.suffix == '.mat':
        labels = read_sbd(job.source)
        content = indexed_png(labels, PALETTE)
    else:
        labels = read_mask(job.source, hint='unpack VOC again, this is a picture of the labels')
        content = job.source.read_bytes()
    fix = 'take images and labels as they were published'
    check_size(job.source, labels.shape, job.image, shape, fix)
    wrong = labels[(labels >= NUM_CLASSES) & (labels != IGNORE_INDEX)]
    if wrong.size:
        raise ValueError(
            f'label {wrong[0]} in {job.source}, expected 0-{NUM_CLASSES - 1} or {IGNORE_INDEX}; '
            'unpack the archive again'
        )
    write_atomically(job.target, content)


def read_sbd(path: Path) -> np.ndarray:
    """Read the labels of one image, ``[H, W]`` uint8, from its file ``cls/*.mat`` of SBD.

    Raises:
        ValueError: If the file is broken or has no labels.
    """
    try:
        content = loadmat(path, variable_names='GTcls')
    # On broken files, scipy raises errors of many types.
    except Exception as error:
        raise ValueError(
            f'{path} cannot be read ({type(error).__name__}: {error}); unpack benchmark.tgz again'
        ) from None
    try:
        return np.asarray(content['GTcls']['Segmentation'][0, 0], dtype=np.uint8)
    except (KeyError, ValueError, IndexError, TypeError):
        raise ValueError(
            f'{path} has no GTcls.Segmentation, expected it in the .mat files of cls/; give SBD as '
            'it is in benchmark.tgz, and take cls/, not inst/'
        ) from None


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Join the masks of SBD and PASCAL VOC 2012.')
    parser.add_argument(
        '--sbd', type=Path, required=True, help='benchmark_RELEASE/dataset, the folder with cls/'
    )
    parser.add_argument(
        '--voc', type=Path, default=Path('data/VOCdevkit/VOC2012'), help='folder of VOC 2012'
    )
    parser.add_argument('--out', type=Path, help='folder of the result; default: that of VOC')
    parser.add_argument(
        '--processes',
        type=int,
        default=min(8, os.cpu_count() or 1),
        help='number of processes (default: one for each core, at most 8)',
    )
    args = parser.parse_args(argv)
    if args.processes < 1:
        parser.error(f'--processes is {args.processes}, expected at least 1')
    args.out = args.out or args.voc
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Write the masks, and the lists once all masks are there.

    Args:
        argv: Command line without the program's name. Default: that of the process.
    """
    args = parse_args(argv)
    jobs, trainaug, rest = find_jobs(args)
    if args.processes == 1:
        for _ in tracked(map(convert, jobs), 'writing masks', len(jobs)):
            pass
    else:
        with ProcessPoolExecutor(args.processes) as pool:
            done = pool.map(convert, jobs, chunksize=16)
            for _ in tracked(done, 'writing masks', len(jobs)):
                pass
    for name, ids in (('trainaug', trainaug), ('trainaug_rest', rest)):
        path = args.out / f'ImageSets/Segmentation/{name}.txt'
        write_atomically(path, ''.join(f'{image}\n' for image in ids))
        print(f'{path}: {len(ids)} images')
    if len(trainaug) != FULL_SIZE:
        print(
            f'sbd: trainaug.txt has {len(trainaug)} images, not the {FULL_SIZE} of the complete '
            'data sets; unpack both again unless a part of them is what you want',
            file=sys.stderr,
        )


if __name__ == '__main__':
    run('sbd', main)
