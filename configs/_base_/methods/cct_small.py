# CCT for the small encoder, whose z has 256 channels at stride 8: one decoder of each perturbation.
small_auxiliary = dict(
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
)
small_model = dict(
    type='CCT',
    auxiliary=small_auxiliary,
    unsupervised_weight=dict(final=30.0, shape='exp', length=0.1),
)
# Each decoder gets 1 / K of L_u's gradient, and in a few hundred iterations would lag behind the
# main head; what it then teaches the encoder is its own error.
small_paramwise = dict(custom_keys=dict(auxiliary=dict(lr_mult=10.0)))
