# Small encoder for a CPU: EfficientNet-Lite0 at stride 16, which costs a quarter of stride 8, and a
# JPU neck (mmseg) that joins the maps of stride 8 and 16: z has 256 channels at stride 8.
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
        out_indices=(2, 3, 4),
        init_cfg=dict(type='Pretrained', checkpoint='efficientnet-lite://0'),
    ),
    neck=dict(type='JPU', in_channels=(40, 112, 320), mid_channels=64),
    decode_head=dict(type='SubPixelHead', in_channels=256, channels=32, stride=8),
)
