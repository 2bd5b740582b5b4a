# The recommended recipe for one data set (docs/recommended.md).
_base_ = '../cct/cct-augmented_efficientnet-lite0_camvid-n20.py'
