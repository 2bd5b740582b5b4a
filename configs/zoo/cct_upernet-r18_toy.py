_base_ = ['./supervised_upernet-r18_toy.py', '../_base_/methods/cct_zoo.py']
model = dict(type='CCT', auxiliary={{_base_.zoo_auxiliary}})
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(auxiliary=dict(lr_mult=10.0))))
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
