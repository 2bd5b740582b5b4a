_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/loaders.py',
    '../_base_/domains/cityscapes_128x256.py',
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
