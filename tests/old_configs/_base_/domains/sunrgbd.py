# SUN RGB-D with 13 classes at the paper's size, 480x640, without augmentation (Section 4.3).
# This file is the single source of truth about the domain: what the model has to know (`sunrgbd`),
# and its data: all labels, or n of them with the rest of the training set unlabeled.
# tools/dataset_converters/sunrgbd.py makes the data; then the lists, 500 images held out first:
#   python tools/make_splits.py --data-root data/SUNRGBD --list train.txt --sizes 500 --seed 1 \
#       --out data/SUNRGBD/holdout
#   grep -vxFf data/SUNRGBD/holdout/n500.txt data/SUNRGBD/train.txt > data/SUNRGBD/holdout/rest.txt
#   python tools/make_splits.py --data-root data/SUNRGBD --list holdout/rest.txt --sizes 1500 \
#       --balanced --num-classes 14 --ignore 0 255 --out data/SUNRGBD/splits
data_root = '{{$CCT_MM_DATA:data}}/SUNRGBD'

sunrgbd = dict(
    classes=(
        'bed', 'books', 'ceiling', 'chair', 'floor', 'furniture', 'objects', 'picture', 'sofa',
        'table', 'tv', 'wall', 'window',
    ),
    # The paper does not say what is foreground where class 0 is no background. Chosen: the things.
    foreground=(
        'bed', 'books', 'chair', 'furniture', 'objects', 'picture', 'sofa', 'table', 'tv',
    ),
)  # fmt: skip

resize = dict(type='Resize', scale=(640, 480), keep_ratio=False)
labeled = dict(
    type='SUNRGBDDataset',
    data_root=data_root,
    labeled=True,
    pipeline=[
        dict(type='LoadCheckedImage'),
        dict(type='LoadCheckedAnnotations'),
        resize,
        dict(type='PackSegInputs'),
    ],
)
# The unlabeled images are the rest of the training set (the paper's D_u), without the hold-out;
# their masks are not read.
unlabeled = dict(
    type='SUNRGBDDataset',
    data_root=data_root,
    labeled=False,
    pipeline=[dict(type='LoadCheckedImage'), resize, dict(type='PackSegInputs')],
)
# Evaluated against the labels at their own size, to which the logits are resized.
evaluated = dict(
    type='SUNRGBDDataset',
    data_root=data_root,
    labeled=True,
    test_mode=True,
    pipeline=[
        dict(type='LoadCheckedImage'),
        resize,
        dict(type='LoadCheckedAnnotations'),
        dict(type='PackSegInputs'),
    ],
)

sunrgbd_n1500 = dict(
    labeled=dict(**labeled, ann_file='splits/n1500.txt'),
    unlabeled=dict(**unlabeled, ann_file='splits/n1500_unlabeled.txt'),
)
# All labels but the hold-out's.
sunrgbd_full = dict(labeled=dict(**labeled, ann_file='holdout/rest.txt'))
# The hold-out, for choosing.
sunrgbd_val = dict(labeled=dict(**evaluated, ann_file='holdout/n500.txt'))
sunrgbd_test = dict(labeled=dict(**evaluated, ann_file='test.txt'))

# Only the domain leaves this file: a config with several domains has several such bases.
del data_root, resize, labeled, unlabeled, evaluated
