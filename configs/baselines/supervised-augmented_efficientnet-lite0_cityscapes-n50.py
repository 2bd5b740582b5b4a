# Cityscapes with 50 labels and weak augmentation, for a CPU.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/augmentations/flip_colors.py',
    '../_base_/domains/cityscapes_128x256_crops.py',
    '../_base_/models/efficientnet-lite0_jpu.py',
    '../_base_/schedules/sgd_poly_400.py',
]
model = dict(domains=dict(cityscapes={{_base_.cityscapes}}))
train_dataloader = dict(dataset=dict(domains=dict(cityscapes={{_base_.cityscapes_n50}})))
val_dataloader = dict(
    batch_size=4,
    dataset=dict(domains=dict(cityscapes={{_base_.cityscapes_val}})),
)
test_dataloader = dict(
    batch_size=4,
    dataset=dict(domains=dict(cityscapes={{_base_.cityscapes_test}})),
)
