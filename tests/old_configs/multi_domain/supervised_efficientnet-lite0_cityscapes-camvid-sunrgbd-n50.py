# Cityscapes, CamVid and SUN RGB-D in one network with 50 labels each, for a CPU.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/domains/cityscapes_128x256.py',
    '../_base_/domains/camvid_176x240.py',
    '../_base_/domains/sunrgbd_176x240.py',
    '../_base_/models/efficientnet-lite0_jpu.py',
    '../_base_/schedules/sgd_poly_900.py',
]
model = dict(
    domains=dict(
        cityscapes={{_base_.cityscapes}},
        camvid={{_base_.camvid}},
        sunrgbd={{_base_.sunrgbd}},
    )
)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='AlternatingDomainSampler', labeled_per_batch=4, unlabeled_per_batch=0),
    dataset=dict(
        type='MultiDomainDataset',
        domains=dict(
            cityscapes={{_base_.cityscapes_n50}},
            camvid={{_base_.camvid_n50}},
            sunrgbd={{_base_.sunrgbd_n50}},
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MultiDomainDataset',
        domains=dict(
            cityscapes={{_base_.cityscapes_val}},
            camvid={{_base_.camvid_val}},
            sunrgbd={{_base_.sunrgbd_val}},
        ),
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MultiDomainDataset',
        domains=dict(
            cityscapes={{_base_.cityscapes_test}},
            camvid={{_base_.camvid_test}},
            sunrgbd={{_base_.sunrgbd_test}},
        ),
    ),
)
