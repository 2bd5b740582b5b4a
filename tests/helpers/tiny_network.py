"""A network that is small enough to train within tests, as a config."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONSTANT = {'day': 'ground', 'night': 'sky'}
"""What the known checkpoint predicts in each domain, at all positions of all images."""


def tiny_backbone(base_channels: int = 8) -> dict:
    """Return a backbone whose last map has 4 x ``base_channels`` channels at stride 8."""
    return dict(
        type='ResNetV1c',
        depth=18,
        stem_channels=8,
        base_channels=base_channels,
        num_stages=3,
        strides=(1, 2, 1),
        dilations=(1, 1, 2),
        out_indices=(0, 1, 2),
    )


def tiny_toy_config(iterations: int, interval: int, base_channels: int = 8) -> str:
    """Return the text of a config that trains CCT on toy scenes, with everything logged.

    Args:
        iterations: Length of the training; it validates at the end.
        interval: Iterations between two checkpoints, all of which are kept.
        base_channels: As for :func:`tiny_backbone`.
    """
    channels = 4 * base_channels
    return f"""
_base_ = {str(ROOT / 'configs/cct/cct_toy.py')!r}
model = dict(
    backbone={dict(_delete_=True, **tiny_backbone(base_channels))},
    neck=None,
    # One with dropout, whose random numbers have to survive a resume too.
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels={channels},
        in_index=2,
        channels=8,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.5,
    ),
    auxiliary=dict(in_channels={channels}),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(labeled_per_batch=2, unlabeled_per_batch=2),
)
train_cfg = dict(max_iters={iterations}, val_interval={iterations})
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end={iterations}, by_epoch=False)
]
default_hooks = dict(
    checkpoint=dict(interval={interval}, max_keep_ckpts=-1, save_best=None), logger=dict(interval=1)
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""
