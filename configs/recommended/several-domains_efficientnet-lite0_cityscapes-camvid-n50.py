# The recommended recipe for several data sets in one network (docs/recommended.md).
_base_ = [
    '../multi_domain/supervised-augmented_efficientnet-lite0_cityscapes-camvid-n50.py',
    '../_base_/methods/cct_small.py',
]
model = dict(
    type='CCT',
    auxiliary={{_base_.small_auxiliary}},
    unsupervised_weight=dict(final=30.0, shape='exp', length=0.1),
)
optim_wrapper = dict(paramwise_cfg={{_base_.small_paramwise}})
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
