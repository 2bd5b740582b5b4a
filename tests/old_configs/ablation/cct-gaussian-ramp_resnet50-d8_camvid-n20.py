# The Gaussian ramp-up of Section 3.2.2 in place of Eq. 16.
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(unsupervised_weight=dict(shape='gaussian'))
