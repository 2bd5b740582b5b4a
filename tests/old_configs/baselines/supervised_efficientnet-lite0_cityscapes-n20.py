_base_ = './supervised_efficientnet-lite0_cityscapes-n50.py'
train_dataloader = dict(dataset=dict(domains=dict(cityscapes={{_base_.cityscapes_n20}})))
