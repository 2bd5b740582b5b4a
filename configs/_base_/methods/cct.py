# CCT as in the paper: 30 auxiliary decoders (Section 4.4.1), hyperparameters of Table 12. I-VAT's
# direction is the exact limit of Eq. 14 for xi -> 0; the paper's xi = 1e-6 is rounding noise in
# float32.
paper_auxiliary = dict(
    in_channels=512,
    stride=8,
    perturbations=[
        dict(type='F-Noise', num=6),  # N ~ U(-0.3, 0.3)
        dict(type='F-Drop', num=6, threshold=(0.6, 0.9)),
        dict(type='DropOut', num=6, p=0.5),
        dict(type='G-Cutout', num=6, area=0.4),
        dict(type='Obj-Msk', num=2),
        dict(type='Con-Msk', num=2),
        dict(type='I-VAT', num=2, eps=2.0),
    ],
)
