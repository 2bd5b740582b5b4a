# What the recommended recipe adds to CCT (docs/recommended.md): for the main head one strong view
# of each unlabeled image, taught by the weak one at every pixel.
recommended_strong = dict(
    views=1,
    # No threshold: with one of 0.8 (FixMatch's is 0.95) it was behind on validation.
    loss=dict(confidence=None),
    weight=dict(final=0.5, shape='exp', length=0.1),
)
