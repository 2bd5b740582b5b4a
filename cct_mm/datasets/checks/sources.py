"""Which files the sources of a dataloader read, and which class each value of their masks is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmcv.transforms import LoadAnnotations, LoadImageFromFile

from cct_mm.labels import IGNORE_INDEX

from ..filling import is_loader, name_of
from ..multi_domain import MultiDomainDataset, Source
from ..transforms import label_table
from ..wrappers import leaf_datasets, pipelines
from .findings import Finding

KNOWN_PACKAGES = ('cct_mm', 'mmcv', 'mmseg')
"""None of their transforms gives a label another meaning after it is loaded."""


@dataclass(frozen=True)
class FileSource:
    """A list of files with the loaders that read them: a source, or a part of a wrapped one."""

    split: str  # 'train', 'val' or 'test'
    domain: str
    supervision: str  # one of cct_mm.labels.SUPERVISIONS
    classes: tuple[str, ...]  # of the domain
    dataset: Any
    transforms: list[Callable]  # all that its images go through
    infos: list[dict]  # what the dataset says of each of its samples
    image_loader: LoadImageFromFile | None  # the first transform that reads images
    mask_loader: LoadAnnotations | None  # None where masks are not read

    @property
    def name(self) -> str:
        """What messages call it."""
        return source_name(self.split, self.domain, self.supervision)

    @property
    def is_local(self) -> bool:
        """Whether all its files are on this machine."""
        loaders = (self.image_loader, self.mask_loader)
        return not any(getattr(loader, 'backend_args', None) for loader in loaders)

    @property
    def foreign_transforms(self) -> list[str]:
        """Names of the transforms of other packages, which may give labels another meaning."""
        return [
            name_of(transform)
            for transform in self.transforms
            if type(transform).__module__.partition('.')[0] not in KNOWN_PACKAGES
        ]

    def class_of(self, value: int) -> int:
        """Return the class that a value of a mask file stands for.

        Returns:
            A class, 255 for no label, or a number that is neither.
        """
        value = (getattr(self.mask_loader, 'label_map', None) or {}).get(value, value)
        info = self.infos[0]
        table = label_table(info.get('label_map'), info.get('reduce_zero_label', False))
        return int(table[value]) if 0 <= value <= IGNORE_INDEX else value


def source_name(split: str, domain: str, supervision: str) -> str:
    """Return what messages call a source, such as ``'train_dataloader: day, labeled source'``."""
    return f'{split}_dataloader: {domain}, {supervision} source'


def file_sources(dataset: MultiDomainDataset, split: str) -> tuple[list[FileSource], list[Finding]]:
    """List the sources of a dataset, with the parts of wrapped ones each by itself.

    Args:
        dataset: The dataset of a dataloader.
        split: ``'train'``, ``'val'`` or ``'test'``.

    Returns:
        The sources, and a note on each dataset that does not name its files.
    """
    sources, untold = [], []
    for source in dataset.sources:
        found, more = list_files(source, split)
        sources += found
        untold += more
    return sources, untold


def list_files(source: Source, split: str) -> tuple[list[FileSource], list[Finding]]:
    """List the files of a single source, see :func:`file_sources`."""
    sources, untold = [], []
    parts = zip(leaf_datasets(source.dataset), pipelines(source.dataset), strict=True)
    for leaf, transforms in parts:
        infos, why = [], 'it does not name them as datasets of mmseg do (get_data_info, pipeline)'
        if hasattr(leaf, 'get_data_info') and hasattr(leaf, 'pipeline'):
            infos = [leaf.get_data_info(i) for i in range(len(leaf))]
            why = 'its samples have no img_path'
        if not infos or 'img_path' not in infos[0]:
            name = source_name(split, source.domain, source.supervision)
            message = f'the files of {type(leaf).__name__} are not checked, because {why}'
            untold.append(Finding(name, 'source', message))
            continue
        images = [t for t in transforms if isinstance(t, LoadImageFromFile)]
        masks = [t for t in transforms if is_loader(t) and source.supervision != 'unlabeled']
        sources.append(
            FileSource(
                split=split,
                domain=source.domain,
                supervision=source.supervision,
                classes=tuple(source.dataset.metainfo['classes']),
                dataset=leaf,
                transforms=transforms,
                infos=infos,
                image_loader=images[0] if images else None,
                mask_loader=masks[0] if masks else None,
            )
        )
    return sources, untold
