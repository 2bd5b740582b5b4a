_base_ = './cct_efficientnet-lite0_cityscapes-camvid-n50.py'
train_dataloader = dict(
    dataset=dict(
        domains=dict(
            cityscapes={{_base_.cityscapes_n100}},
            camvid={{_base_.camvid_n100}},
        )
    )
)
