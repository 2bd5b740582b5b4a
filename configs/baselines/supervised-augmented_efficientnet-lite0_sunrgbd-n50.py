# SUN RGB-D with 50 labels and weak augmentation, for a CPU.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/augmentations/flip_colors.py',
    '../_base_/domains/sunrgbd_176x240_crops.py',
    '../_base_/models/efficientnet-lite0_jpu.py',
    '../_base_/schedules/sgd_poly_400.py',
]
# As in Cityscapes + SUN RGB-D: the encoder knows furniture from ImageNet.
model = dict(norm='frozen', domains=dict(sunrgbd={{_base_.sunrgbd}}))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.02))))
train_dataloader = dict(dataset=dict(domains=dict(sunrgbd={{_base_.sunrgbd_n50}})))
val_dataloader = dict(batch_size=4, dataset=dict(domains=dict(sunrgbd={{_base_.sunrgbd_val}})))
test_dataloader = dict(batch_size=4, dataset=dict(domains=dict(sunrgbd={{_base_.sunrgbd_test}})))
