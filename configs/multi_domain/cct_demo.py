# What `make demo` trains by CCT: supervised_demo.py with auxiliary decoders and unlabeled images.
_base_ = ['./supervised_demo.py', '../_base_/methods/cct_small.py']
model = dict(
    _base_.small_model,
    auxiliary=dict(_base_.small_auxiliary, in_channels=128, stride=4),
)
optim_wrapper = dict(paramwise_cfg={{_base_.small_paramwise}})
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
