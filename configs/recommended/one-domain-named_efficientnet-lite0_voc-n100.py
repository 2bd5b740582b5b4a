# The recommended recipe with image-level labels of the images without label maps: what the network
# predicts for them, and learns from, are the classes that these name.
_base_ = './one-domain_efficientnet-lite0_voc-n100.py'
train_dataloader = dict(
    dataset=dict(domains=dict(voc={{_base_.voc_n100_image_labels}})),
)
