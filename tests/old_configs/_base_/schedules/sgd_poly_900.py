# SGD with momentum and the poly schedule to 0, as in the paper; 300 iterations of each of
# three domains.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=900, val_interval=450)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4),
)
# It ends where the training does: mmengine fills in max_iters.
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, by_epoch=False)]
