"""A model config of mmseg's zoo becomes supervised or CCT by naming domains."""

import copy
import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from tiny_zoo import NETWORKS, tiny_zoo_config

from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

# Narrow, without random dropout, and otherwise as mmseg has it.
ZOO = {
    'upernet_r50.py': dict(
        pretrained=None,
        backbone=dict(depth=18, base_channels=8, stem_channels=8),
        decode_head=dict(in_channels=[8, 16, 32, 64], channels=8, dropout_ratio=0.0),
        auxiliary_head=dict(in_channels=32, channels=8, dropout_ratio=0.0),
    ),
    'segformer_mit-b0.py': dict(
        backbone=dict(embed_dims=4, num_layers=[1, 1, 1, 1], drop_path_rate=0.0),
        decode_head=dict(in_channels=[4, 8, 20, 32], channels=8, dropout_ratio=0.0),
    ),
    'fpn_r50.py': dict(
        pretrained=None,
        backbone=dict(depth=18, base_channels=8, stem_channels=8),
        neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
        decode_head=dict(in_channels=[8] * 4, channels=8, dropout_ratio=0.0),
    ),
    'fcn_r50-d8.py': dict(
        pretrained=None,
        backbone=dict(depth=18, base_channels=8, stem_channels=8),
        decode_head=dict(in_channels=64, channels=8, dropout_ratio=0.0),
        auxiliary_head=dict(in_channels=32, channels=8, dropout_ratio=0.0),
    ),
}
PERTURBATIONS = [dict(type='F-Noise'), dict(type='I-VAT')]
DIVIDED = dict(type='FCNHead', in_channels=8, channels=8, num_convs=0, concat_input=False)


@pytest.fixture
def zoo_config(tmp_path):
    """Read a model config of mmseg, narrower, by ``_base_`` as a user does."""

    def read(name):
        path = tmp_path / name
        path.write_text(f'_base_ = "mmseg::_base_/models/{name}"\nmodel = {ZOO[name]!r}\n')
        return Config.fromfile(path).model.to_dict()

    return read


def build(config, **changes):
    torch.manual_seed(0)
    model = MODELS.build({**config, **changes})
    model.init_weights()
    set_progress(model, Progress(iteration=5, max_iters=100, seed=0))
    return model


def divided(config, **changes):
    neck = dict(type='HeadAsNeck', head=config['decode_head'], neck=config.get('neck'))
    return {**config, 'neck': neck, 'decode_head': {**DIVIDED, 'dropout_ratio': 0.0}, **changes}


DAY = dict(day=dict(classes=('sky', 'ground', 'car'), foreground=('car',)))
TWO = {**DAY, 'night': dict(classes=('background', 'lamp', 'cat', 'dog', 'fox'))}


@pytest.mark.parametrize('name', ZOO)
class TestNamingDomainsIsEnough:
    @pytest.mark.parametrize('domain', TWO)
    def test_for_cct(self, zoo_config, make_data, losses_of, name, domain):
        model = build(
            zoo_config(name), type='CCT', domains=TWO, auxiliary=dict(perturbations=PERTURBATIONS)
        )
        losses = losses_of(model, make_data(domain, size=(64, 96)))
        deep = 'auxiliary_head' in ZOO[name]
        assert (f'{domain}.aux.loss_ce' in losses) is deep
        total, _ = model.parse_losses(losses)
        total.backward()
        assert all(p.grad is not None for p in model.backbone.parameters() if p.requires_grad)
        for other, own in model.domains.items():
            heads = [*own.decode_head.parameters(), *own.deep_heads.parameters()]
            heads += own.auxiliary.parameters()
            assert all((p.grad is not None) is (other == domain) for p in heads)

    def test_and_the_losses_are_mmsegs(self, zoo_config, make_data, losses_of, name):
        config = with_classes(zoo_config(name), 3)
        reference = build(config, data_preprocessor=None).train()
        model = build(config, type='SupervisedSegmentor', domains=DAY)
        model.load_state_dict(reference.state_dict())
        data = make_data('day', unlabeled=0, size=(64, 96))
        found = losses_of(model, copy.deepcopy(data))
        batch = model.data_preprocessor(data, training=True)
        expected = reference.loss(batch['inputs'], batch['data_samples'])
        for key in ('loss_ce', 'acc_seg'):
            assert found[f'day.{key}'].item() == pytest.approx(expected[f'decode.{key}'].item())
            if 'auxiliary_head' in config:
                value = expected[f'aux.{key}'].item()
                assert found[f'day.aux.{key}'].item() == pytest.approx(value)
        assert len(found) == len(expected)


@pytest.fixture
def said():
    """What is logged."""
    found = []
    logger = MMLogger.get_current_instance()

    class Keep(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    handler = Keep()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


class TestWhatIsPerturbed:
    def test_follows_from_the_encoder(self, zoo_config):
        config = zoo_config('upernet_r50.py')
        auxiliary = dict(perturbations=PERTURBATIONS)
        found = {}
        for index in (0, 1, 3, -1):
            domains = {'day': {**DAY['day'], 'z_index': index}}
            bank = build(config, type='CCT', domains=domains, auxiliary=auxiliary)
            bank = bank.domains['day'].auxiliary
            found[index] = bank.in_channels, bank.stride
        assert found == {0: (8, 4), 1: (16, 8), 3: (64, 32), -1: (64, 32)}

    def test_is_what_the_head_sees_behind_the_head_as_neck(self, zoo_config):
        config = divided(zoo_config('segformer_mit-b0.py'))
        model = build(
            config, type='CCT', domains=DAY, auxiliary=dict(perturbations=PERTURBATIONS)
        ).eval()
        with model.active('day') as domain, torch.no_grad():
            features = model.extract_feat(torch.randn(1, 3, 64, 64))
            logits = domain.decode_head.conv_seg(domain.z(features))
            assert torch.equal(domain.decode_head(features), logits)

    def test_is_told_where_the_head_sees_more(self, zoo_config, said):
        config = zoo_config('upernet_r50.py')
        auxiliary = dict(perturbations=PERTURBATIONS)
        build(divided(config), type='CCT', domains=DAY, auxiliary=auxiliary)
        assert not any('see less than the head' in line for line in said)
        build(config, type='CCT', domains=DAY, auxiliary=auxiliary)
        (line,) = (line for line in said if 'see less than the head' in line)
        assert 'UPerHead reads maps [0, 1, 2, 3] of the encoder, but only z, map -1,' in line

    @pytest.mark.parametrize(
        ('domain', 'auxiliary', 'sentence'),
        [
            (dict(z_index=7), {}, r'z_index is 7, but the encoder gives 4 maps, .*3: 64 channels'),
            ({}, dict(in_channels=32), r'in_channels 32, but z, .* has 64 channels; set'),
            ({}, dict(stride=8), r'stride 8 make 56x56 of z, expected the image size 224x224'),
        ],
    )
    def test_is_checked_where_the_config_names_it(self, zoo_config, domain, auxiliary, sentence):
        domains = {'day': {**DAY['day'], **domain}}
        auxiliary = dict(perturbations=PERTURBATIONS, **auxiliary)
        with pytest.raises(ValueError, match=sentence):
            build(zoo_config('upernet_r50.py'), type='CCT', domains=domains, auxiliary=auxiliary)

    def test_has_a_stride_that_decoders_can_undo(self, zoo_config):
        config = zoo_config('upernet_r50.py')
        patches = dict(type='VisionTransformer', patch_size=14, embed_dims=8, num_heads=2)
        config['backbone'] = dict(**patches, num_layers=1, img_size=224, out_indices=0)
        config['decode_head'] = dict(type='FCNHead', in_channels=8, channels=8)
        del config['auxiliary_head']
        with pytest.raises(ValueError, match=r'16x16 positions for an image of 224x224.*1.75'):
            build(config, type='CCT', domains=DAY, auxiliary=dict(perturbations=PERTURBATIONS))


class TestRefused:
    def test_cascade_of_heads(self, zoo_config):
        config = zoo_config('fcn_r50-d8.py')
        config['decode_head'] = [config['decode_head']] * 2
        with pytest.raises(ValueError, match='decode_head is a list of 2 heads'):
            build(config, type='SupervisedSegmentor', domains=DAY)

    def test_classes_that_a_domain_counts_otherwise(self, zoo_config):
        domains = {'day': {**DAY['day'], 'decode_head': dict(num_classes=19)}}
        with pytest.raises(ValueError, match='num_classes=19, expected 3'):
            build(zoo_config('fcn_r50-d8.py'), type='SupervisedSegmentor', domains=domains)

    def test_head_that_gives_no_map(self, zoo_config, make_data, losses_of):
        config = zoo_config('fcn_r50-d8.py')
        config['decode_head'] = dict(
            type='EncHead', in_channels=[16, 32, 64], in_index=(1, 2, 3), channels=8, num_codes=4
        )
        model = build(config, type='SupervisedSegmentor', domains=DAY)
        with pytest.raises(ValueError, match='decode_head EncHead gives a tuple, expected one map'):
            losses_of(model, make_data('day', unlabeled=0, size=(64, 64)))


NAMES = ('car', 'person', 'Sky', 'tree')


def with_classes(config, count):
    for head in {'decode_head', 'auxiliary_head'} & config.keys():
        config[head]['num_classes'] = count
    return config


@pytest.fixture
def checkpoint(zoo_config, tmp_path):
    """Write a checkpoint of a network of mmseg with four classes; return it and the network."""

    def write(meta, name='upernet_r50.py'):
        network = build(with_classes(zoo_config(name), 4))
        path = tmp_path / 'zoo.pth'
        torch.save({'meta': meta, 'state_dict': network.state_dict()}, path)
        return str(path), network

    return write


NOW = dict(dataset_meta=dict(classes=NAMES, palette=[]))
IN_2022 = dict(CLASSES=list(NAMES))


@pytest.mark.parametrize(
    ('meta', 'method', 'way', 'change'),
    [
        (NOW, 'SupervisedSegmentor', 'load_checkpoint', dict),
        (IN_2022, 'SupervisedSegmentor', 'init_cfg', divided),
        (NOW, 'MeanTeacher', 'load_checkpoint', divided),
    ],
)
def test_weights_of_the_zoo_go_to_every_domain_by_the_names_of_classes(
    zoo_config, checkpoint, said, meta, method, way, change
):
    path, network = checkpoint(meta)
    weights = network.state_dict()
    config = change(zoo_config('upernet_r50.py'))
    config |= dict(type=method, domains=TWO)
    model = build(config)
    before = copy.deepcopy(model.state_dict())
    if way == 'init_cfg':
        model = build({**config, 'init_cfg': dict(type='Pretrained', checkpoint=path)})
    else:
        load_checkpoint(model, path)
    found = model.state_dict()
    for prefix in ('', 'teacher.')[: 1 + (method == 'MeanTeacher')]:
        for part, theirs in ('decode_head', 'decode_head'), ('deep_heads.0', 'auxiliary_head'):
            for kind in ('weight', 'bias'):
                key = f'{prefix}domains.day.{part}.conv_seg.{kind}'
                source = weights[f'{theirs}.conv_seg.{kind}']
                assert torch.equal(found[key][0], source[2])  # sky
                assert torch.equal(found[key][2], source[0])  # car
                assert torch.equal(found[key][1], before[key][1])  # ground: not in the checkpoint
        fused = 'decode_head.fpn_bottleneck.conv.weight'
        own = f'neck.head.{fused[12:]}' if change is divided else f'domains.night.{fused}'
        assert torch.equal(found[prefix + own], weights[fused])
        name = 'backbone.layer1.0.conv1.weight'
        assert torch.equal(found[prefix + name], weights[name])
    (line,) = {line for line in said if 'a checkpoint of an EncoderDecoder brings' in line}
    assert 'its head brings 2 of 3 classes of domain day by name, not ground' in line
    assert 'its head brings 0 of 5 classes of domain night by name, not background, lamp' in line


@pytest.mark.parametrize(('count', 'brought'), [(4, True), (3, False)])
def test_without_names_classes_of_the_same_number_are_brought(
    zoo_config, checkpoint, count, brought
):
    path, network = checkpoint({})
    domains = dict(day=dict(classes=('a', 'b', 'c', 'd')[:count]))
    model = build(zoo_config('upernet_r50.py'), type='SupervisedSegmentor', domains=domains)
    load_checkpoint(model, path)
    row = model.domains['day'].decode_head.conv_seg.weight[0]
    assert torch.equal(row, network.decode_head.conv_seg.weight[0]) is brought


@pytest.mark.parametrize('name', ZOO)
@pytest.mark.parametrize('change', [dict, divided])
def test_a_network_of_the_zoo_predicts_as_in_mmseg(zoo_config, checkpoint, name, change):
    path, network = checkpoint({}, name)
    domains = dict(day=dict(classes=NAMES))
    model = build(change(zoo_config(name)), type='SupervisedSegmentor', domains=domains).eval()
    load_checkpoint(model, path)
    images = torch.randn(2, 3, 64, 96)
    metas = [dict(img_shape=(64, 96), domain='day')] * 2
    with torch.no_grad():
        expected = network.eval().encode_decode(images, metas)
        torch.testing.assert_close(model.encode_decode(images, metas), expected)


@pytest.mark.parametrize('network', NETWORKS)
def test_consistency_alone_reaches_the_encoders_of_the_configs(tmp_path, make_data, network):
    path = tmp_path / 'tiny.py'
    path.write_text(tiny_zoo_config('cct', network))
    model = build(Config.fromfile(path).model.to_dict()).train()
    bank = model.domains['day'].auxiliary
    assert (bank.in_channels, bank.stride) == (8, 8 if network == 'dinov2-vits14' else 4)
    data = make_data('day', labeled=0, size=(96, 128))
    batch = model.data_preprocessor(data, training=True)
    losses = model.loss(**batch)
    losses['day.loss_unsupervised'].backward()
    for part in (model.backbone, model.neck):
        first = next(p for p in part.parameters() if p.ndim > 1)
        assert first.grad.norm() > 0
