# Small encoder for a CPU: EfficientNet-Lite0 at stride 16 with its ImageNet weights from a package.
model = dict(
    type='MultiDomainSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=16,
        test_cfg=dict(size_divisor=16),
    ),
    backbone=dict(
        type='TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        pretrained=False,
        output_stride=16,
        out_indices=(4,),
        init_cfg=dict(type='Pretrained', checkpoint='efficientnet-lite://0'),
    ),
    neck=dict(type='PSPNeck', in_channels=320, out_channels=128, kernel_size=1),
    decode_head=dict(type='SubPixelHead', in_channels=128, channels=64, stride=16),
)
