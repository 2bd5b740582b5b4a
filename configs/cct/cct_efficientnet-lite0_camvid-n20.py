_base_ = '../baselines/supervised_efficientnet-lite0_camvid-n20.py'
model = dict(
    type='CCT',
    auxiliary=dict(
        in_channels=256,
        stride=8,
        # As wide as the main head's: at the paper's width C some decoders lag far behind.
        channels=32,
        perturbations=[
            dict(type='F-Noise', num=1),
            dict(type='F-Drop', num=1),
            dict(type='DropOut', num=1),
            dict(type='Obj-Msk', num=1),
            dict(type='Con-Msk', num=1),
            dict(type='G-Cutout', num=1),
            dict(type='I-VAT', num=1),
        ],
    ),
    unsupervised_weight=dict(final=30.0, shape='exp', length=0.1),
)
# Each decoder gets 1 / K of L_u's gradient, and in a few hundred iterations would lag behind the
# main head; what it then teaches the encoder is its own error.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(auxiliary=dict(lr_mult=10.0))))
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
