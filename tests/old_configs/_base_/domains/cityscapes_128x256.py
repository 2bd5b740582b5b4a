# Cityscapes with 19 classes at 128x256 with random flips: the small version for a CPU.
# This file is the single source of truth about the domain: what the model has to know
# (`cityscapes`), and its data: all labels, or n of them with the rest of the training set
# unlabeled. The files are every second training image and the official validation set, squashed to
# 256x256 JPEGs; this size is again as wide as the scenes are.
data_root = '{{$CCT_MM_DATA:data}}/cityscapes'
splits = '{{ fileDirname }}/splits/cityscapes'

cityscapes = dict(
    classes=(
        'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign',
        'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train',
        'motorcycle', 'bicycle',
    ),
    # The paper does not say what is foreground where class 0 is no background. Chosen: the things.
    foreground=(
        'pole', 'traffic light', 'traffic sign', 'person', 'rider', 'car', 'truck', 'bus', 'train',
        'motorcycle', 'bicycle',
    ),
    # Cross-entropy (ab-CE without its threshold) with class weights 1 / sqrt(frequency in n20), of
    # mean 1 over pixels, for the rare classes.
    decode_head=dict(
        loss_decode=dict(
            type='AnnealedCrossEntropy',
            threshold=1.0,
            ramp_up=0.0,
            class_weight=[
                0.53, 1.21, 0.65, 3.8, 4.32, 3.16, 6.15, 4.25, 0.81, 1.97, 1.49, 3.21, 6.33, 1.39,
                2.4, 7.0, 11.82, 8.79, 3.25,
            ],
        )
    ),
)  # fmt: skip

resize = dict(type='Resize', scale=(256, 128), keep_ratio=False)
flip = dict(type='RandomFlip', prob=0.5)
# mmseg's own dataset: its samples do not tell the checked loading how many classes there are.
masks = dict(type='LoadCheckedAnnotations', num_classes=19)
train = dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')
val = dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val')
labeled = dict(
    type='CityscapesDataset',
    data_root=data_root,
    img_suffix='_leftImg8bit.jpg',
    data_prefix=train,
    pipeline=[
        dict(type='LoadCheckedImage'),
        masks,
        resize,
        flip,
        dict(type='PackSegInputs'),
    ],
)
# The unlabeled images are the rest of the training set (the paper's D_u), without the hold-out;
# without a folder of masks in data_prefix none is read.
unlabeled = dict(
    type='CityscapesDataset',
    data_root=data_root,
    img_suffix='_leftImg8bit.jpg',
    data_prefix=dict(img_path='leftImg8bit/train'),
    pipeline=[dict(type='LoadCheckedImage'), resize, flip, dict(type='PackSegInputs')],
)
# Evaluated against the labels at their own size, to which the logits are resized.
evaluated = dict(
    type='CityscapesDataset',
    data_root=data_root,
    img_suffix='_leftImg8bit.jpg',
    test_mode=True,
    pipeline=[
        dict(type='LoadCheckedImage'),
        resize,
        masks,
        dict(type='PackSegInputs'),
    ],
)

cityscapes_n20 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n20.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/n20_unlabeled.txt'),
)
cityscapes_n50 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n50.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/n50_unlabeled.txt'),
)
cityscapes_n100 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n100.txt'),
    unlabeled=dict(**unlabeled, ann_file=splits + '/n100_unlabeled.txt'),
)
# All labels but the hold-out's.
cityscapes_full = dict(labeled=dict(**labeled, ann_file=splits + '/train.txt'))
# A hold-out of 200 training images, for choosing.
cityscapes_val = dict(labeled=dict(**evaluated, data_prefix=train, ann_file=splits + '/val.txt'))
# The official validation set, on which the paper reports.
cityscapes_test = dict(labeled=dict(**evaluated, data_prefix=val))

# Only the domain leaves this file: a config with several domains has several such bases.
del data_root, splits, resize, flip, masks, train, val, labeled, unlabeled, evaluated
