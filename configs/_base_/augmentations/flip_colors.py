# The part of weak.py that knows no sizes: flip and colors, for domains that say in their own file
# how images are scaled and cropped, such as domains/camvid_176x240_crops.py.
_base_ = '../loaders.py'
train_dataloader = dict(
    dataset=dict(
        augmentation=dict(
            flip=dict(type='RandomFlip', prob=0.5),
            colors=dict(type='PhotoMetricDistortion'),
        )
    ),
)
