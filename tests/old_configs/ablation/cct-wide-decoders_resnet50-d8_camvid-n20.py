# Auxiliary and main decoders of hidden width 64 in place of the class count.
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(decode_head=dict(channels=64), auxiliary=dict(channels=64))
