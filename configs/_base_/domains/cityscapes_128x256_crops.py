# Cityscapes at 128x256, trained on crops of that size from images 1 to 2 times as large, labeled
# and unlabeled alike. Flip and colors are those of augmentations/flip_colors.py.
_base_ = './cityscapes_128x256.py'

image = dict(type='LoadCheckedImage')
masks = dict(type='LoadCheckedAnnotations', num_classes=19)
scale = dict(type='RandomResize', scale=(256, 128), ratio_range=(1.0, 2.0), keep_ratio=False)
crop = dict(type='RandomCrop', crop_size=(128, 256))
pack = dict(type='PackSegInputs')
labeled = dict(pipeline=[image, masks, scale, crop, pack])
unlabeled = dict(pipeline=[image, scale, crop, pack])

cityscapes_n20 = dict(labeled=labeled, unlabeled=unlabeled)
cityscapes_n50 = dict(labeled=labeled, unlabeled=unlabeled)
cityscapes_n100 = dict(labeled=labeled, unlabeled=unlabeled)
cityscapes_full = dict(labeled=labeled)

del image, masks, scale, crop, pack, labeled, unlabeled
