# Cosine ramp-up (Fig. 8).
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(unsupervised_weight=dict(shape='cosine'))
