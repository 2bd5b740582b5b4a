_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/loaders.py',
    '../_base_/domains/toy_day.py',
    '../_base_/models/dinov2-vits14.py',
    '../_base_/schedules/adamw_poly_400.py',
]
model = dict(domains=dict(day={{_base_.toy_day}}))
train_dataloader = dict(dataset=dict(domains=dict(day={{_base_.toy_day_n12}})))
val_dataloader = dict(batch_size=4, dataset=dict(domains=dict(day={{_base_.toy_day_val}})))
test_dataloader = dict(batch_size=4, dataset=dict(domains=dict(day={{_base_.toy_day_test}})))
