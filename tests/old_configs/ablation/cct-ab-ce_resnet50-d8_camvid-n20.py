# Fig. 5: ab-CE as supervised loss (Eqs. 4 and 17), ramp over 0.4 of training (Supplement K).
_base_ = '../cct/cct_resnet50-d8_camvid-n20.py'
model = dict(
    decode_head=dict(loss_decode=dict(type='AnnealedCrossEntropy', threshold=0.9, ramp_up=0.4))
)
