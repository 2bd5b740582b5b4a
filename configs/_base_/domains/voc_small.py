# PASCAL VOC 2012 with 9 classes, crops of 192x192 at a long side of 240: the small version for a
# CPU.
# This file says all about the domain: what the model has to know (`voc`), and its data. These are
# 455 training images, most of them of animals, 400 more without labels and 463 images of VOC's
# validation set, with the classes that occur often enough; all others are ignored.
data_root = '{{$CCT_MM_DATA:data}}/VOCdevkit/VOC2012'
splits = '{{ fileDirname }}/splits/voc'
# Folder of the pseudo-labels, from the working directory.
pseudo_labels = 'work_dirs/pseudo_labels/voc_small'

# Class 0 is the background, so that all others are the foreground.
voc = dict(
    classes=(
        'background', 'cat', 'chair', 'cow', 'dog', 'horse', 'person', 'sheep', 'sofa',
    ),
    # Cross-entropy (ab-CE without its threshold) with class weights 1 / sqrt(frequency in n100), of
    # mean 1 over pixels, for the rare classes.
    decode_head=dict(
        loss_decode=dict(
            type='AnnealedCrossEntropy',
            threshold=1.0,
            ramp_up=0.0,
            class_weight=[0.51, 1.5, 3.36, 2.61, 2.01, 2.12, 2.6, 2.08, 2.55],
        )
    ),
)  # fmt: skip
metainfo = dict(
    classes=voc['classes'],
    palette=[
        [0, 0, 0], [64, 0, 0], [192, 0, 0], [64, 128, 0], [64, 0, 128], [192, 0, 128],
        [192, 128, 128], [128, 64, 0], [0, 192, 0],
    ],
)  # fmt: skip

image = dict(type='LoadCheckedImage')
# mmseg's own dataset: its samples do not tell the checked loading how many classes there are.
masks = dict(type='LoadCheckedAnnotations', num_classes=9)
pack = dict(type='PackSegInputs')
# Crops of images that are smaller stay smaller; the data_preprocessor pads them
# (size=(192, 192)), so that padding stays out of every loss.
augment = [
    dict(type='RandomResize', scale=(240, 240), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(192, 192)),
    dict(type='RandomFlip', prob=0.5),
]
resize = dict(type='Resize', scale=(240, 240), keep_ratio=True)

labeled = dict(
    type='PascalVOCDataset',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    metainfo=metainfo,
)
# Without a folder of masks in data_prefix none is read.
unlabeled = dict(
    type='PascalVOCDataset',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages'),
    metainfo=metainfo,
)
# Pseudo-labels are files like VOC's masks, with the labels of its 21 classes. No data_root: it
# would be put before the folder of the pseudo-labels.
pseudo_labeled = dict(
    type='PascalVOCDataset',
    data_prefix=dict(img_path=data_root + '/JPEGImages', seg_map_path=pseudo_labels),
    metainfo=metainfo,
)
# For the classifier: labels of the 20 classes, of which those of the domain are taken. Packing
# keeps only the keys that are named here: those of its own default, and image_labels.
image_labels = dict(
    type='LoadImageLabels',
    classes=voc['classes'],
    path=data_root + '/cls_labels.npy',
    file_classes=(
        'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow',
        'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa',
        'train', 'tvmonitor',
    ),
)  # fmt: skip
pack_image_labels = dict(
    type='PackSegInputs',
    meta_keys=(
        'img_path', 'seg_map_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip',
        'flip_direction', 'reduce_zero_label', 'image_labels',
    ),
)  # fmt: skip
# Evaluated against the labels at their own size, to which the logits are resized.
evaluated = dict(test_mode=True, pipeline=[image, resize, masks, pack])

voc_n100 = dict(
    labeled=dict(**labeled, ann_file=splits + '/n100.txt', pipeline=[image, masks, *augment, pack]),
    unlabeled=dict(
        **unlabeled, ann_file=splits + '/n100_unlabeled.txt', pipeline=[image, *augment, pack]
    ),
)
# The images that are unlabeled above, with their image-level labels, and whether these are all that
# is in them: then y^u is among them.
pack_named = dict(
    type='PackSegInputs',
    meta_keys=(*pack_image_labels['meta_keys'], 'image_labels_complete'),
)
voc_n100_image_labels = dict(
    labeled=voc_n100['labeled'],
    unlabeled=dict(
        **unlabeled,
        ann_file=splits + '/n100_unlabeled.txt',
        pipeline=[image, image_labels, *augment, pack_named],
    ),
)
# The images that are unlabeled above, with the pseudo-labels made from image-level labels.
voc_n100_weak = dict(
    labeled=voc_n100['labeled'],
    weak=dict(
        **pseudo_labeled,
        ann_file=splits + '/n100_unlabeled.txt',
        pipeline=[image, masks, *augment, pack],
    ),
)
# The classifier learns from image-level labels of all training images but the hold-out's.
voc_image_labels = dict(
    weak=dict(
        **unlabeled,
        ann_file=splits + '/train.txt',
        pipeline=[image, image_labels, *augment, pack_image_labels],
    )
)
voc_image_labels_val = dict(
    weak=dict(
        **unlabeled,
        ann_file=splits + '/val.txt',
        test_mode=True,
        pipeline=[image, image_labels, resize, pack_image_labels],
    )
)
# A hold-out of 100 training images, for choosing.
voc_val = dict(labeled=dict(**labeled, **evaluated, ann_file=splits + '/val.txt'))
# 463 images of the official validation set, on which is reported.
voc_test = dict(labeled=dict(**labeled, **evaluated, ann_file=splits + '/test.txt'))

# Only the domain leaves this file: a config with several domains has several such bases.
del (
    data_root, splits, pseudo_labels, metainfo, image, masks, pack, augment, resize, labeled,
    unlabeled, pseudo_labeled, image_labels, pack_image_labels, pack_named, evaluated,
)  # fmt: skip
