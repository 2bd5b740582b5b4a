_base_ = './supervised_resnet50-d8_voc-n500.py'
train_dataloader = dict(dataset=dict(domains=dict(voc={{_base_.voc_n1000}})))
