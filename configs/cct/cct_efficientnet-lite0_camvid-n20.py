_base_ = '../baselines/supervised_efficientnet-lite0_camvid-n20.py'
model = dict(
    type='CCT',
    auxiliary=dict(
        in_channels=256,
        stride=8,
        perturbations=[
            dict(type='F-Noise', num=2),
            dict(type='F-Drop', num=2),
            dict(type='DropOut', num=2),
            dict(type='Obj-Msk', num=2),
            dict(type='Con-Msk', num=2),
            dict(type='G-Cutout', num=2),
            dict(type='I-VAT', num=2),
        ],
    ),
    unsupervised_weight=dict(final=30.0, shape='exp', length=0.1),
)
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
