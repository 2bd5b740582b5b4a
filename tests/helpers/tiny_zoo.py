"""The networks of configs/zoo, small enough to train within tests, as configs."""

from pathlib import Path

from tiny_network import ROOT

NETWORKS = {
    'upernet-r18': dict(
        pretrained=None,
        backbone=dict(base_channels=8, stem_channels=8),
        neck=dict(head=dict(in_channels=[8, 16, 32, 64], channels=8)),
        auxiliary_head=dict(in_channels=32, channels=8),
    ),
    'segformer-b0': dict(
        backbone=dict(embed_dims=4, num_layers=[1, 1, 1, 1], init_cfg=None),
        neck=dict(head=dict(in_channels=[4, 8, 20, 32], channels=8)),
    ),
    'dinov2-vits14': dict(
        backbone=dict(pretrained=False, embed_dim=12, num_heads=2),
        neck=dict(
            neck=dict(in_channels=[12] * 4, out_channels=4),
            head=dict(in_channels=[4] * 4, channels=8),
        ),
    ),
}
"""What makes a network small: z has 8 channels, random weights."""


def tiny_zoo_config(method: str, network: str) -> str:
    """Return the text of a config that trains a network of the zoo on toy scenes.

    Args:
        method: ``'supervised'`` or ``'cct'``.
        network: A key of :data:`NETWORKS`.
    """
    model = dict(NETWORKS[network], decode_head=dict(in_channels=8, channels=8))
    base = Path(ROOT, 'configs', 'zoo', f'{method}_{network}_toy.py')
    batch = 2 if method == 'supervised' else 4
    return f"""
_base_ = {str(base)!r}
model = {model!r}
train_dataloader = dict(
    batch_size={batch},
    num_workers=0,
    persistent_workers=False,
    sampler=dict(labeled_per_batch=2, unlabeled_per_batch={batch - 2}),
)
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=-1, save_best=None), logger=dict(interval=1)
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""
