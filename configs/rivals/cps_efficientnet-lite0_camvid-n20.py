# Cross pseudo supervision. Chen et al. take a weight of 1.5 on VOC and 6 on Cityscapes, without a
# ramp; 400 iterations are too few for labels at 6 from networks that have just begun.
_base_ = '../baselines/supervised-augmented_efficientnet-lite0_camvid-n20.py'
model = dict(
    type='CrossPseudoSupervision',
    unsupervised_weight=dict(final=1.5, shape='exp', length=0.1),
)
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
