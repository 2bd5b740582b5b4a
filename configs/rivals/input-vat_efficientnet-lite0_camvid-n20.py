# VAT on the image (the paper's Table 4). Its eps is not in the paper. Miyato et al. take 8 or
# 10 for CIFAR-10, about 0.15 in root mean square; 10 here, where an image has 41 times as many
# values, is 0.028 or 3.6 of 255 gray levels. Weight 1 as Miyato et al. have it.
_base_ = '../baselines/supervised-augmented_efficientnet-lite0_camvid-n20.py'
model = dict(
    type='InputVAT',
    eps=10.0,
    unsupervised_weight=dict(final=1.0, shape='exp', length=0.1),
)
train_dataloader = dict(batch_size=8, sampler=dict(unlabeled_per_batch=4))
