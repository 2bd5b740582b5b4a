# The paper's network: ResNet-50 with dilated last stages (stride 8), PSP module, sub-pixel decoder
# of width C (Section 4.1, Table 11).
norm_cfg = dict(type='BN', requires_grad=True)
# On several GPUs batch norm sees the images of all; on one it changes nothing.
sync_bn = 'torch'
model = dict(
    type='MultiDomainSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=8,
        test_cfg=dict(size_divisor=8),
    ),
    backbone=dict(
        type='ResNetV1c',
        depth=50,
        out_indices=(3,),
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        contract_dilation=True,
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet50_v1c'),
    ),
    neck=dict(type='PSPNeck', in_channels=2048, out_channels=512, norm_cfg=norm_cfg),
    decode_head=dict(type='SubPixelHead', in_channels=512, stride=8),
)
