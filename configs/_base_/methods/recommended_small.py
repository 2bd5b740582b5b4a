# The recommended recipe for the small encoder (docs/recommended.md).
_base_ = ['./cct_small.py', './recommended_strong.py']
recommended_model = dict(_base_.small_model, strong=_base_.recommended_strong)
