# Table 5: the KL divergence as distance (Eq. 8).
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(loss_consistency=dict(distance='kl'))
