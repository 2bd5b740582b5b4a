_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/loaders.py',
    '../_base_/domains/camvid.py',
    '../_base_/models/dinov2-vits14.py',
    '../_base_/schedules/adamw_poly_4350.py',
]
model = dict(domains=dict(camvid={{_base_.camvid}}))
train_dataloader = dict(dataset=dict(domains=dict(camvid={{_base_.camvid_n20}})))
val_dataloader = dict(batch_size=4, dataset=dict(domains=dict(camvid={{_base_.camvid_val}})))
test_dataloader = dict(batch_size=4, dataset=dict(domains=dict(camvid={{_base_.camvid_test}})))
