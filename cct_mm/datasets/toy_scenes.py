"""ToyScenes: two small rendered domains for demonstrations and tests that need no download.

``tools/make_toy_scenes.py`` renders and writes them; here is what reads them.
"""

from collections.abc import Sequence

from mmseg.registry import DATASETS

from .list_dataset import ListDataset

DOMAINS = {
    'day': {
        'classes': ('sky', 'ground', 'tree', 'house', 'car'),
        'palette': [[120, 180, 240], [150, 120, 80], [40, 140, 40], [190, 60, 40], [240, 200, 0]],
    },
    'night': {
        'classes': ('sky', 'ground', 'tree', 'lamp', 'person'),
        'palette': [[20, 30, 90], [90, 80, 70], [20, 90, 50], [255, 240, 150], [220, 60, 160]],
    },
}
"""Metainfo of each domain, by its name."""
FOREGROUND = {'day': ('tree', 'house', 'car'), 'night': ('tree', 'lamp', 'person')}
"""The things of each domain; sky and ground are what they stand in front of and on."""


@DATASETS.register_module()
class ToyScenesDataset(ListDataset):
    """One domain of ToyScenes.

    Args:
        domain: ``'day'`` or ``'night'``; selects classes and palette.
        metainfo: Replaces entries of the domain's metainfo; fewer classes, for example.
        **kwargs: Arguments of :class:`~cct_mm.datasets.list_dataset.ListDataset`; ``data_root`` is
            the folder of the domain.

    Raises:
        ValueError: There is no such domain.

    Example:
        >>> dataset = dict(
        ...     type='ToyScenesDataset', domain='night', data_root='data/ToyScenes/night',
        ...     ann_file='n12.txt')
    """

    LABEL_HINT = (
        'write the data again with tools/make_toy_scenes.py --force (ToyScenesDemo: --demo)'
    )
    SOURCE_HINT = 'write the data with tools/make_toy_scenes.py (ToyScenesDemo: with --demo)'

    def __init__(self, domain: str, metainfo: dict | None = None, **kwargs) -> None:
        check_domain(domain)
        self.domain = domain
        kwargs.setdefault('dataset_name', f'toy_scenes {domain}')
        super().__init__(metainfo={**DOMAINS[domain], **(metainfo or {})}, **kwargs)

    def get_label_map(self, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Return the map from the domain's labels to those of the classes in use."""
        # The base asks a class for its METAINFO; here the classes depend on the instance.
        domain = type(self.domain, (ListDataset,), {'METAINFO': DOMAINS[self.domain]})
        return domain.get_label_map(new_classes)


def check_domain(domain: str) -> None:
    """Raise a ValueError if there is no such domain."""
    if domain not in DOMAINS:
        raise ValueError(f'domain {domain!r} is unknown, expected one of {list(DOMAINS)}')
