# With the discriminator of Supplement E, a quarter as wide as Table 8's, which would cost more than
# the small encoder.
_base_ = './cct_efficientnet-lite0_cityscapes-camvid-n50.py'
model = dict(discriminator=dict(in_channels=256, channels=(16, 32, 64, 128)))
# Its convolutions have no norm: at the encoder's learning rate they diverge.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(discriminator=dict(lr_mult=0.1))))
