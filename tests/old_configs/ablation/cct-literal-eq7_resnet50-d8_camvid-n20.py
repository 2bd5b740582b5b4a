# Eq. 7 to the letter: squared differences summed over classes, C times larger than the default.
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(loss_consistency=dict(over_classes='sum'))
