_base_ = ['../baselines/supervised_toy.py', '../_base_/methods/cct_small.py']
model = {{_base_.small_model}}
optim_wrapper = dict(paramwise_cfg={{_base_.small_paramwise}})
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
