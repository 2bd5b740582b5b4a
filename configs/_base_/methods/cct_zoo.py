# CCT for any network: one decoder of each perturbation; channels and stride of z follow from the
# encoder.
zoo_auxiliary = dict(
    # At the paper's width C some decoders lag far behind.
    channels=32,
    perturbations=[
        dict(type='F-Noise'),
        dict(type='F-Drop'),
        dict(type='DropOut'),
        dict(type='Obj-Msk'),
        dict(type='Con-Msk'),
        dict(type='G-Cutout'),
        dict(type='I-VAT'),
    ],
)
