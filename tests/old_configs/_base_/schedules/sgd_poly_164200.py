# SGD with momentum, learning rate 1e-2 and the poly schedule to 0 (Table 12): 100 epochs of
# Cityscapes + SUN RGB-D. The paper gives neither a batch size nor what an epoch of two domains
# is. Chosen: 4 + 4 images, and an epoch is over when the largest unlabeled source, 3285 images of
# SUN RGB-D, has been gone through, every second iteration being the other domain's.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=164200, val_interval=16420)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
)
# It ends where the training does: mmengine fills in max_iters.
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, by_epoch=False)]
