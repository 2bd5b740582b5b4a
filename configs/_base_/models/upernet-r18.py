# UPerNet with ResNet-18 of mmseg's model zoo. Its head, but for the classifier, is the neck: z is
# the fused map at stride 4 that the classifier sees.
_base_ = 'mmseg::_base_/models/upernet_r50.py'
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='SupervisedSegmentor',
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(depth=18),
    neck=dict(
        type='HeadAsNeck',
        head=dict(
            type='UPerHead',
            in_channels=[64, 128, 256, 512],
            in_index=[0, 1, 2, 3],
            channels=512,
            norm_cfg=norm_cfg,
        ),
    ),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=512,
        channels=512,
        num_convs=0,
        concat_input=False,
    ),
    auxiliary_head=dict(in_channels=256),
)
