# Neck and heads learn, the backbone is frozen: what it makes of the images is computed once, by
# tools/cache_features.py. Without `load_from` it is the one that is pretrained on ImageNet.
_base_ = '../baselines/supervised-augmented_efficientnet-lite0_camvid-n20.py'
model = dict(frozen_backbone=True)
train_dataloader = dict(
    dataset=dict(
        type='CachedFeaturesDataset',
        cache='work_dirs/features/efficientnet-lite0_camvid',
        # 400 iterations show each unlabeled image five times, and each labeled one 32 times.
        versions=dict(labeled=16, unlabeled=5),
        domains=dict(camvid={{_base_.camvid_n50}}),
    )
)
