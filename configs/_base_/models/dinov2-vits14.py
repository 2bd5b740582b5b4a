# DINOv2 ViT-S/14 of timm. Four of its maps, one position for 14x14 pixels, are brought to stride 8
# (14 / 8 = 1.75), which the auxiliary decoders can enlarge to the image, and fused: z has 256
# channels. Images are padded to multiples of 56, the least that 14 and 8 divide.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='SupervisedSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=56,
        test_cfg=dict(size_divisor=56),
    ),
    backbone=dict(
        type='TIMMBackbone',
        model_name='vit_small_patch14_dinov2',
        pretrained=True,
        # Sizes other than the 518x518 of its pretraining.
        dynamic_img_size=True,
        out_indices=(2, 5, 8, 11),
    ),
    neck=dict(
        type='HeadAsNeck',
        neck=dict(
            type='MultiLevelNeck',
            in_channels=[384] * 4,
            out_channels=128,
            scales=[1.75] * 4,
            norm_cfg=norm_cfg,
        ),
        head=dict(
            type='FCNHead',
            input_transform='resize_concat',
            in_channels=[128] * 4,
            in_index=[0, 1, 2, 3],
            channels=256,
            num_convs=1,
            concat_input=False,
            norm_cfg=norm_cfg,
        ),
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=256,
        channels=256,
        num_convs=0,
        concat_input=False,
    ),
)
