# CamVid at 176x240, trained on crops of that size from images 1 to 2 times as large, labeled and
# unlabeled alike. Flip and colors are those of augmentations/flip_colors.py.
_base_ = './camvid_176x240.py'

image = dict(type='LoadCheckedImage')
masks = dict(type='LoadCheckedAnnotations')
scale = dict(type='RandomResize', scale=(240, 176), ratio_range=(1.0, 2.0), keep_ratio=False)
crop = dict(type='RandomCrop', crop_size=(176, 240))
pack = dict(type='PackSegInputs')
labeled = dict(pipeline=[image, masks, scale, crop, pack])
unlabeled = dict(pipeline=[image, scale, crop, pack])

camvid_n20 = dict(labeled=labeled, unlabeled=unlabeled)
camvid_n50 = dict(labeled=labeled, unlabeled=unlabeled)
camvid_n100 = dict(labeled=labeled, unlabeled=unlabeled)
camvid_n20_seed1 = dict(labeled=labeled, unlabeled=unlabeled)
camvid_n20_seed2 = dict(labeled=labeled, unlabeled=unlabeled)
camvid_n20_other_sequences = dict(labeled=labeled, unlabeled=unlabeled)
camvid_full = dict(labeled=labeled)

del image, masks, scale, crop, pack, labeled, unlabeled
