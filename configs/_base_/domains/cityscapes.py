# Cityscapes with 19 classes at the paper's size, 512x1024, without augmentation (Section 4.3).
# This file says all about the domain: what the model has to know
# (`cityscapes`), and its data: all labels, or n of them with the training set unlabeled. The layout
# is the official one, with the masks *_gtFine_labelTrainIds.png that cityscapesscripts makes.
# Without this line mmengine takes a file that imports for one of its other kind of config.
_base_ = []
from mmseg.datasets import CityscapesDataset

data_root = '{{$CCT_MM_DATA:data}}/cityscapes'
splits = '{{ fileDirname }}/splits/cityscapes'

cityscapes = dict(
    classes=CityscapesDataset.METAINFO['classes'],
    # The paper does not say what is foreground where class 0 is no background. Chosen: the things.
    foreground=(
        'pole', 'traffic light', 'traffic sign', 'person', 'rider', 'car', 'truck', 'bus', 'train',
        'motorcycle', 'bicycle',
    ),
)  # fmt: skip

resize = dict(type='Resize', scale=(1024, 512), keep_ratio=False)
# mmseg's own dataset: its samples do not tell the checked loading how many classes there are.
masks = dict(type='LoadCheckedAnnotations', num_classes=19)
train = dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')
val = dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val')
labeled = dict(
    type='CityscapesDataset',
    data_root=data_root,
    data_prefix=train,
    pipeline=[
        dict(type='LoadCheckedImage'),
        masks,
        resize,
        dict(type='PackSegInputs'),
    ],
)
# All 2975 images of the training set, as in the paper, those with labels and those of the hold-out
# among them; without a folder of masks in data_prefix none is read. CCT sees the hold-out's images
# that way and the baseline does not: choose settings of one method by it, not between the two. The
# n labeled images and the hold-out come from the half of the set that cityscapes_128x256.py has, so
# that both sizes share them.
unlabeled = dict(
    type='CityscapesDataset',
    data_root=data_root,
    data_prefix=dict(img_path='leftImg8bit/train'),
    pipeline=[dict(type='LoadCheckedImage'), resize, dict(type='PackSegInputs')],
)
# Evaluated against the labels at their own size, 1024x2048, to which the logits are resized: as
# mmseg does, so that scores of other input sizes compare. (The paper evaluates at 512x1024.)
evaluated = dict(
    type='CityscapesDataset',
    data_root=data_root,
    test_mode=True,
    pipeline=[
        dict(type='LoadCheckedImage'),
        resize,
        masks,
        dict(type='PackSegInputs'),
    ],
)

cityscapes_n50 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n50.txt'),
    unlabeled=unlabeled,
)
cityscapes_n100 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n100.txt'),
    unlabeled=unlabeled,
)
# Lists of your own, as stems, in data/cityscapes/splits; see splits/README.md for the commands.
cityscapes_n1500 = dict(
    labeled=dict(**labeled, ann_file='splits/n1500.txt'),
    unlabeled=unlabeled,
)
# The whole training set, the hold-out's labels too: choose by n50 or n100, not by this one.
cityscapes_full = dict(labeled=labeled)
# 200 training images that are labeled in neither n50 nor n100, for choosing.
cityscapes_val = dict(labeled=dict(**evaluated, data_prefix=train, ann_file=splits + '/val.txt'))
# The official validation set, on which the paper reports.
cityscapes_test = dict(labeled=dict(**evaluated, data_prefix=val))

# Only the domain leaves this file: a config with several domains has several such bases.
del CityscapesDataset, data_root, splits, resize, masks, train, val, labeled, unlabeled, evaluated
