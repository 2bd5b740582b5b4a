# The paper's mix of 30 auxiliary decoders in the place of 7.
_base_ = './cct_efficientnet-lite0_camvid-n20.py'
model = dict(
    auxiliary=dict(
        perturbations=[
            dict(type='F-Noise', num=6),
            dict(type='F-Drop', num=6),
            dict(type='DropOut', num=6),
            dict(type='Obj-Msk', num=2),
            dict(type='Con-Msk', num=2),
            dict(type='G-Cutout', num=6),
            dict(type='I-VAT', num=2),
        ],
    ),
)
# 10 x 30 / 7: a decoder's steps are as long as with 7, where its share of L_u is 1 / 7.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(auxiliary=dict(lr_mult=43.0))))
