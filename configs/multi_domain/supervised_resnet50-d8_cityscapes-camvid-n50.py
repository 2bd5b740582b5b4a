# Cityscapes and CamVid in one network at the paper's sizes.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/loaders.py',
    '../_base_/domains/cityscapes.py',
    '../_base_/domains/camvid.py',
    '../_base_/models/resnet50-d8_psp.py',
    '../_base_/schedules/sgd_poly_73100.py',
]
model = dict(
    domains=dict(
        cityscapes={{_base_.cityscapes}},
        camvid={{_base_.camvid}},
    )
)
train_dataloader = dict(
    num_workers=4,
    dataset=dict(domains=dict(cityscapes={{_base_.cityscapes_n50}}, camvid={{_base_.camvid_n50}})),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(domains=dict(cityscapes={{_base_.cityscapes_val}}, camvid={{_base_.camvid_val}})),
)
test_dataloader = dict(
    num_workers=2,
    dataset=dict(
        domains=dict(cityscapes={{_base_.cityscapes_test}}, camvid={{_base_.camvid_test}})
    ),
)
