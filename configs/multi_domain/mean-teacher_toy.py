# Mean Teacher on both domains of ToyScenes: the student sees the unlabeled images in other colors.
_base_ = './supervised_toy.py'
strong = dict(type='AddView', name='strong', transforms=[dict(type='PhotoMetricDistortion')])
model = dict(
    type='MeanTeacher',
    decay=0.99,
    unsupervised_weight=dict(final=30.0, shape='exp', length=0.1),
)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(unlabeled_per_batch=4),
    dataset=dict(
        domains=dict(
            day=dict(
                unlabeled=dict(pipeline=[*_base_.toy_day_n12.unlabeled.pipeline, strong]),
            ),
            night=dict(
                unlabeled=dict(pipeline=[*_base_.toy_night_n12.unlabeled.pipeline, strong]),
            ),
        )
    ),
)
