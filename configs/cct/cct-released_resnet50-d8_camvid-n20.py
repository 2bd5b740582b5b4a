# CCT as the authors' released code computes it, where that differs from the paper.
_base_ = ['./cct_resnet50-d8_camvid-n20.py', '../_base_/methods/cct_released.py']
model = {{_base_.released_model}}
train_dataloader = dict(sampler={{_base_.released_sampler}})
optim_wrapper = dict(paramwise_cfg={{_base_.released_paramwise}})
