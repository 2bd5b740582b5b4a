_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/loaders.py',
    '../_base_/domains/voc.py',
    '../_base_/models/resnet50-d8_psp.py',
    '../_base_/schedules/sgd_poly_45600.py',
]
model = dict(
    # Crops are smaller where the image is.
    data_preprocessor=dict(size=(320, 320), size_divisor=None),
    domains=dict(voc={{_base_.voc}}),
)
train_dataloader = dict(
    batch_size=10,
    num_workers=4,
    sampler=dict(labeled_per_batch=10),
    dataset=dict(domains=dict(voc={{_base_.voc_n1464}})),
)
val_dataloader = dict(num_workers=2, dataset=dict(domains=dict(voc={{_base_.voc_val}})))
test_dataloader = dict(num_workers=2, dataset=dict(domains=dict(voc={{_base_.voc_test}})))
