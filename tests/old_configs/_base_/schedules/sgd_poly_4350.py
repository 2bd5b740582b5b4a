# SGD with momentum, learning rate 1e-2 and the poly schedule to 0 (Table 12). 50 epochs, an epoch
# being one pass over the 347 unlabeled images of CamVid n = 20 in batches of 4. The paper gives no
# batch size; 4 + 4 is chosen, and the same number of iterations for every n and the baseline.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4350, val_interval=435)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
)
# It ends where the training does: mmengine fills in max_iters.
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, by_epoch=False)]
