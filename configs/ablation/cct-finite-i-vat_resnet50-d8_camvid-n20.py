# I-VAT by the finite form of Eqs. 13-14, with the smallest xi that float32 carries well.
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(auxiliary=dict(perturbations=[dict(type='I-VAT', num=8, eps=2.0, xi=0.1)]))
