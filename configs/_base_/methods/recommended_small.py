# The recommended recipe for the small encoder (docs/recommended.md): CCT, and for the main head one
# strong view of each unlabeled image, taught by the weak one at every pixel.
_base_ = './cct_small.py'
recommended_model = dict(
    type='CCT',
    auxiliary={{_base_.small_auxiliary}},
    unsupervised_weight=dict(final=30.0, shape='exp', length=0.1),
    strong=dict(
        views=1,
        # No threshold: at 0.8, as in FixMatch, it was behind on validation.
        loss=dict(confidence=None),
        weight=dict(final=0.5, shape='exp', length=0.1),
    ),
)
