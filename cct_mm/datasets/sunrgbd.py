"""SUN RGB-D with 13 classes, color images only.

``image/train/x.jpg label13/train/x.png``, the same for ``test``, and lists ``train.txt test.txt``
with lines ``image/train/x.jpg label13/train/x.png``: 5285 and 5050 pairs. NYUv2, which is part of
it, comes in the same layout: 795 and 654 pairs. ``tools/dataset_converters/sunrgbd.py`` makes both.
"""

from mmseg.registry import DATASETS

from .list_dataset import ListDataset


@DATASETS.register_module()
class SUNRGBDDataset(ListDataset):
    """SUN RGB-D, 13 classes; labels 1-13 of the files become 0-12, and their 0 is void.

    Args:
        reduce_zero_label: Whether label 0 of the files becomes 255 and all others are reduced by
            one. False suits masks that hold 0-12 and 255 already.
        **kwargs: Arguments of :class:`~cct_mm.datasets.list_dataset.ListDataset`.

    Example:
        >>> dataset = dict(type='SUNRGBDDataset', data_root='data/SUNRGBD', ann_file='train.txt')
    """

    METAINFO = {
        'classes': (
            'bed', 'books', 'ceiling', 'chair', 'floor', 'furniture', 'objects', 'picture', 'sofa',
            'table', 'tv', 'wall', 'window',
        ),
        'palette': [
            [0, 0, 255], [233, 89, 48], [0, 218, 0], [149, 0, 240], [222, 241, 24],
            [255, 206, 206], [0, 224, 229], [106, 136, 204], [117, 29, 41], [240, 35, 235],
            [0, 167, 156], [249, 139, 0], [225, 229, 194],
        ],
    }  # fmt: skip
    DATASET_NAME = 'sunrgbd'
    LABEL_HINT = 'is this the 37-class SUN RGB-D? run tools/dataset_converters/sunrgbd.py'
    SOURCE_HINT = (
        'expected image/, label13/ and their lists; tools/dataset_converters/sunrgbd.py makes them '
        'from SUN RGB-D or NYUv2'
    )

    def __init__(self, reduce_zero_label: bool = True, **kwargs) -> None:
        super().__init__(reduce_zero_label=reduce_zero_label, **kwargs)
