# Table 6: confidence masking with beta = 0.5 (Supplement B.2).
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(loss_consistency=dict(confidence=0.5))
