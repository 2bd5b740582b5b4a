# PASCAL VOC 2012 with 21 classes at the paper's sizes: its main runs, and the smaller ones of its
# ablations (Sections 4.1 and 4.2).
# This file is the single source of truth about the domain: what the model has to know (`voc`), and
# its data. tools/dataset_converters/sbd.py writes SegmentationClassAug and the lists trainaug.txt
# (10582 images) and trainaug_rest.txt (the 9118 without those of train.txt). The lists in splits/
# are drawn from train.txt; see splits/README.md for the commands.
data_root = '{{$CCT_MM_DATA:data}}/VOCdevkit/VOC2012'
# Folder of the pseudo-labels, from the working directory.
pseudo_labels = 'work_dirs/pseudo_labels/voc'

# Class 0 is the background, so that all others are the foreground.
voc = dict(
    classes=(
        'background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat',
        'chair', 'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant',
        'sheep', 'sofa', 'train', 'tvmonitor',
    ),
)  # fmt: skip

image = dict(type='LoadCheckedImage')
# mmseg's own dataset: its samples do not tell the checked loading how many classes there are.
masks = dict(type='LoadCheckedAnnotations', num_classes=21)
pack = dict(type='PackSegInputs')
# The paper crops 321x321, its code 320x320: a multiple of the decoders' stride, 8. Crops of images
# that are smaller stay smaller; the data_preprocessor pads them (size=(320, 320)), so that padding
# stays out of every loss.
augment = [
    dict(type='RandomResize', scale=(400, 400), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(320, 320)),
    dict(type='RandomFlip', prob=0.5),
]
augment_small = [
    dict(type='RandomResize', scale=(300, 300), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(240, 240)),
    dict(type='RandomFlip', prob=0.5),
]

train = 'ImageSets/Segmentation/train.txt'
val = 'ImageSets/Segmentation/val.txt'
trainaug = 'ImageSets/Segmentation/trainaug.txt'
rest = 'ImageSets/Segmentation/trainaug_rest.txt'
labeled = dict(
    type='PascalVOCDataset',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
)
# With the masks of SBD too.
labeled_aug = dict(
    type='PascalVOCDataset',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
)
# Without a folder of masks in data_prefix none is read.
unlabeled = dict(
    type='PascalVOCDataset',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages'),
)
# No data_root: it would be put before the folder of the pseudo-labels.
pseudo_labeled = dict(
    type='PascalVOCDataset',
    data_prefix=dict(img_path=data_root + '/JPEGImages', seg_map_path=pseudo_labels),
)
# For the classifier: cls_labels.npy has the labels of all images of VOC and SBD. Packing keeps only
# the keys that are named here: those of its own default, and image_labels.
image_labels = dict(
    type='LoadImageLabels', classes=voc['classes'], path=data_root + '/cls_labels.npy'
)
pack_image_labels = dict(
    type='PackSegInputs',
    meta_keys=(
        'img_path', 'seg_map_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip',
        'flip_direction', 'reduce_zero_label', 'image_labels',
    ),
)  # fmt: skip
# At the images' own size.
evaluated = dict(test_mode=True, pipeline=[image, masks, pack])

# The ablations: n of the 1464 labels; unlabeled are all other images of trainaug.txt but the
# hold-out's.
voc_n500 = dict(
    labeled=dict(
        **labeled, ann_file='splits/n500.txt', pipeline=[image, masks, *augment_small, pack]
    ),
    unlabeled=dict(
        **unlabeled, ann_file='splits/n500_unlabeled.txt', pipeline=[image, *augment_small, pack]
    ),
)
voc_n1000 = dict(
    labeled=dict(
        **labeled, ann_file='splits/n1000.txt', pipeline=[image, masks, *augment_small, pack]
    ),
    unlabeled=dict(
        **unlabeled, ann_file='splits/n1000_unlabeled.txt', pipeline=[image, *augment_small, pack]
    ),
)
# All 1464 labels, the hold-out's too: choose by n500 or n1000, not by these.
voc_n1464 = dict(
    labeled=dict(**labeled, ann_file=train, pipeline=[image, masks, *augment, pack]),
    unlabeled=dict(**unlabeled, ann_file=rest, pipeline=[image, *augment, pack]),
)
voc_n1464_weak = dict(
    labeled=voc_n1464['labeled'],
    weak=dict(
        **pseudo_labeled,
        ann_file=data_root + '/' + rest,
        pipeline=[image, masks, *augment, pack],
    ),
)
voc_full = dict(
    labeled=dict(**labeled_aug, ann_file=trainaug, pipeline=[image, masks, *augment, pack])
)
# The classifier learns from image-level labels of all training images but the hold-out's.
voc_image_labels = dict(
    weak=dict(
        **unlabeled,
        ann_file='splits/train.txt',
        pipeline=[image, image_labels, *augment, pack_image_labels],
    )
)
voc_image_labels_val = dict(
    weak=dict(
        **unlabeled,
        ann_file='splits/val.txt',
        test_mode=True,
        pipeline=[image, image_labels, pack_image_labels],
    )
)
# 200 training images that are labeled in neither n500 nor n1000, for choosing.
voc_val = dict(labeled=dict(**labeled, **evaluated, ann_file='splits/val.txt'))
# The official validation set, on which the paper reports.
voc_test = dict(labeled=dict(**labeled, **evaluated, ann_file=val))

# Only the domain leaves this file: a config with several domains has several such bases.
del (
    data_root, pseudo_labels, image, masks, pack, augment, augment_small, train, val, trainaug,
    rest, labeled, labeled_aug, unlabeled, pseudo_labeled, image_labels, pack_image_labels,
    evaluated,
)  # fmt: skip
