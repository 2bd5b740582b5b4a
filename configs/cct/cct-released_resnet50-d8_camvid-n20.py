# CCT as the authors' released code computes it, where that differs from the paper: ReLU after the
# last decoder layer, narrower F-Drop, G-Cutout on the merged foreground with a window of .4 of each
# side, I-VAT from a uniform start with xi = 1e-6, Gaussian ramp-up, a tenth of the learning rate in
# the backbone. For its ab-CE use average_over='kept', ramp_up=0.4. Not reproduced: objects of up to
# 50 contour vertices left out of G-Cutout (min_area takes its place), the least number of pixels
# that its ab-CE keeps, both divergences of JS reversed, and, on purpose, labeled batches replayed
# within an epoch and a baseline with a sixth of the steps.
_base_ = './cct_resnet50-d8_camvid-n20.py'
model = dict(
    decode_head=dict(last_relu=True),
    auxiliary=dict(
        last_relu=True,
        perturbations=[
            dict(type='F-Noise', num=6),  # N ~ U(-0.3, 0.3)
            dict(type='F-Drop', num=6, threshold=(0.7, 0.9)),
            dict(type='DropOut', num=6, p=0.5),
            dict(type='G-Cutout', num=6, area=0.4, sides=True, merge_classes=True),
            dict(type='Obj-Msk', num=2),
            dict(type='Con-Msk', num=2),
            dict(type='I-VAT', num=2, eps=2.0, xi=1e-6, start='uniform'),
        ],
    ),
    loss_consistency=dict(distance='mse', over_classes='mean'),
    unsupervised_weight=dict(final=30.0, shape='gaussian', length=0.1),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
