"""Small networks of two domains, whose norms have seen different images."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from tiny_network import tiny_backbone

import cct_mm  # noqa: F401  registers everything

DOMAINS = dict(
    day=dict(classes=('sky', 'tree', 'car'), foreground=('car',)),
    night=dict(classes=('lamp', 'person'), foreground=('lamp',)),
)
PALETTES = {'day': [[9, 8, 7], [1, 2, 3], [4, 5, 6]], 'night': [[7, 7, 7], [200, 0, 0]]}
METHODS = dict(
    SupervisedSegmentor=dict(),
    MeanTeacher=dict(),
    CCT=dict(auxiliary=dict(perturbations=[dict(type='DropOut')], in_channels=24, stride=8)),
)
PSP = dict(type='PSPNeck', in_channels=32, out_channels=24)
SUBPIXEL = dict(type='SubPixelHead', in_channels=24, stride=8)
FCN = dict(
    type='FCNHead', in_channels=32, in_index=2, channels=8, num_convs=1, norm_cfg=dict(type='BN')
)


def network_config(method='SupervisedSegmentor', neck=PSP, head=SUBPIXEL, **options) -> Config:
    """Return the config of a network; one without a neck has a head of mmseg."""
    preprocessor = dict(
        type='SegDataPreProcessor',
        mean=[120.0, 110.0, 100.0],
        std=[60.0, 55.0, 50.0],
        bgr_to_rgb=True,
        size_divisor=8,
        test_cfg=dict(size_divisor=8),
    )
    return Config(
        dict(
            model=dict(
                type=method,
                data_preprocessor=preprocessor,
                backbone=tiny_backbone(),
                neck=neck,
                decode_head=head,
                domains=DOMAINS,
                **METHODS[method],
                **options,
            )
        )
    )


def build(cfg: Config):
    """Return a network whose statistics differ from norm to norm and from domain to domain."""
    model = MODELS.build(cfg.model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith('running_mean'):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
            if name.endswith('running_var'):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return model.eval()


def write_network(folder: Path, **options):
    """Write network.py and network.pth, with the state of an optimizer, and return the network."""
    cfg = network_config(**options)
    pipeline = [dict(type='LoadCheckedImage'), dict(type='LoadCheckedAnnotations')]
    pipeline += [dict(type='PackSegInputs')]
    domains = {name: dict(labeled=dict(type='ListDataset', pipeline=pipeline)) for name in DOMAINS}
    cfg.test_dataloader = dict(dataset=dict(type='MultiDomainDataset', domains=domains))
    cfg.custom_imports = dict(imports=['cct_mm'], allow_failed_imports=False)
    cfg.default_scope = 'mmseg'
    cfg.dump(folder / 'network.py')
    model = build(cfg)
    metas = {
        name: dict(classes=DOMAINS[name]['classes'], palette=palette)
        for name, palette in PALETTES.items()
    }
    checkpoint = dict(
        meta=dict(dataset_meta=dict(domains=metas)),
        state_dict=model.state_dict(),
        optimizer=dict(state={i: torch.zeros_like(p) for i, p in enumerate(model.parameters())}),
    )
    torch.save(checkpoint, folder / 'network.pth')
    return model
