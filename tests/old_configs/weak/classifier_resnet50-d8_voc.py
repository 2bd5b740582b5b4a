# The encoder with a classification branch on image-level labels (Section 3.3): its class activation
# maps become pseudo-labels, its weights the start of cct-weak_resnet50-d8_voc-n1464.py.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/domains/voc.py',
    '../_base_/models/resnet50-d8_psp.py',
    '../_base_/schedules/sgd_poly_45600.py',
]
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(size=(320, 320), size_divisor=None),
    decode_head=dict(_delete_=True, type='ClassificationHead', in_channels=512),
    domains=dict(voc=dict(classes={{_base_.voc.classes}})),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(
        type='AlternatingDomainSampler',
        labeled_per_batch=0,
        unlabeled_per_batch=0,
        weak_per_batch=16,
    ),
    dataset=dict(type='MultiDomainDataset', domains=dict(voc={{_base_.voc_image_labels}})),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MultiDomainDataset', domains=dict(voc={{_base_.voc_image_labels_val}})),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='MultiDomainDataset', domains=dict(voc={{_base_.voc_image_labels_val}})),
)
val_evaluator = dict(type='ImageLevelMetric')
test_evaluator = dict(type='ImageLevelMetric')
default_hooks = dict(checkpoint=dict(save_best='mAP'))
# Ten epochs of the 10582 images less the hold-out; classification needs fewer than segmentation.
train_cfg = dict(max_iters=6490, val_interval=649)
