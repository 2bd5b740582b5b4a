# Both domains of ToyScenes in one network, by their labels alone.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/loaders.py',
    '../_base_/domains/toy_day.py',
    '../_base_/domains/toy_night.py',
    '../_base_/models/efficientnet-lite0_jpu.py',
    '../_base_/schedules/sgd_poly_400.py',
]
model = dict(domains=dict(day={{_base_.toy_day}}, night={{_base_.toy_night}}))
train_dataloader = dict(
    dataset=dict(domains=dict(day={{_base_.toy_day_n12}}, night={{_base_.toy_night_n12}})),
)
val_dataloader = dict(
    dataset=dict(domains=dict(day={{_base_.toy_day_val}}, night={{_base_.toy_night_val}})),
)
test_dataloader = dict(
    dataset=dict(domains=dict(day={{_base_.toy_day_test}}, night={{_base_.toy_night_test}})),
)
