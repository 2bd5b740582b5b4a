"""Building the data set of a source, and saying what is wrong with its config."""

import os.path as osp
from collections.abc import Iterator, Mapping
from typing import Any

from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from cct_mm.labels import SUPERVISIONS
from cct_mm.names import check_domain_name

from ..wrappers import leaf_datasets

_FREE_IN_CONCAT = ('label_map', 'reduce_zero_label')
"""Entries of metainfo that may differ between concatenated data sets: each applies its own."""


def check_domains(domains: Any) -> Mapping[str, Mapping[str, dict]]:
    """Return the configs of all sources as they are given, after a check of their names.

    Raises:
        ValueError: If there is no domain, a domain has no sources or an impossible name, or a
            source is of an unknown kind.
    """
    wanted = "dict(NAME=dict(labeled=dict(type='...')))"
    if not isinstance(domains, Mapping) or not domains:
        raise ValueError(f'MultiDomainDataset: domains={domains!r}, expected {wanted}')
    for name, sources in domains.items():
        if not isinstance(sources, Mapping) or not sources:
            raise ValueError(
                f'MultiDomainDataset: domain {name} has the sources {sources!r}, expected {wanted}'
            )
    return domains


def check_names(domain: str, sources: Mapping[str, dict]) -> None:
    """Check the name of a domain and the kinds of its sources.

    Raises:
        ValueError: If the name is impossible, or a kind is unknown.
    """
    check_domain_name(domain)
    for supervision in sources:
        if supervision not in SUPERVISIONS:
            raise ValueError(
                f'MultiDomainDataset: domain {domain} has a source {supervision!r}, expected one '
                f'of {", ".join(SUPERVISIONS)}'
            )


def augmented(name: str, config: Any, transforms: list[dict]) -> Any:
    """Return the config of a source whose images go through transforms before they are packed.

    Args:
        name: What errors call the source.
        config: As for :func:`build_source`.
        transforms: Configs of the transforms, in their order.

    Raises:
        ValueError: If a pipeline does not pack its images.
    """
    if not isinstance(config, Mapping):
        return config
    config = dict(config)
    steps = list(config.get('pipeline') or ())
    kinds = [str(step.get('type', '')).rpartition('.')[2] for step in steps]
    if 'PackSegInputs' in kinds:
        # Of a MultiImageMixDataset, too, which packs what it has mixed.
        end = kinds.index('PackSegInputs')
        config['pipeline'] = [*steps[:end], *transforms, *steps[end:]]
    elif 'dataset' in config:
        config['dataset'] = augmented(name, config['dataset'], transforms)
    elif isinstance(config.get('datasets'), (list, tuple)):
        config['datasets'] = [augmented(name, part, transforms) for part in config['datasets']]
    else:
        raise ValueError(
            f'{name}: its pipeline has the transforms {kinds}, expected PackSegInputs, before '
            "which the augmentation comes; end it with dict(type='PackSegInputs')"
        )
    return config


def build_source(name: str, config: Mapping[str, Any]) -> Dataset:
    """Build the data set of a source.

    Args:
        name: What errors call the source.
        config: The config of an mmseg data set or of a wrapper around some.

    Raises:
        ValueError: If it is not the config of one data set, or a data set refuses its arguments.
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
    config = _prepared(name, config)
    try:
        dataset = DATASETS.build(config)
        # Data sets with lazy_init read their lists here.
        for part in (*leaf_datasets(dataset), dataset):
            if hasattr(part, 'full_init'):
                part.full_init()
    except (NotImplementedError, ValueError, AssertionError, OSError) as error:
        known = _explained(name, config, error)
        if known is None:
            raise
        raise known from error
    return dataset


def _explained(name: str, config: Mapping[str, Any], error: Exception) -> Exception | None:
    """Return what to raise for an error of mmseg's or mmengine's; None for one that says it."""
    if isinstance(error, NotImplementedError):
        return ValueError(
            f'{name}: {error}; ClassBalancedDataset asks which classes an image shows, which '
            'mmseg and ListDataset do not tell: leave ClassBalancedDataset out, or derive a data '
            'set with get_cat_ids'
        )
    if isinstance(error, UnicodeDecodeError):
        return ValueError(
            f'{name}: a list of {config["type"]} is no text in UTF-8 ({error.reason} at byte '
            f'{error.start}): {config.get("ann_file")!r}; convert it, e.g. from the encoding of '
            'Western Windows: iconv -f CP1252 -t UTF-8 LIST > new.txt'
        )
    if isinstance(error, ValueError):
        # What NumPy says to mmengine, which packs a list of no images.
        empty = 'need at least one array' in str(error)
        return ValueError(no_images(name, config)) if empty else None
    # mmseg asserts that files are there, often without a message. Errors of the system have a
    # number, those of ListDataset have none and say what is missing.
    if isinstance(error, OSError) and error.errno is None:
        return None
    missing = list(_missing_paths(config))
    found = ', '.join(f'{key}={path!r} does not exist' for key, path in missing)
    return (FileNotFoundError if missing else ValueError)(
        f'{name}: {config["type"]} refuses its arguments: {found or error or "no reason given"}'
        '; check data_root, ann_file and data_prefix'
    )


def no_images(name: str, settings: Mapping[str, Any]) -> str:
    """Say that a data set has no images, and where it has looked for them."""
    suffix = settings.get('img_suffix')
    return (
        f'{name}: no images, expected at least one; look at its data_root and ann_file: '
        f'{settings.get("data_root")!r}, {settings.get("ann_file", "")!r}'
    ) + (f', and its img_suffix: {suffix!r}' if suffix else '')


def _prepared(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config with wrappers that accept what each data set handles by itself."""
    config = dict(config)
    kind = config.get('type')
    kind = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
    kind = kind.rpartition('.')[2]
    _check_wrapper(name, kind, config)
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


def _check_wrapper(name: str, kind: str, config: Mapping[str, Any]) -> None:
    if kind == 'ConcatDataset' and not config.get('datasets'):
        raise ValueError(f'{name}: a ConcatDataset of no data sets, expected at least one')
    times = config.get('times')
    if kind == 'RepeatDataset' and not (isinstance(times, int) and times > 0):
        raise ValueError(
            f'{name}: a RepeatDataset with times={times!r}, expected a whole number above 0'
        )
    if 'domains' in config:
        raise ValueError(
            f'{name}: it is a {kind} with domains, expected a data set of one domain; give its '
            "domains to the outer one's `domains`"
        )


def _missing_paths(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the paths that a config names and that do not exist."""
    root = config.get('data_root') or ''
    paths = {'data_root': root, 'ann_file': osp.join(root, config.get('ann_file') or '')}
    for key, value in (config.get('data_prefix') or {}).items():
        paths[f'data_prefix.{key}'] = osp.join(root, value or '')
    yield from ((key, path) for key, path in paths.items() if path and not osp.exists(path))
    for part in (config.get('dataset'), *(config.get('datasets') or ())):
        if isinstance(part, Mapping):
            yield from _missing_paths(part)
