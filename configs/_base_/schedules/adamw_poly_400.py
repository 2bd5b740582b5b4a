# AdamW and the poly schedule to 0, as transformers are trained; 400 iterations. The pretrained
# encoder gets a tenth of the learning rate. Auxiliary decoders need no larger one, as they do with
# SGD: the steps of AdamW do not depend on the size of gradients.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=400, val_interval=200)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-4, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
# It ends where the training does: mmengine fills in max_iters.
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, by_epoch=False)]
