# Pseudo-labels of the main head for the same images. Lee labels everything and lets the weight rise
# linearly over a large part of training. The usual threshold of 0.95 (FixMatch) keeps almost no
# pixel in so short a training; on street scenes 0 to 0.7 have done best for others.
_base_ = '../baselines/supervised-augmented_efficientnet-lite0_camvid-n20.py'
model = dict(
    type='PseudoLabeling',
    confidence=0.7,
    unsupervised_weight=dict(final=1.0, shape='linear', length=0.5),
)
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
