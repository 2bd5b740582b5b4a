_base_ = './cct_efficientnet-lite0_sunrgbd-n50.py'
train_dataloader = dict(dataset=dict(domains=dict(sunrgbd={{_base_.sunrgbd_n20}})))
