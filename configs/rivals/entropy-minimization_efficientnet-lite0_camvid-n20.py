# Entropy minimization. The weight is a guess between those in use for self-training, from 0.001
# (ADVENT, whose entropy is divided by log C) to 1: with more, wrong predictions get certain, too.
_base_ = '../baselines/supervised-augmented_efficientnet-lite0_camvid-n20.py'
model = dict(
    type='EntropyMinimization',
    unsupervised_weight=dict(final=0.1, shape='exp', length=0.1),
)
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
