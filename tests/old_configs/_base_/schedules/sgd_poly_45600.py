# SGD with momentum, learning rate 1e-2 and the poly schedule to 0 (Table 12): 50 epochs of VOC, an
# epoch being one pass over the 9118 images without pixel labels in batches of 10, the released
# code's.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=45600, val_interval=4560)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
)
# It ends where the training does: mmengine fills in max_iters.
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, by_epoch=False)]
