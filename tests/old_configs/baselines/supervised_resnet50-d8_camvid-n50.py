_base_ = './supervised_resnet50-d8_camvid-n20.py'
train_dataloader = dict(dataset=dict(domains=dict(camvid={{_base_.camvid_n50}})))
