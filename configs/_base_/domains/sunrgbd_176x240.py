# SUN RGB-D at 176x240 with random flips: the small version for a CPU. The files are those of NYUv2,
# a part of SUN RGB-D, at 240x320: 795 training and 654 test images.
_base_ = './sunrgbd.py'
splits = '{{ fileDirname }}/splits/sunrgbd'

sunrgbd = dict(
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
    )
)  # fmt: skip

image = dict(type='LoadCheckedImage')
masks = dict(type='LoadCheckedAnnotations')
resize = dict(type='Resize', scale=(240, 176), keep_ratio=False)
flip = dict(type='RandomFlip', prob=0.5)
pack = dict(type='PackSegInputs')
labeled = dict(
    type='SUNRGBDDataset',
    data_root='{{$CCT_MM_DATA:data}}/SUNRGBD',
    labeled=True,
    pipeline=[image, masks, resize, flip, pack],
)
unlabeled = dict(
    type='SUNRGBDDataset',
    data_root='{{$CCT_MM_DATA:data}}/SUNRGBD',
    labeled=False,
    pipeline=[image, resize, flip, pack],
)
evaluated = dict(pipeline=[image, resize, masks, pack])

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

del splits, image, masks, resize, flip, pack, labeled, unlabeled, evaluated
