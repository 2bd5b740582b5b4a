# UPerNet on a small encoder for a CPU: EfficientNet-Lite0 at stride 16, as with the JPU neck.
# The head of mmseg's UPerNet, narrower, is the neck: z is the fused map at stride 4 that the
# classifier sees.
_base_ = 'mmseg::_base_/models/upernet_r50.py'
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='SupervisedSegmentor',
    data_preprocessor=dict(
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        size_divisor=16,
        test_cfg=dict(size_divisor=16),
    ),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        pretrained=False,
        output_stride=16,
        out_indices=(1, 2, 3, 4),
        init_cfg=dict(type='Pretrained', checkpoint='efficientnet-lite://0'),
    ),
    neck=dict(
        type='HeadAsNeck',
        head=dict(
            type='UPerHead',
            in_channels=[24, 40, 112, 320],
            in_index=[0, 1, 2, 3],
            channels=64,
            norm_cfg=norm_cfg,
        ),
    ),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=64,
        channels=64,
        num_convs=0,
        concat_input=False,
    ),
    # Deep supervision on the map of stride 16.
    auxiliary_head=dict(in_channels=112, channels=64),
)
