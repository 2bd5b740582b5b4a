# Cityscapes and SUN RGB-D in one network at the paper's sizes.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/domains/cityscapes.py',
    '../_base_/domains/sunrgbd.py',
    '../_base_/models/resnet50-d8_psp.py',
    '../_base_/schedules/sgd_poly_164200.py',
]
model = dict(
    domains=dict(
        cityscapes={{_base_.cityscapes}},
        sunrgbd={{_base_.sunrgbd}},
    )
)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='AlternatingDomainSampler', labeled_per_batch=4, unlabeled_per_batch=0),
    dataset=dict(
        type='MultiDomainDataset',
        domains=dict(
            cityscapes={{_base_.cityscapes_n1500}},
            sunrgbd={{_base_.sunrgbd_n1500}},
        ),
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MultiDomainDataset',
        domains=dict(
            cityscapes={{_base_.cityscapes_val}},
            sunrgbd={{_base_.sunrgbd_val}},
        ),
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='MultiDomainDataset',
        domains=dict(
            cityscapes={{_base_.cityscapes_test}},
            sunrgbd={{_base_.sunrgbd_test}},
        ),
    ),
)
