"""Checks of a source that need no image to be loaded."""

from collections.abc import Callable

import mmengine.fileio as fileio
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import LocalBackend
from mmseg.datasets.transforms import GenerateEdge, RandomCrop, RandomRotFlip
from torch.utils.data import Dataset

from cct_mm.names import check_class_names

from ..checks.mask_names import check_no_masks
from ..file_finder import FileFinder
from ..filling import is_loader, name_of
from ..list_dataset import ListDataset
from ..transforms import LoadImageLabels
from ..wrappers import leaf_datasets, pipelines
from .build import no_images


def check_source(name: str, supervision: str, dataset: Dataset) -> None:
    """Check everything of a source that needs no image to be loaded.

    Args:
        name: What errors call the source.
        supervision: One of :data:`~cct_mm.labels.SUPERVISIONS`.
        dataset: Its data set, wrappers included.

    Raises:
        ValueError: If a data set has no images or classes, its data sets differ in classes or
            palettes, transforms need labels where there are none, masks lie among the images, or
            labels are missing.
        FileNotFoundError: If images are missing.
    """
    for leaf, transforms in zip(leaf_datasets(dataset), pipelines(dataset), strict=True):
        _check_is_dataset(name, leaf)
        if supervision == 'unlabeled':
            _check_no_labels(name, transforms)
        _check_classes(name, dataset, leaf)
        if supervision != 'unlabeled':
            _check_rotation(name, transforms)
        for transform in transforms:
            if isinstance(transform, LoadImageLabels):
                transform.check_classes(leaf.metainfo['classes'], name)
        _check_files(name, supervision, leaf, transforms)


def check_same_classes(name: str, dataset: Dataset, first: str, first_dataset: Dataset) -> None:
    """Check that a source has the classes of the first source of its domain.

    Raises:
        ValueError: If the classes differ.
    """
    classes, expected = dataset.metainfo['classes'], first_dataset.metainfo['classes']
    if tuple(classes) != tuple(expected):
        raise ValueError(
            f'{name}: its classes {classes} differ from those of the {first} source, {expected}; '
            'all sources of a domain share its label space'
        )


def _check_is_dataset(name: str, leaf: Dataset) -> None:
    if not hasattr(leaf, 'get_data_info') or not hasattr(leaf, 'pipeline'):
        raise ValueError(
            f'{name}: a {type(leaf).__name__}, expected a data set of mmengine or mmseg, with '
            'a pipeline'
        )
    if len(leaf) == 0:
        raise ValueError(no_images(name, vars(leaf)))


def _check_no_labels(name: str, transforms: list[Callable]) -> None:
    loaders = [name_of(t) for t in transforms if is_loader(t)]
    if loaders:
        raise ValueError(
            f'{name}: its pipeline has {", ".join(loaders)}, expected none: labels of '
            'unlabeled images are never read; remove it from the pipeline'
        )
    for transform in transforms:
        problem = None
        if isinstance(transform, RandomCrop) and transform.cat_max_ratio < 1:
            problem = (
                f'RandomCrop with cat_max_ratio={transform.cat_max_ratio}, which chooses crops by '
                'their labels: remove cat_max_ratio'
            )
        elif isinstance(transform, GenerateEdge):
            problem = 'GenerateEdge, which makes edges from labels: remove it'
        elif isinstance(transform, LoadImageLabels) and transform.labels is None:
            problem = (
                'LoadImageLabels without a file, which counts the classes of a label map: remove it'
            )
        if problem:
            raise ValueError(
                f'{name}: its pipeline has {problem} from the pipeline; expected transforms that '
                'need no labels'
            )


def _check_classes(name: str, dataset: Dataset, leaf: Dataset) -> None:
    """Check the classes of a data set, and compare them with the first in the same wrapper."""
    if leaf.metainfo.get('classes') is None:
        raise ValueError(
            f'{name}: its dataset names no classes, expected those of the domain: add '
            'metainfo=dict(classes=(...), palette=[...])'
        )
    check_class_names(leaf.metainfo['classes'], name)
    first = next(leaf_datasets(dataset))
    for key, plain in (('classes', tuple), ('palette', lambda p: [list(color) for color in p])):
        found, expected = leaf.metainfo.get(key), first.metainfo.get(key)
        if (found is None) != (expected is None) or (found and plain(found) != plain(expected)):
            raise ValueError(
                f'{name}: its data sets have differing {key}, {found} and {expected}, expected the '
                'same for all; give each the same metainfo'
            )


def _check_rotation(name: str, transforms: list[Callable]) -> None:
    if any(map(is_loader, transforms)) and any(isinstance(t, RandomRotFlip) for t in transforms):
        raise ValueError(
            f'{name}: its pipeline has RandomRotFlip, which rotates label maps as if they were '
            'images: what it fills becomes class 0, and labels blend where classes meet; expected '
            'RandomRotate and RandomFlip in its place'
        )


def _check_files(name: str, supervision: str, leaf: Dataset, transforms: list[Callable]) -> None:
    """Find files that are missing: mmseg's own datasets notice only when they load one."""
    masks = [t for t in transforms if is_loader(t)] if supervision != 'unlabeled' else []
    image_labels = [t for t in transforms if isinstance(t, LoadImageLabels)]
    image_labels = [t for t in image_labels if t.labels is not None]
    checks_itself = isinstance(leaf, ListDataset)
    if checks_itself and not image_labels and (not masks or supervision == 'labeled'):
        return
    infos = [leaf.get_data_info(i) for i in range(len(leaf))]
    if not checks_itself:
        for loader in (t for t in transforms if isinstance(t, LoadImageFromFile)):
            _check_images(name, supervision, leaf, infos, loader.backend_args)
    exists = FileFinder().exists
    for loader in masks:
        _check_masks(name, supervision, infos, loader.backend_args, exists)
    for loader in image_labels:
        _check_image_labels(name, infos, loader)


def _check_images(
    name: str, supervision: str, leaf: Dataset, infos: list[dict], backend_args: dict | None
) -> None:
    images = [info['img_path'] for info in infos if isinstance(info.get('img_path'), str)]
    finder = FileFinder()
    missing = [path for path in images if not _exists(path, backend_args, finder.exists)]
    if missing:
        raise FileNotFoundError(
            f'{name}: image {missing[0]} not found ({len(missing)} of {len(images)} images '
            f'missing){finder.hint(missing[0])}; check data_root, data_prefix and img_suffix, and '
            f'the names in {leaf.ann_file or "the folder"}'
        )
    if supervision == 'unlabeled' and not leaf.ann_file:
        try:
            check_no_masks(images)
        except ValueError as error:
            raise ValueError(
                f'{name}: {error}; ListDataset leaves files out that end in its seg_map_suffix'
            ) from None


def _check_masks(
    name: str,
    supervision: str,
    infos: list[dict],
    backend_args: dict | None,
    exists: Callable[[str], bool],
) -> None:
    missing = [
        info
        for info in infos
        if not info.get('seg_map_path') or not _exists(info['seg_map_path'], backend_args, exists)
    ]
    if missing:
        fix = 'restore them, or take these images off the list'
        if supervision == 'weak':
            fix = (
                'make pseudo-labels with tools/gen_pseudo_labels.py, or take images that it '
                'skipped off the list'
            )
        raise ValueError(
            f'{name}: {len(missing)} of {len(infos)} images have no label file, expected one for '
            f'each; the first is {missing[0].get("img_path")} (seg_map_path: '
            f'{missing[0].get("seg_map_path")}); {fix}'
        )


def _check_image_labels(name: str, infos: list[dict], loader: LoadImageLabels) -> None:
    unnamed = [info['img_path'] for info in infos if info['img_path'] not in loader.labels]
    if unnamed:
        try:
            loader.labels[unnamed[0]]
        except KeyError as error:
            raise ValueError(
                f'{name}: {error.args[0]} ({len(unnamed)} of {len(infos)} images have none)'
            ) from None


def _exists(path: str, backend_args: dict | None, exists: Callable[[str], bool]) -> bool:
    """Tell whether a file is there; ``exists`` looks for local files."""
    backend = fileio.get_file_backend(path, backend_args=backend_args, enable_singleton=True)
    if isinstance(backend, LocalBackend):
        return exists(path)
    return fileio.isfile(path, backend_args=backend_args)
