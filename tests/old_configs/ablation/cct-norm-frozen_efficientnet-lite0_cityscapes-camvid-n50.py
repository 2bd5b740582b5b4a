# Batch norm across domains, see cct_mm/models/norm.py.
_base_ = '../multi_domain/cct_efficientnet-lite0_cityscapes-camvid-n50.py'
model = dict(norm='frozen')
