# All 10582 label maps of VOC and SBD: what pixel labels for every image would give.
_base_ = './supervised_resnet50-d8_voc-n1464.py'
train_dataloader = dict(dataset=dict(domains=dict(voc={{_base_.voc_full}})))
