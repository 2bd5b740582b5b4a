# Table 5: the JS divergence as distance (Eq. 9).
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(loss_consistency=dict(distance='js'))
