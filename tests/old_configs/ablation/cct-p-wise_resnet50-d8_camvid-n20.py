# Table 6: with the pairwise loss over 8 of the 30 decoders (Eq. 10).
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(loss_pairwise=dict(type='PairwiseLoss', weight=1.0, num_decoders=8))
