_base_ = './supervised_efficientnet-lite0_camvid-n20.py'
train_dataloader = dict(dataset=dict(domains=dict(camvid={{_base_.camvid_n50}})))
