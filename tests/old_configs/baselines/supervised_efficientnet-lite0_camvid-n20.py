_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/domains/camvid_176x240.py',
    '../_base_/models/efficientnet-lite0_jpu.py',
    '../_base_/schedules/sgd_poly_400.py',
]
model = dict(domains=dict(camvid={{_base_.camvid}}))
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='AlternatingDomainSampler', labeled_per_batch=4, unlabeled_per_batch=0),
    dataset=dict(type='MultiDomainDataset', domains=dict(camvid={{_base_.camvid_n20}})),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MultiDomainDataset', domains=dict(camvid={{_base_.camvid_val}})),
)
test_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MultiDomainDataset', domains=dict(camvid={{_base_.camvid_test}})),
)
