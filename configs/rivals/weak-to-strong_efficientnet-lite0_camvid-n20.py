# Weak-to-strong consistency as in UniMatch: two strong views, and dropped channels of the weak one.
# A weight of 0.5 each is its 0.25 + 0.25 and 0.5.
_base_ = '../baselines/supervised-augmented_efficientnet-lite0_camvid-n20.py'
model = dict(
    type='WeakToStrong',
    strong=dict(views=2, channel_dropout=0.5, weight=dict(final=0.5, length=0.0)),
)
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
