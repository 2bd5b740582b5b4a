# I-VAT by the finite form of Eqs. 13-14, with the smallest xi that float32 carries well.
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(
    auxiliary=dict(
        perturbations=[
            dict(type='F-Noise', num=6),
            dict(type='F-Drop', num=6),
            dict(type='DropOut', num=6),
            dict(type='G-Cutout', num=6),
            dict(type='Obj-Msk', num=2),
            dict(type='Con-Msk', num=2),
            dict(type='I-VAT', num=2, eps=2.0, xi=0.1),
        ]
    )
)
