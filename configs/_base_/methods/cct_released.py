# What the authors' released code computes in another way than the paper, as parts that replace the
# paper's; docs/paper.md lists them, and what is not reproduced.
released_model = dict(
    # A stem of 64, 64 and 128 channels, in the authors' weights.
    backbone=dict(
        stem_channels=128,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='deep-stem://https://github.com/yassouali/CCT/releases/download/v0.1/'
            '3x3resnet50-imagenet.pth',
        ),
    ),
    # PyTorch's own initialization of convolutions.
    neck=dict(
        init_cfg=dict(
            type='Kaiming',
            layer='Conv2d',
            a=5**0.5,
            mode='fan_in',
            nonlinearity='leaky_relu',
            distribution='uniform',
        )
    ),
    decode_head=dict(last_relu=True),
    auxiliary=dict(
        last_relu=True,
        perturbations=[
            dict(type='F-Noise', num=6),  # N ~ U(-0.3, 0.3)
            dict(type='F-Drop', num=6, threshold=(0.7, 0.9), one_gamma=True),
            dict(type='DropOut', num=6, p=0.5),
            dict(
                type='G-Cutout',
                num=6,
                area=0.4,
                sides=True,
                merge_classes=True,
                in_holes=False,
            ),
            dict(type='Obj-Msk', num=2),
            dict(type='Con-Msk', num=2),
            # With this damping z is hardly perturbed.
            dict(type='I-VAT', num=2, eps=2.0, xi=1e-6, start='uniform', damping=1e-8),
        ],
    ),
    unsupervised_weight=dict(shape='gaussian'),
    weak_weight=dict(final=0.4, shape='gaussian'),
)
released_sampler = dict(replay_labeled=True)
released_paramwise = dict(custom_keys=dict(backbone=dict(lr_mult=0.1)))
# For `model.decode_head.loss_decode`.
released_ab_ce = dict(
    type='AnnealedCrossEntropy',
    threshold=0.9,
    ramp_up=0.4,
    shape='log-held',
    average_over='kept',
    min_kept=1,
)
# For `model.loss_consistency`; JS there has no confidence mask.
released_kl_conf_mask = dict(
    distance='kl', over_classes='sum', confidence=0.5, average_over='valid'
)
released_js = dict(distance='js-reversed')
# For `model.loss_pairwise`: computed, never propagated back.
released_p_wise = dict(type='PairwiseLoss', weight=0.0, num_decoders=8)
