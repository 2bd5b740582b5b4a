# Weak augmentation, the same for the labeled and the unlabeled images of every domain: scale, crop,
# flip, colors. It stands in the place of loaders.py in a config's `_base_`, and lets images of any
# size train together: their short side becomes 1 to 2 times the crop's, so that a crop lies within
# the image. (If one side is more than 4 times the other, the short one is smaller. Then what is
# missing is padded by model.data_preprocessor.size, and padding is in no loss.)
#
# Another crop is two changes, and the size that batches are padded to:
#     train_dataloader = dict(
#         dataset=dict(
#             augmentation=dict(resize=dict(scale=(2048, 512)), crop=dict(crop_size=(512, 512)))
#         )
#     )
#     model = dict(data_preprocessor=dict(size=(512, 512), size_divisor=None))
_base_ = '../loaders.py'
train_dataloader = dict(
    dataset=dict(
        augmentation=dict(
            # At most (long side, short side), times the ratio.
            resize=dict(
                type='RandomResize', scale=(1024, 256), ratio_range=(1.0, 2.0), keep_ratio=True
            ),
            # Without cat_max_ratio, which looks at labels: unlabeled images have none.
            crop=dict(type='RandomCrop', crop_size=(256, 256)),
            flip=dict(type='RandomFlip', prob=0.5),
            colors=dict(type='PhotoMetricDistortion'),
        )
    ),
)
