"""CamVid with 11 classes, in the layout of the SegNet tutorial.

``train/ trainannot/ val/ valannot/ test/ testannot/`` and lists ``train.txt val.txt test.txt`` with
lines ``train/x.png trainannot/x.png``: 367, 101 and 233 pairs of 360 x 480 pixels.
``tools/dataset_converters/camvid.py`` makes it from the original 32-class labels.
"""

from mmseg.registry import DATASETS

from .list_dataset import ListDataset


@DATASETS.register_module()
class CamVidDataset(ListDataset):
    """CamVid, 11 classes; label 11 of the files is void and is read as 255.

    The arguments are those of :class:`~cct_mm.datasets.list_dataset.ListDataset`.

    Example:
        >>> dataset = dict(type='CamVidDataset', data_root='data/CamVid', ann_file='train.txt')
    """

    METAINFO = {
        'classes': (
            'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'signsymbol', 'fence', 'car',
            'pedestrian', 'bicyclist',
        ),
        'palette': [
            [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222],
            [128, 128, 0], [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
            [0, 128, 192],
        ],
    }  # fmt: skip
    DATASET_NAME = 'camvid'
    VOID_LABELS = (11,)
    LABEL_HINT = 'is this the 32-class CamVid? run tools/dataset_converters/camvid.py'
    SOURCE_HINT = (
        'expected the layout of the SegNet tutorial; tools/dataset_converters/camvid.py makes it '
        'from the original CamVid'
    )
