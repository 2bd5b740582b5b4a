# The recommended recipe for several data sets in one network (docs/recommended.md).
_base_ = [
    '../multi_domain/supervised-augmented_efficientnet-lite0_cityscapes-sunrgbd-n50.py',
    '../_base_/methods/recommended_small.py',
]
model = {{_base_.recommended_model}}
optim_wrapper = dict(paramwise_cfg={{_base_.small_paramwise}})
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
