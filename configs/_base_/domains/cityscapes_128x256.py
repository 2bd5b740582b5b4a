# Cityscapes at 128x256 with random flips: the small version for a CPU. The files are every second
# training image and the official validation set, squashed to 256x256 JPEGs; this size is again as
# wide as the scenes are.
_base_ = './cityscapes.py'
data_root = '{{$CCT_MM_DATA:data}}/cityscapes'
splits = '{{ fileDirname }}/splits/cityscapes'

cityscapes = dict(
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
    )
)  # fmt: skip

image = dict(type='LoadCheckedImage')
masks = dict(type='LoadCheckedAnnotations', num_classes=19)
resize = dict(type='Resize', scale=(256, 128), keep_ratio=False)
flip = dict(type='RandomFlip', prob=0.5)
pack = dict(type='PackSegInputs')
labeled = dict(
    type='CityscapesDataset',
    data_root=data_root,
    img_suffix='_leftImg8bit.jpg',
    data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
    pipeline=[image, masks, resize, flip, pack],
)
# The unlabeled images are the rest of the training set (the paper's D_u), without the hold-out.
unlabeled = dict(img_suffix='_leftImg8bit.jpg', pipeline=[image, resize, flip, pack])
evaluated = dict(img_suffix='_leftImg8bit.jpg', pipeline=[image, resize, masks, pack])

cityscapes_n20 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n20.txt'),
    unlabeled=dict(
        **unlabeled,
        type='CityscapesDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train'),
        ann_file=splits + '/n20_unlabeled.txt',
    ),
)
cityscapes_n50 = dict(
    labeled=labeled,
    unlabeled=dict(**unlabeled, ann_file=splits + '/n50_unlabeled.txt'),
)
cityscapes_n100 = dict(
    labeled=labeled,
    unlabeled=dict(**unlabeled, ann_file=splits + '/n100_unlabeled.txt'),
)
# All labels but the hold-out's.
cityscapes_full = dict(labeled=dict(**labeled, ann_file=splits + '/train.txt'))
cityscapes_val = dict(labeled=evaluated)
cityscapes_test = dict(labeled=evaluated)

del data_root, splits, image, masks, resize, flip, pack, labeled, unlabeled, evaluated
