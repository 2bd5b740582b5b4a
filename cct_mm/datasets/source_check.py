"""What can be said of a source before its first image is drawn."""

import os.path as osp
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import mmengine.fileio as fileio
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import LocalBackend
from mmseg.datasets.transforms import GenerateEdge, RandomCrop, RandomRotFlip
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from cct_mm.names import check_class_names

from .beside import check_no_masks
from .file_finder import FileFinder
from .filling import is_loader, name_of
from .list_dataset import ListDataset
from .transforms import LoadImageLabels
from .wrappers import leaf_datasets, pipelines

_FREE_IN_CONCAT = ('label_map', 'reduce_zero_label')
"""Entries of metainfo that may differ between concatenated data sets: each applies its own."""


def build_source(name: str, config: Mapping[str, Any]) -> Dataset:
    """Build the data set of a source.

    Args:
        name: What errors call the source.
        config: The config of an mmseg data set or of a wrapper around some.

    Raises:
        ValueError: If it is no config of one data set, or a data set refuses its arguments.
        FileNotFoundError: If a list or folder is missing.
    """
    if isinstance(config, (list, tuple)):
        raise ValueError(
            f'{name}: a list of {len(config)} data sets, expected one; join them by '
            "dict(type='ConcatDataset', datasets=[...])"
        )
    if not isinstance(config, Mapping) or 'type' not in config:
        raise ValueError(
            f"{name}: found {config!r}, expected the config of a data set, dict(type='...', ...)"
        )
    try:
        dataset = DATASETS.build(_prepared(name, config))
        # Lazily made ones count their images now.
        for part in (*leaf_datasets(dataset), dataset):
            if hasattr(part, 'full_init'):
                part.full_init()
    except NotImplementedError as error:
        raise ValueError(
            f'{name}: {error}; ClassBalancedDataset asks it which classes an image shows, which '
            'mmseg and ListDataset do not tell: leave ClassBalancedDataset out, or derive a data '
            'set with get_cat_ids'
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{name}: a list of {config["type"]} is no text in UTF-8 ({error.reason} at byte '
            f'{error.start}): {config.get("ann_file")!r}; convert it, e.g. from that of Western '
            'Windows: iconv -f CP1252 -t UTF-8 LIST > new.txt'
        ) from None
    except ValueError as error:
        # What NumPy says to mmengine, which packs a list of no images.
        if 'need at least one array' not in str(error):
            raise
        raise ValueError(_no_images(name, config)) from error
    # mmseg asserts that files are there, often without a word; the system's own errors have a
    # number, those of ListDataset a sentence.
    except (AssertionError, OSError) as error:
        if isinstance(error, OSError) and error.errno is None:
            raise
        missing = list(_missing_paths(config))
        found = ', '.join(f'{key}={path!r} does not exist' for key, path in missing)
        raise (FileNotFoundError if missing else ValueError)(
            f'{name}: {config["type"]} refuses its arguments: {found or error or "no reason given"}'
            '; check data_root, ann_file and data_prefix'
        ) from error
    return dataset


def _no_images(name: str, settings: Mapping[str, Any]) -> str:
    return (
        f'{name}: no images, expected at least one; look at its data_root and ann_file: '
        f'{settings.get("data_root")!r}, {settings.get("ann_file", "")!r}'
    ) + (f', and its img_suffix: {settings["img_suffix"]!r}' if settings.get('img_suffix') else '')


def _prepared(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The config, wrappers in it made to accept what each data set sees to by itself."""
    config = dict(config)
    kind = config.get('type')
    kind = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
    kind = kind.rpartition('.')[2]
    if kind == 'ConcatDataset' and not config.get('datasets'):
        raise ValueError(f'{name}: a ConcatDataset of no data sets, expected at least one')
    if kind == 'RepeatDataset' and not (
        isinstance(config.get('times'), int) and config['times'] > 0
    ):
        raise ValueError(
            f'{name}: a RepeatDataset with times={config.get("times")!r}, expected a whole number '
            'above 0'
        )
    if kind == 'MultiDomainDataset':
        raise ValueError(
            f'{name}: it is a MultiDomainDataset, expected a data set of one domain; give its '
            "domains to the outer one's `domains`"
        )
    if kind == 'ConcatDataset' and config.get('ignore_keys') is None:
        config['ignore_keys'] = [*_FREE_IN_CONCAT, 'classes', 'palette']
    if isinstance(config.get('dataset'), Mapping):
        config['dataset'] = _prepared(name, config['dataset'])
    if isinstance(config.get('datasets'), (list, tuple)):
        config['datasets'] = [
            _prepared(name, part) if isinstance(part, Mapping) else part
            for part in config['datasets']
        ]
    return config


def _missing_paths(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Paths that a config names and that are not there."""
    root = config.get('data_root') or ''
    paths = {'data_root': root, 'ann_file': osp.join(root, config.get('ann_file') or '')}
    for key, value in (config.get('data_prefix') or {}).items():
        paths[f'data_prefix.{key}'] = osp.join(root, value or '')
    yield from ((key, path) for key, path in paths.items() if path and not osp.exists(path))
    for part in (config.get('dataset'), *(config.get('datasets') or ())):
        if isinstance(part, Mapping):
            yield from _missing_paths(part)


def check_source(name: str, supervision: str, dataset: Dataset) -> None:
    """Check everything of a source that needs no image to be read.

    Args:
        name: What errors call the source.
        supervision: ``'labeled'``, ``'unlabeled'`` or ``'weak'``.
        dataset: Its data set, wrappers included.

    Raises:
        ValueError: For a data set without images or classes, data sets whose classes or palettes
            differ, transforms that need labels where there are none, masks among the images, or
            labels that are missing.
        FileNotFoundError: For images that are missing.
    """
    for leaf, transforms in zip(leaf_datasets(dataset), pipelines(dataset), strict=True):
        if not hasattr(leaf, 'get_data_info') or not hasattr(leaf, 'pipeline'):
            raise ValueError(
                f'{name}: a {type(leaf).__name__}, expected a data set of mmengine or mmseg, with '
                'a pipeline'
            )
        if len(leaf) == 0:
            raise ValueError(_no_images(name, vars(leaf)))
        if supervision == 'unlabeled':
            _check_no_labels(name, transforms)
        if leaf.metainfo.get('classes') is None:
            raise ValueError(
                f'{name}: its dataset names no classes, expected those of the domain: add '
                'metainfo=dict(classes=(...), palette=[...])'
            )
        check_class_names(leaf.metainfo['classes'], name)
        if supervision != 'unlabeled':
            _check_rotation(name, transforms)
        _check_parts_agree(name, dataset, leaf)
        loads = [t for t in transforms if is_loader(t)] if supervision != 'unlabeled' else []
        files = [t for t in transforms if isinstance(t, LoadImageLabels)]
        for loader in files:
            loader.check_classes(leaf.metainfo['classes'], name)
        files = [t for t in files if t.labels is not None]
        readers = [t for t in transforms if isinstance(t, LoadImageFromFile)]
        _check_files(name, supervision, leaf, readers, loads, files)


def check_sample(name: str, sample: Any) -> None:
    """Check what leaves the pipeline of a source.

    Args:
        name: What errors call the source.
        sample: What its data set gives for an image.

    Raises:
        ValueError: For a sample that is not packed.
    """
    if not isinstance(sample, Mapping) or not {'inputs', 'data_samples'} <= sample.keys():
        raise ValueError(
            f"{name}: its pipeline does not pack the sample, expected dict(type='PackSegInputs') "
            'at its end'
        )


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


def _check_rotation(name: str, transforms: list[Callable]) -> None:
    if any(map(is_loader, transforms)) and any(isinstance(t, RandomRotFlip) for t in transforms):
        raise ValueError(
            f'{name}: its pipeline has RandomRotFlip, which rotates label maps as if they were '
            'images: what it fills becomes class 0, and labels blend where classes meet; expected '
            'RandomRotate and RandomFlip in its place'
        )


def _check_parts_agree(name: str, dataset: Dataset, leaf: Dataset) -> None:
    """Compare a data set in a wrapper with the first one in it."""
    first = next(leaf_datasets(dataset))
    for key, plain in (('classes', tuple), ('palette', lambda p: [list(color) for color in p])):
        found, expected = leaf.metainfo.get(key), first.metainfo.get(key)
        if (found is None) != (expected is None) or (found and plain(found) != plain(expected)):
            raise ValueError(
                f'{name}: its data sets have differing {key}, {found} and {expected}, expected the '
                'same for all; give each the same metainfo'
            )


def _check_files(
    name: str,
    supervision: str,
    leaf: Dataset,
    images: list[LoadImageFromFile],
    masks: list[Callable],
    image_labels: list[LoadImageLabels],
) -> None:
    """Find files that are missing now: mmseg's own datasets look only when one is loaded."""
    checks_itself = isinstance(leaf, ListDataset)
    if checks_itself and not image_labels and (not masks or supervision == 'labeled'):
        return
    infos = [leaf.get_data_info(i) for i in range(len(leaf))]
    if not checks_itself:
        for loader in images:
            _check_images(name, supervision, leaf, infos, loader.backend_args)
    exists = FileFinder().exists
    for loader in masks:
        missing = [
            info
            for info in infos
            if not info.get('seg_map_path')
            or not _exists(info['seg_map_path'], loader.backend_args, exists)
        ]
        if missing:
            fix = 'restore them, or take these images off the list'
            if supervision == 'weak':
                fix = (
                    'make pseudo-labels with tools/gen_pseudo_labels.py, or take images that it '
                    'skipped off the list'
                )
            raise ValueError(
                f'{name}: {len(missing)} of {len(infos)} images have no label file, expected '
                f'one for each; the first is {missing[0].get("img_path")} (seg_map_path: '
                f'{missing[0].get("seg_map_path")}); {fix}'
            )
    for loader in image_labels:
        unnamed = [i['img_path'] for i in infos if i['img_path'] not in loader.labels]
        if unnamed:
            try:
                loader.labels[unnamed[0]]
            except KeyError as error:
                raise ValueError(
                    f'{name}: {error.args[0]} ({len(unnamed)} of {len(infos)} images have none)'
                ) from None


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


def _exists(path: str, backend_args: dict | None, exists: Callable[[str], bool]) -> bool:
    """Whether a file is there; of local files by one listing a folder."""
    backend = fileio.get_file_backend(path, backend_args=backend_args, enable_singleton=True)
    if isinstance(backend, LocalBackend):
        return exists(path)
    return fileio.isfile(path, backend_args=backend_args)
