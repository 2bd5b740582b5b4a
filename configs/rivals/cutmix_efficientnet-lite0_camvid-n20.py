# CutMix consistency with a mean teacher (French et al., BMVC 2020, the paper's reference [15]): the
# student predicts for images of which half is another image what the teacher predicts for the two.
_base_ = '../baselines/supervised-augmented_efficientnet-lite0_camvid-n20.py'
model = dict(
    type='WeakToStrong',
    teacher=dict(decay=0.99),
    strong=dict(
        views=1,
        augmentation=dict(jitter=0.0, gray=0.0, blur=0.0, cutmix=1.0, area=(0.5, 0.5)),
        loss=dict(distance='mse', hard_labels=False, confidence=None),
        weight=dict(final=1.0, length=0.1),
    ),
)
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
