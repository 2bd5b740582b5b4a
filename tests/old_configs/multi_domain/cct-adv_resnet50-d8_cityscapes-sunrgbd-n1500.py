# With the discriminator of Supplement E (Table 8), weight 0.02 (Table 12).
_base_ = './cct_resnet50-d8_cityscapes-sunrgbd-n1500.py'
model = dict(discriminator=dict(in_channels=512))
# Its convolutions have no norm: at the encoder's learning rate they diverge.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(discriminator=dict(lr_mult=0.1))))
