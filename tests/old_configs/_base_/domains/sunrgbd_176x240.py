# SUN RGB-D with 13 classes at 176x240 with random flips: the small version for a CPU.
# This file is the single source of truth about the domain: what the model has to know (`sunrgbd`),
# and its data: all labels, or n of them with the rest of the training set unlabeled. The files are
# those of NYUv2, a part of SUN RGB-D, at 240x320: 795 training and 654 test images.
data_root = '{{$CCT_MM_DATA:data}}/SUNRGBD'
splits = '{{ fileDirname }}/splits/sunrgbd'

sunrgbd = dict(
    classes=(
        'bed', 'books', 'ceiling', 'chair', 'floor', 'furniture', 'objects', 'picture', 'sofa',
        'table', 'tv', 'wall', 'window',
    ),
    # The paper does not say what is foreground where class 0 is no background. Chosen: the things.
    foreground=(
        'bed', 'books', 'chair', 'furniture', 'objects', 'picture', 'sofa', 'table', 'tv',
    ),
    # Cross-entropy (ab-CE without its threshold) with class weights 1 / sqrt(frequency in n20), of
    # mean 1 over pixels, for the rare classes.
    decode_head=dict(
        loss_decode=dict(
            type='AnnealedCrossEntropy',
            threshold=1.0,
            ramp_up=0.0,
            class_weight=[
                1.2, 2.41, 1.49, 1.64, 0.84, 0.81, 1.03, 2.35, 2.36, 2.38, 2.53, 0.57, 1.01,
            ],
        )
    ),
)  # fmt: skip

resize = dict(type='Resize', scale=(240, 176), keep_ratio=False)
flip = dict(type='RandomFlip', prob=0.5)
labeled = dict(
    type='SUNRGBDDataset',
    data_root=data_root,
    labeled=True,
    pipeline=[
        dict(type='LoadCheckedImage'),
        dict(type='LoadCheckedAnnotations'),
        resize,
        flip,
        dict(type='PackSegInputs'),
    ],
)
# The unlabeled images are the rest of the training set (the paper's D_u), without the hold-out;
# their masks are not read.
unlabeled = dict(
    type='SUNRGBDDataset',
    data_root=data_root,
    labeled=False,
    pipeline=[dict(type='LoadCheckedImage'), resize, flip, dict(type='PackSegInputs')],
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

sunrgbd_n20 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n20.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/n20_unlabeled.txt'),
)
sunrgbd_n50 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n50.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/n50_unlabeled.txt'),
)
sunrgbd_n100 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n100.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/n100_unlabeled.txt'),
)
# All labels but the hold-out's.
sunrgbd_full = dict(labeled=dict(**labeled, ann_file=splits + '/train.txt'))
# A hold-out of 100 training images, for choosing. Many show a room that other training images show
# too, so scores on it are no estimate of those on the test set.
sunrgbd_val = dict(labeled=dict(**evaluated, ann_file=splits + '/val.txt'))
sunrgbd_test = dict(labeled=dict(**evaluated, ann_file=splits + '/test.txt'))

# Only the domain leaves this file: a config with several domains has several such bases.
del data_root, splits, resize, flip, labeled, unlabeled, evaluated
