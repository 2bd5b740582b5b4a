# The baseline with weak augmentation, which alone is worth more than any method: what methods that
# use it are to be compared with.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/augmentations/flip_colors.py',
    '../_base_/domains/camvid_176x240_crops.py',
    '../_base_/models/efficientnet-lite0_jpu.py',
    '../_base_/schedules/sgd_poly_400.py',
]
model = dict(domains=dict(camvid={{_base_.camvid}}))
train_dataloader = dict(dataset=dict(domains=dict(camvid={{_base_.camvid_n20}})))
val_dataloader = dict(batch_size=4, dataset=dict(domains=dict(camvid={{_base_.camvid_val}})))
test_dataloader = dict(batch_size=4, dataset=dict(domains=dict(camvid={{_base_.camvid_test}})))
