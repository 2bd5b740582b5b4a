# The released preset with its form of ab-CE: averaged over the kept pixels.
_base_ = '../cct/cct-released_resnet50-d8_camvid-n20.py'
model = dict(
    decode_head=dict(
        loss_decode=dict(
            type='AnnealedCrossEntropy', threshold=0.9, ramp_up=0.4, average_over='kept'
        )
    )
)
