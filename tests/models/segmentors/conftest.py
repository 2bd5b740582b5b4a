"""Small segmentors of two domains, and batches for them."""

import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

CLASSES = {'day': ('sky', 'ground', 'car'), 'night': ('background', 'lamp', 'cat', 'dog', 'fox')}
DOMAINS = {
    'day': dict(classes=CLASSES['day'], foreground=('ground', 'car')),
    'night': dict(classes=CLASSES['night']),
}
PERTURBATIONS = ('F-Noise', 'F-Drop', 'DropOut', 'Obj-Msk', 'Con-Msk', 'G-Cutout', 'I-VAT')


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def make_model():
    """Build a segmentor whose z has 32 channels at stride 8; the weights follow from the seed."""

    def configure(method='CCT', domains=DOMAINS, **changes):
        if not isinstance(domains, dict):
            domains = {name: DOMAINS[name] for name in domains}
        config = dict(
            type=method,
            data_preprocessor=dict(
                type='SegDataPreProcessor',
                mean=[127.0] * 3,
                std=[64.0] * 3,
                size_divisor=16,
                seg_pad_val=255,
                test_cfg=dict(size_divisor=16),
            ),
            # Its strided 1x1 convolutions of 8 channels are what oneDNN gets wrong: the segmentor
            # converts them, see cct_mm/models/cpu/strided_pointwise.py.
            backbone=dict(
                type='ResNetV1c',
                depth=18,
                stem_channels=8,
                base_channels=8,
                num_stages=3,
                strides=(1, 2, 1),
                dilations=(1, 1, 2),
                out_indices=(0, 1, 2),
            ),
            decode_head=dict(type='SubPixelHead', in_channels=32),
            domains=domains,
        )
        if method == 'CCT':
            config['auxiliary'] = dict(
                in_channels=32, perturbations=[dict(type=name) for name in PERTURBATIONS]
            )
        return {**config, **changes}

    def make(*args, seed=0, **kwargs):
        torch.manual_seed(seed)
        model = MODELS.build(configure(*args, **kwargs))
        model.init_weights()
        set_progress(model, Progress(iteration=5, max_iters=100, seed=0))
        return model

    make.config = configure
    return make


@pytest.fixture
def make_data():
    """Make what the dataloader gives: random images of one domain, the labeled ones first.

    ``views`` names further views of the unlabeled images, which are negatives of them.
    """

    def make(domain='day', labeled=2, unlabeled=2, size=(32, 48), seed=0, ori_shape=None, views=()):
        generator = torch.Generator().manual_seed(seed)
        inputs, samples = [], []
        for i in range(labeled + unlabeled):
            inputs.append(torch.randint(0, 256, (3, *size), generator=generator).byte())
            sample = SegDataSample(
                metainfo=dict(
                    img_shape=size,
                    ori_shape=ori_shape or size,
                    img_path=f'{i}.png',
                    domain=domain,
                    supervision='labeled' if i < labeled else 'unlabeled',
                    sample_key=f'0/{i}',
                )
            )
            labels = torch.randint(0, len(CLASSES[domain]), (1, *size), generator=generator)
            if i < labeled:
                sample.gt_sem_seg = PixelData(data=labels)
            elif views:
                sample.views = PixelData(**dict.fromkeys(views, 255 - inputs[-1]))
            samples.append(sample)
        return dict(inputs=inputs, data_samples=samples)

    return make


@pytest.fixture
def features_of():
    """Encode images as a domain's, by a copy of the model, whose statistics stay as they are."""

    def encode(model, images, domain):
        duplicate = copy.deepcopy(model)
        with duplicate.active(domain):
            return duplicate.extract_feat(images)

    return encode


@pytest.fixture
def losses_of():
    """Compute the losses of a batch as a training step does."""

    def compute(model, data):
        model.train()
        return model.loss(**model.data_preprocessor(data, training=True))

    return compute


@pytest.fixture
def outputs_of():
    """Keep what a module gives from now on, with the gradients that its outputs get."""

    def keep(module):
        outputs = []

        def hook(module, args, output):
            if output.requires_grad:
                output.retain_grad()
            outputs.append(output)

        module.register_forward_hook(hook)
        return outputs

    return keep
