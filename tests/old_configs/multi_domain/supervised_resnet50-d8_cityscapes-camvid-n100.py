_base_ = './supervised_resnet50-d8_cityscapes-camvid-n50.py'
train_dataloader = dict(
    dataset=dict(
        domains=dict(
            cityscapes={{_base_.cityscapes_n100}},
            camvid={{_base_.camvid_n100}},
        )
    )
)
