# The recommended recipe for one data set (docs/recommended.md), on SUN RGB-D with 50 labels.
_base_ = [
    '../baselines/supervised-augmented_efficientnet-lite0_sunrgbd-n50.py',
    '../_base_/methods/recommended_small.py',
]
model = {{_base_.recommended_model}}
optim_wrapper = dict(paramwise_cfg={{_base_.small_paramwise}})
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
