"""A domain: what it takes for foreground, what it refuses, and the target of L_u."""

import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from cct_mm.models.active_domain import ActiveDomain
from cct_mm.models.domain import Domain, evaluating, untouched
from cct_mm.models.norm import use_domain_specific_norms

CLASSES = ('sky', 'car', 'bus')
SUB_PIXEL = dict(type='SubPixelHead', in_channels=5, stride=4)
# A head of mmseg with batch norm and dropout, at z's own size.
CONVOLUTIONAL = dict(
    type='FCNHead',
    in_channels=5,
    channels=4,
    num_convs=1,
    dropout_ratio=0.5,
    norm_cfg=dict(type='BN'),
)


def domain_of(head=SUB_PIXEL, **arguments):
    torch.manual_seed(0)
    return Domain('camvid', **{'classes': CLASSES, 'decode_head': head, **arguments})


def features(batch=2):
    torch.manual_seed(1)
    return (torch.randn(batch, 5, 3, 4),)


def state_of(domain):
    flags = {name: module.training for name, module in domain.named_modules()}
    tracking = [m.track_running_stats for m in domain.modules() if hasattr(m, 'running_mean')]
    return flags, tracking, {name: value.clone() for name, value in domain.state_dict().items()}


def assert_same_state(found, expected):
    assert found[:2] == expected[:2]
    assert all(torch.equal(value, expected[2][name]) for name, value in found[2].items())


class TestForeground:
    def test_all_but_background_where_class_0_has_that_name(self):
        domain = domain_of(classes=('background', 'cat', 'dog'))
        assert domain.foreground_names == ('cat', 'dog')
        assert domain.foreground.tolist() == [False, True, True]

    @pytest.mark.parametrize('classes', [CLASSES, ('sky', 'background', 'car')])
    def test_nothing_where_it_has_another(self, classes):
        domain = domain_of(classes=classes)
        assert domain.foreground_names == ()
        assert domain.foreground.tolist() == [False] * 3

    def test_as_named(self):
        domain = domain_of(foreground=('bus', 'sky'))
        assert domain.foreground.tolist() == [True, False, True]
        assert domain_of(classes=('background', 'a'), foreground=()).foreground_names == ()

    def test_is_no_part_of_the_checkpoint(self):
        assert 'foreground' not in domain_of().state_dict()


class TestHead:
    def test_number_of_classes_follows_from_the_classes(self):
        domain = domain_of()
        assert domain.num_classes == domain.decode_head.num_classes == 3
        assert domain_of({**SUB_PIXEL, 'num_classes': 3}).num_classes == 3

    def test_padding_does_not_count_in_the_default_loss(self):
        assert domain_of().decode_head.loss_decode.avg_non_ignore is True
        own = dict(type='CrossEntropyLoss', loss_weight=0.5)
        assert (
            domain_of({**SUB_PIXEL, 'loss_decode': own}).decode_head.loss_decode.loss_weight == 0.5
        )

    def test_config_is_left_as_it_was(self):
        config = dict(SUB_PIXEL)
        domain_of(config)
        assert config == SUB_PIXEL


class TestErrors:
    def message(self, **arguments):
        with pytest.raises(ValueError) as error:
            domain_of(**arguments)
        return str(error.value)

    def test_repeated_class(self):
        assert self.message(classes=('sky', 'car', 'sky')) == (
            "domain camvid: repeated names in classes ('sky', 'car', 'sky')"
        )

    def test_foreground_that_is_no_class(self):
        assert self.message(foreground=('car', 'Bus', 'van')) == (
            "domain camvid: foreground names ['Bus', 'van'], expected some of its classes "
            "['sky', 'car', 'bus']"
        )

    def test_head_with_another_number_of_classes(self):
        assert self.message(head={**SUB_PIXEL, 'num_classes': 19}) == (
            'domain camvid: its head has num_classes=19, expected 3 (its classes: sky, car, bus); '
            'remove num_classes from decode_head, it follows from the classes'
        )

    def test_head_that_ignores_another_label_than_padding_has(self):
        with pytest.raises(ValueError) as error:
            domain_of({**SUB_PIXEL, 'ignore_index': 0})
        assert 'ignore_index=0, expected 255' in str(error.value)
        assert 'label_map={0: 255}' in str(error.value)

    def test_head_with_one_logit_for_two_classes(self):
        head = {**CONVOLUTIONAL, 'out_channels': 1, 'threshold': 0.3}
        assert self.message(classes=('field', 'road'), head=head) == (
            'domain camvid: its head has out_channels=1, expected 2, one for each class, for a '
            'softmax tells them apart; remove out_channels from decode_head'
        )


class TestLogits:
    def test_are_resized_where_the_head_is_coarser(self):
        domain = domain_of(CONVOLUTIONAL).eval()
        logits = domain.logits(features(), (12, 16))
        assert logits.shape == (2, 3, 12, 16)
        expected = nn.functional.interpolate(
            domain.decode_head(features()), (12, 16), mode='bilinear', align_corners=False
        )
        assert torch.equal(logits, expected)

    def test_are_left_alone_where_they_fit(self):
        domain = domain_of()
        assert torch.equal(domain.logits(features(), (12, 16)), domain.decode_head(features()))


class TestPredictTarget:
    def test_is_the_softmax_of_the_logits_at_full_size(self):
        domain = domain_of()
        target = domain.predict_target(features(), (12, 16))
        expected = domain.decode_head(features()).softmax(dim=1)
        torch.testing.assert_close(target, expected.detach())

    def test_is_upsampled_before_the_softmax(self):
        domain = domain_of(CONVOLUTIONAL).eval()
        target = domain.predict_target(features(), (12, 16))
        torch.testing.assert_close(target, domain.logits(features(), (12, 16)).softmax(dim=1))

    def test_carries_no_gradient(self):
        domain = domain_of()
        z = features()[0].requires_grad_()
        target = domain.predict_target((z,), (12, 16))
        assert not target.requires_grad and target.grad_fn is None

    def test_is_float32_whatever_the_encoder_computes_in(self):
        domain = domain_of().bfloat16()
        target = domain.predict_target((features()[0].bfloat16(),), (12, 16))
        assert target.dtype == torch.float32
        assert (target.sum(dim=1) - 1).abs().max() < 1e-6

    def test_drops_nothing_but_normalizes_by_the_batch(self):
        domain = domain_of(CONVOLUTIONAL).train()
        target = domain.predict_target(features(), (12, 16))
        torch.manual_seed(2)
        assert torch.equal(domain.predict_target(features(), (12, 16)), target)
        domain.decode_head.dropout.p = 0.0
        expected = domain.logits(features(), (12, 16)).softmax(dim=1)
        torch.testing.assert_close(target, expected.detach())
        assert not torch.allclose(target, domain.eval().predict_target(features(), (12, 16)))

    @pytest.mark.parametrize('training', [True, False])
    def test_leaves_no_trace(self, training):
        domain = domain_of(CONVOLUTIONAL).train(training)
        before = state_of(domain)
        domain.predict_target(features(), (12, 16))
        assert_same_state(state_of(domain), before)
        random_state = torch.get_rng_state()
        domain.predict_target(features(), (12, 16))
        assert torch.equal(torch.get_rng_state(), random_state)

    def test_leaves_no_trace_after_an_exception(self):
        domain = domain_of(CONVOLUTIONAL).train()
        before = state_of(domain)
        with pytest.raises(RuntimeError):
            domain.predict_target((torch.randn(2, 5, 3, 4).double(),), (12, 16))
        assert_same_state(state_of(domain), before)

    def test_leaves_frozen_layers_frozen(self):
        domain = domain_of(CONVOLUTIONAL).train()
        for module in domain.modules():
            if isinstance(module, nn.BatchNorm2d | nn.Dropout2d):
                module.eval()
        before = state_of(domain)
        target = domain.predict_target(features(), (12, 16))
        assert_same_state(state_of(domain), before)
        torch.testing.assert_close(target, domain.eval().predict_target(features(), (12, 16)))


class TestUntouched:
    def test_holds_inside_and_ends_outside(self):
        module = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Dropout(0.5).eval())
        x = torch.randn(8, 4)
        with untouched(module):
            assert not module[0].training and module[1].training
            module(x)
        assert [m.training for m in module] == [True, True, False]
        assert module[1].num_batches_tracked == 0
        module(x)
        assert module[1].num_batches_tracked == 1

    def test_may_be_nested(self):
        module = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4))
        with untouched(module):
            with untouched(module):
                pass
            assert not module[0].training
            module(torch.randn(8, 4))
        assert module[0].training and module[1].track_running_stats
        assert module[1].num_batches_tracked == 0

    def test_normalizes_by_the_batch_where_norms_are_domain_specific(self):
        plain = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.BatchNorm1d(4))
        specific = copy.deepcopy(plain)
        use_domain_specific_norms(specific, ActiveDomain(['day']))
        for module in (plain, specific):
            module[1].eval()  # frozen
        x = 3 * torch.randn(8, 4) + 1
        before = copy.deepcopy(specific.state_dict())
        with untouched(plain), untouched(specific):
            assert torch.equal(specific(x), plain(x))
        assert all(torch.equal(v, before[name]) for name, v in specific.state_dict().items())
        specific(x)
        assert specific[0].statistics['day'].num_batches_tracked == 1
        assert specific[1].statistics['day'].num_batches_tracked == 0


def test_evaluating_gives_each_part_its_own_mode_back():
    module = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Dropout(0.5).eval())
    x = torch.randn(8, 4)
    with pytest.raises(RuntimeError), evaluating(module):
        assert not any(m.training for m in module.modules())
        torch.testing.assert_close(module(x), x, rtol=1e-4, atol=1e-4)
        module(x.double())
    assert module.training and [m.training for m in module] == [True, True, False]
    assert module[1].num_batches_tracked == 0


class TestMaps:
    def test_of_a_batch_that_is_not_encoded(self):
        domain = domain_of()
        for use in domain.z, lambda maps: domain.logits(maps, (12, 16)):
            with pytest.raises(ValueError, match=r'^domain camvid: .* no maps .*encode\(batch\)'):
                use(())

    def test_z_that_the_encoder_does_not_give(self):
        domain = domain_of(z_index=2)
        maps = (torch.randn(2, 5, 3, 4), torch.randn(2, 7, 3, 4))
        with pytest.raises(ValueError, match='z_index is 2, but the encoder gives 2 maps') as error:
            domain.z(maps)
        assert '0: 5 channels, 1: 7 channels' in str(error.value)
        assert domain_of(z_index=-1).z(maps) is maps[1]

    def test_map_that_the_head_reads_and_the_encoder_does_not_give(self):
        domain = domain_of({**CONVOLUTIONAL, 'in_index': 3})
        with pytest.raises(ValueError, match='in_index 3, but the encoder gives 1 maps'):
            domain.logits(features(), (12, 16))

    def test_map_of_another_width_than_the_head_reads(self):
        domain = domain_of({**CONVOLUTIONAL, 'in_channels': 8})
        with pytest.raises(ValueError, match=r'in_channels 8 for map -1 .* has 5 channels'):
            domain.logits(features(), (12, 16))

    def test_several_maps_are_compared_one_by_one(self):
        head = dict(in_channels=[5, 7], in_index=[0, 1], channels=4, dropout_ratio=0.0)
        joined = domain_of({'type': 'FCNHead', 'input_transform': 'resize_concat', **head})
        maps = (torch.randn(2, 5, 3, 4), torch.randn(2, 7, 3, 4))
        assert joined.eval().logits(maps, (12, 16)).shape == (2, 3, 12, 16)
        selecting = domain_of({'type': 'SegformerHead', **head})
        assert selecting.eval().logits(maps, (12, 16)).shape == (2, 3, 12, 16)
        with pytest.raises(ValueError, match='in_channels 7 for map 1 .* has 5 channels'):
            selecting.logits((maps[0], maps[0]), (12, 16))


def test_sample_without_labels_is_named():
    sample = SegDataSample(metainfo=dict(img_path='a.png'))
    with pytest.raises(ValueError, match=r'camvid, labeled source: a\.png comes without labels'):
        domain_of().loss(features(1), [sample], (12, 16))


@pytest.mark.parametrize('terms', [1, 2])
def test_loss_is_brought_to_the_mean_over_ranks_once_whatever_the_number_of_terms(
    monkeypatch, terms
):
    loss = [dict(type='CrossEntropyLoss', avg_non_ignore=True)] * terms
    domain = domain_of({**CONVOLUTIONAL, 'dropout_ratio': 0, 'loss_decode': loss})
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 3, 4, dtype=torch.int64)))
    arguments = features(2), [sample, sample], (3, 4)
    alone = domain.loss(*arguments)['loss_ce']
    monkeypatch.setattr('cct_mm.models.domain.get_world_size', lambda: 2)
    # The other rank has three times as many pixels.
    monkeypatch.setattr('cct_mm.models.domain.mean_over_ranks', lambda count: 2 * count)
    torch.testing.assert_close(domain.loss(*arguments)['loss_ce'], alone / 2)


def test_loss_with_class_weights_is_brought_to_the_mean_over_the_weights_of_all_ranks(monkeypatch):
    loss = dict(type='CrossEntropyLoss', class_weight=[3.0, 1.0, 1.0])
    domain = domain_of({**CONVOLUTIONAL, 'dropout_ratio': 0, 'loss_decode': loss}).eval()
    # One rank has 12 pixels of class 0, the other 12 of class 1: as many, with another weight.
    labels = torch.zeros(1, 3, 4, dtype=torch.int64), torch.ones(1, 3, 4, dtype=torch.int64)
    rare, common = (SegDataSample(gt_sem_seg=PixelData(data=data)) for data in labels)
    maps = features(2)

    def loss_of(*samples):
        indices = [(rare, common).index(sample) for sample in samples]
        return domain.loss([x[indices] for x in maps], list(samples), (3, 4))['loss_ce']

    together = loss_of(rare, common)
    monkeypatch.setattr('cct_mm.models.domain.get_world_size', lambda: 2)
    monkeypatch.setattr('cct_mm.models.domain.mean_over_ranks', lambda count: count.new_tensor(24))
    ranks = [loss_of(rare), loss_of(common)]
    # DistributedDataParallel takes the mean over ranks.
    torch.testing.assert_close(sum(ranks) / 2, together)
