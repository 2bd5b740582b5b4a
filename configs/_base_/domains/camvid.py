# CamVid with 11 classes at the paper's size, 360x480, without augmentation (Section 4.3).
# This file says all about the domain: what the model has to know (`camvid`),
# and its data: all labels, or n of them with the rest of the training set unlabeled.
# Without this line mmengine takes a file that imports for one of its other kind of config.
_base_ = []
from cct_mm.datasets import CamVidDataset

data_root = '{{$CCT_MM_DATA:data}}/CamVid'
splits = '{{ fileDirname }}/splits/camvid'

camvid = dict(
    classes=CamVidDataset.METAINFO['classes'],
    # The paper does not say what is foreground where class 0 is no background. Chosen: the things.
    foreground=('pole', 'signsymbol', 'car', 'pedestrian', 'bicyclist'),
)  # fmt: skip

resize = dict(type='Resize', scale=(480, 360), keep_ratio=False)
labeled = dict(
    type='CamVidDataset',
    data_root=data_root,
    labeled=True,
    pipeline=[
        dict(type='LoadCheckedImage'),
        dict(type='LoadCheckedAnnotations'),
        resize,
        dict(type='PackSegInputs'),
    ],
)
# The unlabeled images are the rest of the training set (the paper's D_u); their masks are not read.
unlabeled = dict(
    type='CamVidDataset',
    data_root=data_root,
    labeled=False,
    pipeline=[dict(type='LoadCheckedImage'), resize, dict(type='PackSegInputs')],
)
# Evaluated against the labels at their own size, to which the logits are resized.
evaluated = dict(
    type='CamVidDataset',
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

camvid_n20 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n20.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/n20_unlabeled.txt'),
)
camvid_n50 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n50.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/n50_unlabeled.txt'),
)
camvid_n100 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n100.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/n100_unlabeled.txt'),
)
# Two more draws of 20 images, to see how much depends on which they are.
camvid_n20_seed1 = dict(
    labeled=dict(**labeled, ann_file=splits + '/seed1/n20.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/seed1/n20_unlabeled.txt'),
)
camvid_n20_seed2 = dict(
    labeled=dict(**labeled, ann_file=splits + '/seed2/n20.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/seed2/n20_unlabeled.txt'),
)
# Of the two sequences that have no validation images, so that validation is on streets as unknown
# as most of the test images are.
camvid_n20_other_sequences = dict(
    labeled=dict(**labeled, ann_file=splits + '/other_sequences/n20.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/other_sequences/n20_unlabeled.txt'),
)
camvid_full = dict(labeled=dict(**labeled, ann_file='train.txt'))
camvid_val = dict(labeled=dict(**evaluated, ann_file='val.txt'))
camvid_test = dict(labeled=dict(**evaluated, ann_file='test.txt'))

# Only the domain leaves this file: a config with several domains has several such bases.
del CamVidDataset, data_root, splits, resize, labeled, unlabeled, evaluated
