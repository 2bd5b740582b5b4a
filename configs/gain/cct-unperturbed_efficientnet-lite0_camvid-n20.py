# As many decoders, on z itself: what is left of the gain is no matter of perturbations.
_base_ = '../cct/cct_efficientnet-lite0_camvid-n20.py'
model = dict(auxiliary=dict(perturbations=[dict(type='DropOut', num=7, p=0.0)]))
