"""Which mask files the sources of a dataloader read, and which class each of their values is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmcv.transforms import LoadAnnotations, LoadImageFromFile

from cct_mm.labels import IGNORE_INDEX

from .filling import is_loader, name_of
from .multi_domain import MultiDomainDataset, Source
from .transforms import label_table
from .wrappers import leaf_datasets, pipelines

KNOWN_PACKAGES = ('cct_mm', 'mmcv', 'mmseg')
"""None of their transforms gives a label another meaning after it is loaded."""


@dataclass(frozen=True)
class FileSource:
    """A list of files with the loaders that read them: a source, or a part of one.

    Args:
        name: What messages call it, as ``'train_dataloader: day, labeled source'``.
        domain: Its domain.
        supervision: One of ``SUPERVISIONS``.
        classes: The domain's.
        dataset: The dataset itself.
        transforms: All that its images go through.
        infos: What it says of each of its samples.
        image_loader: First of them that reads images; None where there is none.
        mask_loader: The transform that reads masks; None where masks are not read.
    """

    name: str
    domain: str
    supervision: str
    classes: tuple[str, ...]
    dataset: Any
    transforms: list[Callable]
    infos: list[dict]
    image_loader: LoadImageFromFile | None
    mask_loader: LoadAnnotations | None

    @property
    def is_local(self) -> bool:
        """Whether all its files are on this machine."""
        loaders = (self.image_loader, self.mask_loader)
        return not any(getattr(loader, 'backend_args', None) for loader in loaders)

    @property
    def foreign_transforms(self) -> list[str]:
        """Transforms of other packages, which may give labels another meaning."""
        return [
            name_of(transform)
            for transform in self.transforms
            if type(transform).__module__.partition('.')[0] not in KNOWN_PACKAGES
        ]

    def class_of(self, value: int) -> int:
        """Return which class a value of a mask file stands for.

        Args:
            value: Of the file.

        Returns:
            The class, 255 for none, or what is neither.
        """
        value = (getattr(self.mask_loader, 'label_map', None) or {}).get(value, value)
        return int(self._table[value]) if 0 <= value <= IGNORE_INDEX else value

    @property
    def _table(self):
        info = self.infos[0]
        return label_table(info.get('label_map'), info.get('reduce_zero_label', False))


def file_sources(dataset: MultiDomainDataset, name: str) -> tuple[list[FileSource], list[str]]:
    """List the sources of a dataset, the parts of wrapped ones each by itself.

    Args:
        dataset: Of a dataloader.
        name: What messages call the dataloader.

    Returns:
        The sources, and a sentence for each that does not tell its files.
    """
    sources, untold = [], []
    for source in dataset.sources:
        found, more = list_files(f'{name}: {source.domain}, {source.supervision} source', source)
        sources += found
        untold += more
    return sources, untold


def list_files(name: str, source: Source) -> tuple[list[FileSource], list[str]]:
    """List the files of one source, see :func:`file_sources`."""
    sources, untold = [], []
    parts = zip(leaf_datasets(source.dataset), pipelines(source.dataset), strict=True)
    for leaf, transforms in parts:
        if not hasattr(leaf, 'get_data_info') or not hasattr(leaf, 'pipeline'):
            untold.append(
                f'{name}: files are not looked at, for {type(leaf).__name__} does not name them as '
                'datasets of mmseg do (get_data_info, pipeline)'
            )
            continue
        infos = [leaf.get_data_info(i) for i in range(len(leaf))]
        if not infos or 'img_path' not in infos[0]:
            untold.append(
                f'{name}: files are not looked at, for samples of {type(leaf).__name__} have no '
                'img_path'
            )
            continue
        images = [t for t in transforms if isinstance(t, LoadImageFromFile)]
        masks = [t for t in transforms if is_loader(t)]
        if source.supervision == 'unlabeled':
            masks = []
        sources.append(
            FileSource(
                name=name,
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
