_base_ = ['../baselines/supervised_resnet50-d8_camvid-n20.py', '../_base_/methods/cct.py']
model = dict(
    type='CCT',
    auxiliary={{_base_.paper_auxiliary}},
    loss_consistency=dict(type='ConsistencyLoss', distance='mse'),
    unsupervised_weight=dict(final=30.0, shape='exp', length=0.1),
)
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
