# SegFormer-B0 of mmseg's model zoo. Its head, but for the classifier, is the neck: z is the fused
# map at stride 4 that the classifier sees.
_base_ = 'mmseg::_base_/models/segformer_mit-b0.py'
model = dict(
    type='SupervisedSegmentor',
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/mit_b0_20220624-7e0fe6dd.pth',
        ),
    ),
    neck=dict(type='HeadAsNeck', head={{_base_.model.decode_head}}),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=256,
        channels=256,
        num_convs=0,
        concat_input=False,
    ),
)
