# The recommended recipe for the small encoder (docs/recommended.md).
_base_ = ['./cct_small.py', './recommended_strong.py']
recommended_model = dict(
    type='CCT',
    auxiliary={{_base_.small_auxiliary}},
    unsupervised_weight=dict(final=30.0, shape='exp', length=0.1),
    strong={{_base_.recommended_strong}},
)
