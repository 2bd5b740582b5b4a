"""Every method makes the same steps on two processes with half of the images each."""

from pathlib import Path

import pytest

METHODS = """
METHODS = dict(
    SupervisedSegmentor={},
    CCT=dict(
        auxiliary=dict(perturbations=[dict(type='F-Noise'), dict(type='I-VAT')]),
        teacher=dict(decay=0.6),
    ),
    MeanTeacher={},
    EntropyMinimization={},
    PseudoLabeling=dict(confidence=0.4),
    InputVAT={},
    CrossPseudoSupervision={},
    # Without CutMix, whose images are those of the process.
    WeakToStrong=dict(
        strong=dict(
            views=2,
            channel_dropout=0.5,
            augmentation=dict(cutmix=0.0),
            loss=dict(confidence=0.4),
        )
    ),
)
"""
SCRIPT = """
import sys
sys.path[:0] = HELPERS
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from tiny_network import tiny_backbone
from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

DOMAINS = dict(
    day=dict(classes=('sky', 'ground', 'car'), foreground=('car',)),
    night=dict(classes=('sky', 'lamp'), foreground=('lamp',)),
)


def image(i, domain, supervision):
    generator = torch.Generator().manual_seed(i)
    values = torch.randint(0, 256, (3, 32, 48), generator=generator).byte()
    meta = dict(img_shape=(32, 48), sample_key=f'0/{i}', domain=domain, supervision=supervision)
    sample = SegDataSample(metainfo=meta)
    if supervision == 'labeled':
        classes = len(DOMAINS[domain]['classes'])
        labels = torch.randint(0, classes, (1, 32, 48), generator=generator)
        sample.gt_sem_seg = PixelData(data=labels)
    else:
        sample.views = PixelData(strong=255 - values)
    return values, sample


def trained(method, settings, wrap, halves):
    torch.manual_seed(0)
    preprocessor = dict(
        type='SegDataPreProcessor', mean=[127.0] * 3, std=[64.0] * 3, size_divisor=16
    )
    model = MODELS.build(
        dict(
            type=method,
            data_preprocessor=preprocessor,
            backbone=tiny_backbone(),
            decode_head=dict(type='SubPixelHead', in_channels=32),
            domains=DOMAINS,
            # Batch norm would see the images of one process.
            norm='frozen',
            **settings,
        )
    ).train()
    net = wrap(model)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    for t, domain in enumerate(('day', 'night', 'day')):
        set_progress(model, Progress(iteration=t + 5, max_iters=20, seed=0))
        images = [image(4 * t + i, domain, 'labeled') for i in halves]
        images += [image(4 * t + 2 + i, domain, 'unlabeled') for i in halves]
        if method == 'SupervisedSegmentor':
            images = images[: len(halves)]
        values, samples = zip(*images, strict=True)
        net.train_step(dict(inputs=list(values), data_samples=list(samples)), wrapper)
        model.after_step()
    return model.state_dict()


found = {}
options = dict(device_ids=None, broadcast_buffers=False, find_unused_parameters=True)
with DefaultScope.overwrite_default_scope('mmseg'):
    for method, settings in METHODS.items():
        found[method] = trained(
            method, settings, lambda m: MMDistributedDataParallel(m, **options), [rank]
        )
    distributed.destroy_process_group()
    for method, settings in METHODS.items():
        for name, value in trained(method, settings, lambda m: m, [0, 1]).items():
            torch.testing.assert_close(
                found[method][name], value, rtol=1e-4, atol=1e-5, msg=f'{method}: {name}'
            )
"""


@pytest.mark.slow
def test_steps_are_those_of_one(on_two_processes):
    helpers = str(Path(__file__).parents[2] / 'helpers')
    on_two_processes(METHODS + SCRIPT.replace('HELPERS', repr([helpers])))
