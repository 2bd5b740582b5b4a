# Cityscapes and CamVid in one network with 50 labels each and weak augmentation, for a CPU.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/augmentations/flip_colors.py',
    '../_base_/domains/cityscapes_128x256_crops.py',
    '../_base_/domains/camvid_176x240_crops.py',
    '../_base_/models/efficientnet-lite0_jpu.py',
    '../_base_/schedules/sgd_poly_600.py',
]
model = dict(
    domains=dict(
        cityscapes={{_base_.cityscapes}},
        camvid={{_base_.camvid}},
    )
)
train_dataloader = dict(
    dataset=dict(domains=dict(cityscapes={{_base_.cityscapes_n50}}, camvid={{_base_.camvid_n50}})),
)
val_dataloader = dict(
    dataset=dict(domains=dict(cityscapes={{_base_.cityscapes_val}}, camvid={{_base_.camvid_val}})),
)
test_dataloader = dict(
    dataset=dict(
        domains=dict(cityscapes={{_base_.cityscapes_test}}, camvid={{_base_.camvid_test}})
    ),
)
