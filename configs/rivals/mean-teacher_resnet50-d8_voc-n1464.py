# Mean Teacher on VOC at the paper's size (Table 4): the student sees the unlabeled images in other
# colors, whichever of voc_n500, voc_n1000 and voc_n1464 an option chooses.
_base_ = '../baselines/supervised_resnet50-d8_voc-n1464.py'
strong = dict(type='AddView', name='strong', transforms=[dict(type='PhotoMetricDistortion')])
voc_n500 = dict(unlabeled=dict(pipeline=[*_base_.voc_n500.unlabeled.pipeline, strong]))
voc_n1000 = dict(unlabeled=dict(pipeline=[*_base_.voc_n1000.unlabeled.pipeline, strong]))
voc_n1464 = dict(unlabeled=dict(pipeline=[*_base_.voc_n1464.unlabeled.pipeline, strong]))
model = dict(type='MeanTeacher', unsupervised_weight=dict(final=30.0, shape='exp', length=0.1))
train_dataloader = dict(
    batch_size=20,
    sampler=dict(unlabeled_per_batch=10),
    dataset=dict(domains=dict(voc=voc_n1464)),
)
