# Mean Teacher on the input (Table 4): the student sees the unlabeled images in other colors.
_base_ = '../baselines/supervised-augmented_efficientnet-lite0_camvid-n20.py'
strong = dict(type='AddView', name='strong', transforms=[dict(type='PhotoMetricDistortion')])
model = dict(type='MeanTeacher', unsupervised_weight=dict(final=30.0, shape='exp', length=0.1))
train_dataloader = dict(
    batch_size=8,
    sampler=dict(unlabeled_per_batch=4),
    dataset=dict(
        domains=dict(
            camvid=dict(
                unlabeled=dict(pipeline=[*_base_.camvid_n20.unlabeled.pipeline, strong]),
            )
        )
    ),
)
