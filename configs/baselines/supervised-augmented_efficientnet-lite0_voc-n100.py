# The baseline with changed colors, too. VOC's images are scaled, cropped and flipped as they are.
_base_ = './supervised_efficientnet-lite0_voc-n100.py'
train_dataloader = dict(
    dataset=dict(augmentation=dict(colors=dict(type='PhotoMetricDistortion'))),
)
