# CCT with image-level labels as the authors' released code computes it, where that differs from the
# paper. Of the pseudo-labels, `gen_pseudo_labels.py --preset released` has its form.
_base_ = ['./cct-weak_resnet50-d8_voc-n1464.py', '../_base_/methods/cct_released.py']
# There the classifier is a network of its own, and the encoder starts from ImageNet.
load_from = None
model = {{_base_.released_model}}
train_dataloader = dict(sampler={{_base_.released_sampler}})
optim_wrapper = dict(paramwise_cfg={{_base_.released_paramwise}})
