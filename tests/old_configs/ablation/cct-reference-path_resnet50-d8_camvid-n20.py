# The auxiliary decoders one after another, as the paper tells it: same results, slower.
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(path='reference')
