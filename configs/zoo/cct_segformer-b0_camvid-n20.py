_base_ = ['./supervised_segformer-b0_camvid-n20.py', '../_base_/methods/cct_zoo.py']
model = dict(type='CCT', auxiliary={{_base_.zoo_auxiliary}})
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
