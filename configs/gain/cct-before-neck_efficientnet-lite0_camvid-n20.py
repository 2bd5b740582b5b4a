# The auxiliary decoders start from the backbone's last map, 320 channels at stride 16, and the main
# head from the neck's: L_u does not train the neck.
_base_ = '../cct/cct_efficientnet-lite0_camvid-n20.py'
model = dict(
    neck=dict(_delete_=True, type='KeepBackboneMaps', neck={{_base_.model.neck}}),
    domains=dict(camvid=dict(z_index=2)),
    auxiliary=dict(in_channels=320, stride=16),
)
