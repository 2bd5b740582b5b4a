_base_ = './cct_efficientnet-lite0_cityscapes-sunrgbd-n50.py'
train_dataloader = dict(
    dataset=dict(
        domains=dict(
            cityscapes={{_base_.cityscapes_n20}},
            sunrgbd={{_base_.sunrgbd_n20}},
        )
    )
)
