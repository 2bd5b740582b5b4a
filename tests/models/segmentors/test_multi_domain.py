"""The base segmentor: one encoder, and one main head a domain that no other domain touches."""

import copy

import numpy as np
import pytest
import torch
from messages import naming
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.apis import inference_model, init_model
from mmseg.registry import MODELS
from torch.nn import functional as F

from cct_mm.models.segmentors import SupervisedSegmentor
from cct_mm.models.segmentors.batch import Batch

TYPES = pytest.mark.parametrize('method', ['SupervisedSegmentor', 'CCT'])


@pytest.fixture
def supervised(make_model):
    return make_model('SupervisedSegmentor')


def mix(*batches):
    """Put several batches into one."""
    return {key: [x for batch in batches for x in batch[key]] for key in batches[0]}


def test_is_registered_in_mmseg():
    assert MODELS.get('SupervisedSegmentor') is SupervisedSegmentor


def test_of_its_former_name_is_the_same_and_warns(make_model):
    with pytest.warns(FutureWarning, match="type='SupervisedSegmentor'"):
        assert type(make_model('MultiDomainSegmentor')) is SupervisedSegmentor


class TestActiveDomain:
    @pytest.mark.parametrize(
        'name', ['decode_head', 'num_classes', 'out_channels', 'align_corners']
    )
    def test_is_asked_for_where_nobody_has_said_it(self, supervised, name):
        with pytest.raises(RuntimeError) as error:
            getattr(supervised, name)
        assert "with model.active('day')" in str(error.value)
        assert "model.default_domain = 'day'" in str(error.value)

    def test_is_asked_for_by_domain_specific_norms_too(self, supervised):
        with pytest.raises(RuntimeError, match='no domain is active'):
            supervised.extract_feat(torch.zeros(1, 3, 32, 48))

    def test_gives_head_classes_and_statistics_and_ends(self, supervised):
        with supervised.active('night') as night:
            assert supervised.decode_head is night.decode_head
            assert (supervised.num_classes, supervised.out_channels) == (5, 5)
            with supervised.active(supervised.domains['day']):
                assert supervised.num_classes == 3
            assert supervised.num_classes == 5
        with pytest.raises(RuntimeError, match='no domain is active'):
            supervised.num_classes  # noqa: B018

    def test_of_a_training_step_ends_with_it(self, supervised, make_data, losses_of):
        losses_of(supervised, make_data('night', unlabeled=0))
        with pytest.raises(RuntimeError, match='no domain is active'):
            supervised.num_classes  # noqa: B018

    def test_by_default_serves_images_without_a_tag(self, supervised):
        supervised.eval().default_domain = 'night'
        (result,) = supervised.predict(torch.zeros(1, 3, 32, 48))
        assert result.seg_logits.data.shape == (5, 32, 48)
        assert supervised.num_classes == 5

    def test_by_default_has_to_exist(self, supervised):
        with pytest.raises(ValueError, match=r"'dusk'.*\['day', 'night'\]"):
            supervised.default_domain = 'dusk'

    @pytest.mark.parametrize('norm', ['domain-specific', 'frozen'])
    def test_is_that_of_the_pass_where_activation_checkpointing_runs_it_again(
        self, make_model, make_data, losses_of, norm
    ):
        gradients = []
        for again in (False, True):
            model = make_model('SupervisedSegmentor', norm=norm)
            for module in model.backbone.modules():
                if hasattr(module, 'with_cp'):
                    module.with_cp = again
            losses_of(model, make_data('night', unlabeled=0))['night.loss_ce'].backward()
            gradients.append([p.grad for p in model.backbone.parameters()])
        assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


class TestLoss:
    @pytest.mark.parametrize('domain', ['day', 'night'])
    def test_names_begin_with_the_domain(self, supervised, make_data, losses_of, domain):
        losses = losses_of(supervised, make_data(domain, unlabeled=0))
        assert set(losses) == {f'{domain}.loss_ce', f'{domain}.acc_seg'}

    def test_is_the_cross_entropy_of_the_domains_own_head(self, supervised, make_data, features_of):
        data = supervised.data_preprocessor(make_data('night', unlabeled=0), training=True)
        features = features_of(supervised, data['inputs'], 'night')
        logits = supervised.domains['night'].decode_head(features)
        labels = torch.cat([s.gt_sem_seg.data for s in data['data_samples']])
        loss = supervised.loss(**data)['night.loss_ce']
        torch.testing.assert_close(loss, F.cross_entropy(logits, labels))

    def test_reaches_the_encoder_and_the_own_head_only(self, supervised, make_data, losses_of):
        losses_of(supervised, make_data('day', unlabeled=0))['day.loss_ce'].backward()
        names = [name for name, _ in supervised.named_parameters()]
        touched = [name for name, p in supervised.named_parameters() if p.grad is not None]
        assert touched == [name for name in names if not name.startswith('domains.night')]

    def test_is_the_same_with_and_without_a_second_domain(self, make_model, make_data, losses_of):
        both, alone = (make_model('SupervisedSegmentor', d) for d in (['day', 'night'], ['day']))
        alone.load_state_dict(both.state_dict(), strict=False)
        data = make_data('day', unlabeled=0)
        assert losses_of(alone, copy.deepcopy(data)) == losses_of(both, data)

    def test_needs_no_domain_tag_in_a_model_of_one_domain(self, make_model, make_data, losses_of):
        data = make_data('day', unlabeled=0)
        for sample in data['data_samples']:
            sample.set_metainfo(dict(domain=None))
        losses = losses_of(make_model('SupervisedSegmentor', ['day']), data)
        tagged = losses_of(
            make_model('SupervisedSegmentor', ['day']), make_data('day', unlabeled=0)
        )
        assert losses == tagged

    def test_of_a_domain_follows_the_domains_own_head_config(
        self, make_model, make_data, losses_of
    ):
        own = dict(channels=6, loss_decode=dict(type='CrossEntropyLoss', loss_name='loss_own'))
        model = make_model(
            'SupervisedSegmentor',
            domains={
                'day': dict(classes=('a', 'b', 'c')),
                'night': dict(classes=('a', 'b', 'c', 'd', 'e'), decode_head=own),
            },
        )
        heads = {name: domain.decode_head for name, domain in model.domains.items()}
        assert {name: head.channels for name, head in heads.items()} == {'day': 3, 'night': 6}
        assert 'day.loss_ce' in losses_of(model, make_data('day', unlabeled=0))
        assert 'night.loss_own' in losses_of(model, make_data('night', unlabeled=0))


class TestPadding:
    """Images of 20 x 27 are padded to 32 x 32."""

    def test_counts_in_no_loss(self, supervised, make_data, features_of):
        data = supervised.data_preprocessor(
            make_data('day', unlabeled=0, size=(20, 27)), training=True
        )
        assert data['inputs'].shape[2:] == (32, 32)
        features = features_of(supervised, data['inputs'], 'day')
        logits = supervised.domains['day'].decode_head(features)[..., :20, :27]
        labels = torch.cat([s.gt_sem_seg.data[..., :20, :27] for s in data['data_samples']])
        loss = supervised.loss(**data)['day.loss_ce']
        torch.testing.assert_close(loss, F.cross_entropy(logits, labels))

    def test_may_get_any_logits(self, supervised, make_data, monkeypatch):
        data = supervised.data_preprocessor(
            make_data('day', unlabeled=0, size=(20, 27)), training=True
        )
        expected = copy.deepcopy(supervised).loss(**data)
        domain = supervised.domains['day']
        logits = domain.logits

        def garbage_in_the_padding(features, size):
            result = logits(features, size)
            result[..., 20:, :] = 50 * torch.randn_like(result[..., 20:, :])
            result[..., 27:] = 50 * torch.randn_like(result[..., 27:])
            return result

        monkeypatch.setattr(domain, 'logits', garbage_in_the_padding)
        losses = supervised.loss(**data)
        for name, value in expected.items():
            torch.testing.assert_close(losses[name], value, rtol=1e-5, atol=0)


class TestErrors:
    def test_batch_of_mixed_domains(self, supervised, make_data, losses_of):
        batch = mix(make_data('night', unlabeled=0), make_data('day', unlabeled=0))
        with naming("['day', 'night']", 'expected one domain', 'batch_size', '_per_batch'):
            losses_of(supervised, batch)

    def test_batch_of_mixed_sizes(self, supervised, make_data, losses_of):
        batch = mix(make_data('day', 1, 0, size=(32, 48)), make_data('day', 1, 0, size=(32, 40)))
        with naming('32x48 (0.png)', '32x40 (0.png)', 'expected one size', 'Resize or crop'):
            losses_of(supervised, batch)

    def test_mixed_sizes_are_meant_where_the_preprocessor_pads_to_one(
        self, make_model, make_data, losses_of
    ):
        batch = mix(make_data('day', 1, 0, size=(32, 48)), make_data('day', 1, 0, size=(32, 40)))
        model = make_model('SupervisedSegmentor')
        model.data_preprocessor.size, model.data_preprocessor.size_divisor = (32, 48), None
        assert torch.isfinite(sum(losses_of(model, batch).values()))

    def test_sample_of_unknown_supervision(self, supervised, make_data, losses_of):
        batch = make_data('day', unlabeled=0)
        batch['data_samples'][0].set_metainfo(dict(supervision='weekly'))
        with naming("supervision 'weekly'", 'labeled, unlabeled, weak', 'MultiDomainDataset'):
            losses_of(supervised, batch)

    def test_unknown_domain(self, make_model, make_data, losses_of):
        model = make_model('SupervisedSegmentor', ['night'])
        with naming("domain 'day'", "expected one of ['night']"):
            losses_of(model, make_data('day', unlabeled=0))

    def test_no_tag_where_there_are_several_domains(self, supervised, make_data, losses_of):
        data = make_data('day', unlabeled=0)
        for sample in data['data_samples']:
            sample.set_metainfo(dict(domain=None))
        with naming(
            'no domain is named', "expected one of ['day', 'night']", 'model.default_domain'
        ):
            losses_of(supervised, data)

    def test_unlabeled_images_without_a_method_for_them(self, supervised, make_data, losses_of):
        with naming(
            'SupervisedSegmentor',
            '3 unlabeled or weakly labeled images of domain day',
            'expected none',
            'unlabeled_per_batch=0',
            'weak_per_batch=0',
            'such as CCT',
        ):
            losses_of(supervised, make_data('day', labeled=2, unlabeled=3))

    @TYPES
    def test_no_domains(self, make_model, method):
        with naming(
            method, '`domains` is empty', 'name=dict(classes=(...))', 'configs/_base_/domains'
        ):
            make_model(method, domains={})

    @TYPES
    def test_unknown_entry_of_a_domain(self, make_model, method):
        domains = {'day': dict(classes=('sky', 'car'), foregrond=('car',))}
        with pytest.raises(ValueError) as error:
            make_model(method, domains)
        assert 'domains.day: unknown entries foregrond, expected some of' in str(error.value)
        assert 'foreground' in str(error.value)


class TestIsolation:
    @TYPES
    def test_a_step_on_one_domain_leaves_the_other_bit_for_bit(self, make_model, make_data, method):
        unlabeled = 2 if method == 'CCT' else 0
        model = make_model(method)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        wrapper = OptimWrapper(optimizer)
        # First a step on each: momentum alone would move a head whose gradient is zero, not None.
        for domain in ('night', 'day'):
            model.train_step(make_data(domain, unlabeled=unlabeled), wrapper)
        before = copy.deepcopy(model.state_dict())
        model.train_step(make_data('day', unlabeled=unlabeled, seed=1), wrapper)

        changed = {
            name
            for name, value in model.state_dict().items()
            if not torch.equal(value, before[name])
        }
        assert not {name for name in changed if name.startswith('domains.night')}
        parameters = {name for name, _ in model.named_parameters()}
        assert changed >= {name for name in parameters if not name.startswith('domains.night')}


class TestPredict:
    def test_routes_each_sample_of_a_mixed_batch_to_its_domain(self, supervised, make_data):
        supervised.eval()
        batches = [make_data(name, 0, 2, seed=i) for i, name in enumerate(('day', 'night'))]
        order = [2, 0, 3, 1]
        mixed = {key: [values[i] for i in order] for key, values in mix(*batches).items()}
        alone = [r for batch in batches for r in supervised.test_step(copy.deepcopy(batch))]
        together = supervised.test_step(mixed)
        for i, result in zip(order, together, strict=True):
            num_classes = 3 if i < 2 else 5
            assert result.domain == ('day' if i < 2 else 'night')
            assert result.seg_logits.data.shape == (num_classes, 32, 48)
            torch.testing.assert_close(result.seg_logits.data, alone[i].seg_logits.data)
            torch.testing.assert_close(
                result.pred_sem_seg.data, alone[i].seg_logits.data.argmax(dim=0, keepdim=True)
            )

    def test_is_the_domains_own_head_resized_to_the_original_size_without_padding(
        self, supervised, make_data, features_of
    ):
        supervised.eval()
        data = make_data('night', 0, 2, size=(20, 27), ori_shape=(40, 54))
        inputs = supervised.data_preprocessor(copy.deepcopy(data), training=True)['inputs']
        with torch.no_grad():
            features = features_of(supervised, inputs, 'night')
            logits = supervised.domains['night'].decode_head(features)[..., :20, :27]
        expected = F.interpolate(logits, (40, 54), mode='bilinear', align_corners=False)
        results = supervised.test_step(data)
        for result, logits in zip(results, expected, strict=True):
            assert result.pred_sem_seg.data.shape == (1, 40, 54)
            torch.testing.assert_close(result.seg_logits.data, logits)

    def test_without_samples_uses_the_only_domain(self, make_model):
        model = make_model('SupervisedSegmentor', ['night']).eval()
        (result,) = model.predict(torch.zeros(1, 3, 32, 48))
        assert result.seg_logits.data.shape == (5, 32, 48)

    def test_without_samples_is_refused_where_there_are_several_domains(self, supervised):
        with naming(
            'no domain is named', "expected one of ['day', 'night']", 'model.default_domain'
        ):
            supervised.eval().predict(torch.zeros(1, 3, 32, 48))

    @pytest.mark.parametrize('names', [('day', 'night'), ('night', 'day')])
    def test_with_a_sliding_window_serves_domains_of_different_class_counts(
        self, make_model, make_data, features_of, names
    ):
        window = dict(mode='slide', crop_size=(32, 32), stride=(16, 16))
        model = make_model('SupervisedSegmentor', test_cfg=window).eval()
        for name in names:
            (result,) = model.test_step(make_data(name, 0, 1))
            data = model.data_preprocessor(make_data(name, 0, 1), training=True)
            features = [features_of(model, data['inputs'][..., x : x + 32], name) for x in (0, 16)]
            left, right = (model.domains[name].decode_head(f)[0] for f in features)
            expected = torch.zeros(len(left), 32, 48)
            expected[..., :32] += left
            expected[..., 16:] += right
            expected[..., 16:32] /= 2
            torch.testing.assert_close(result.seg_logits.data, expected)

    @TYPES
    def test_does_not_read_labels(self, make_model, make_data, method):
        model = make_model(method).eval()
        data = make_data('day', 0, 2)
        (plain, _) = model.test_step(copy.deepcopy(data))
        for sample in data['data_samples']:
            sample.gt_sem_seg = PixelData(data=torch.full((1, 32, 48), 77))
        (garbage, _) = model.test_step(data)
        assert torch.equal(plain.seg_logits.data, garbage.seg_logits.data)

    def test_equals_the_raw_forward_pass(self, supervised, make_data):
        supervised.eval()
        (result,) = supervised.test_step(make_data('night', 0, 1))
        data = supervised.data_preprocessor(make_data('night', 0, 1), training=True)
        logits = supervised(**data, mode='tensor')
        torch.testing.assert_close(logits[0], result.seg_logits.data)


class TestCheckpoint:
    @TYPES
    def test_holds_every_head_once(self, make_model, method):
        model = make_model(method)
        keys = list(model.state_dict())
        heads = [key for key in keys if '.decode_head.' in key]
        assert {key.split('.')[1] for key in heads} == {'day', 'night'}
        assert not [key for key in keys if key.startswith('decode_head')]
        storages = [value.data_ptr() for value in model.state_dict().values() if value.numel()]
        assert len(set(storages)) == len(storages)
        names = [name for name, _ in model.named_modules() if name.endswith('decode_head')]
        assert sorted(names) == ['domains.day.decode_head', 'domains.night.decode_head']

    @TYPES
    def test_loads_strictly_and_gives_the_same_predictions(self, make_model, make_data, method):
        model, other = make_model(method).eval(), make_model(method, seed=1).eval()
        data = mix(make_data('day', 0, 1), make_data('night', 0, 1))
        before = other.test_step(copy.deepcopy(data))
        other.load_state_dict(model.state_dict(), strict=True)
        for first, second, unlike in zip(
            model.test_step(copy.deepcopy(data)), other.test_step(data), before, strict=True
        ):
            assert torch.equal(first.seg_logits.data, second.seg_logits.data)
            assert not torch.equal(first.seg_logits.data, unlike.seg_logits.data)

    def test_of_a_model_of_two_domains_loads_into_a_model_of_one_without_missing_keys(
        self, make_model
    ):
        both, one = make_model(), make_model(domains=['night'])
        missing, unexpected = one.load_state_dict(both.state_dict(), strict=False)
        assert missing == []
        assert all('domains.day.' in key or '.statistics.day.' in key for key in unexpected)

    def test_of_a_copy_is_independent(self, supervised, make_data):
        # EMA hooks copy the model: the copy has to predict with its own heads.
        duplicate = copy.deepcopy(supervised).eval()
        before = duplicate.test_step(make_data('day', 0, 1))[0].seg_logits.data
        with torch.no_grad():
            for parameter in supervised.parameters():
                parameter.zero_()
        after = duplicate.test_step(make_data('day', 0, 1))[0].seg_logits.data
        assert torch.equal(before, after)
        duplicate.default_domain = 'day'
        assert duplicate.decode_head is duplicate.domains['day'].decode_head
        assert supervised.default_domain is None


def total(losses):
    return sum(value for name, value in losses.items() if 'loss' in name)


@pytest.mark.parametrize('method', ['SupervisedSegmentor', 'CCT'])
def test_domain_learns_beside_an_idle_one_as_it_does_alone(
    make_model, make_data, losses_of, method
):
    unlabeled = 2 if method == 'CCT' else 0
    runs, start = [], make_model(method, ['day']).state_dict()
    for domains in (['day'], ['day', 'night']):
        model = make_model(method, domains)
        assert not model.load_state_dict(start, strict=False).unexpected_keys
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
        values = []
        for step in range(3):
            losses = losses_of(model, make_data('day', unlabeled=unlabeled, seed=step))
            optimizer.zero_grad()
            total(losses).backward()
            optimizer.step()
            values.append(total(losses).item())
        runs.append(values)
    assert runs[0] == runs[1]


class TestNorm:
    def statistics(self, model, part='backbone'):
        return {n: b.clone() for n, b in model.named_buffers() if n.startswith(part)}

    @pytest.mark.parametrize('norm', ['shared', 'frozen', 'domain-specific'])
    def test_moves_the_statistics_that_its_name_says(self, make_model, make_data, losses_of, norm):
        model = make_model(norm=norm)
        before = self.statistics(model)
        losses_of(model, make_data('night'))
        moved = {n for n, b in self.statistics(model).items() if not torch.equal(b, before[n])}
        if norm == 'frozen':
            assert not moved
        elif norm == 'shared':
            assert moved == set(before)
        else:
            assert moved == {name for name in before if '.night.' in name}

    @pytest.mark.parametrize('norm', ['frozen', 'domain-specific'])
    def test_of_the_neck_is_each_domains_where_the_encoder_is_kept_too(
        self, make_model, make_data, losses_of, norm
    ):
        neck = dict(type='JPU', in_channels=(8, 16, 32), mid_channels=8)
        model = make_model('SupervisedSegmentor', norm=norm, neck=neck)
        before = self.statistics(model, 'neck')
        losses_of(model, make_data('night', unlabeled=0))
        after = self.statistics(model, 'neck')
        moved = {n for n, b in after.items() if not torch.equal(b, before[n])}
        assert moved
        assert moved == {name for name in before if '.night.' in name}

    def test_by_domain_predicts_with_the_domains_own(self, make_model, make_data, losses_of):
        model = make_model('SupervisedSegmentor', norm='domain-specific')
        data = make_data('day', unlabeled=0)
        (before, *_) = model.eval().test_step(copy.deepcopy(data))
        losses_of(model, make_data('night', unlabeled=0))
        (after, *_) = model.eval().test_step(copy.deepcopy(data))
        assert torch.equal(after.seg_logits.data, before.seg_logits.data)

    def test_by_domain_is_the_plain_one_where_there_is_one_domain(
        self, make_model, make_data, losses_of
    ):
        found, expected = (
            total(losses_of(make_model(domains=['day'], norm=norm), make_data('day')))
            for norm in ('domain-specific', 'shared')
        )
        assert torch.equal(found, expected)

    def test_unknown(self, make_model):
        with pytest.raises(
            ValueError, match="norm is 'own', expected one of shared, frozen, domain-specific"
        ):
            make_model(norm='own')


class TestJointEncoding:
    def test_is_the_same_where_batch_norm_is_frozen(self, make_model, make_data, losses_of):
        found, expected = (
            total(
                losses_of(make_model(joint_encoding=joint, norm='frozen'), make_data('day'))
            ).item()
            for joint in (True, False)
        )
        assert found == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize(
        'method',
        ['CCT', 'WeakToStrong', 'MeanTeacher', 'EntropyMinimization', 'CrossPseudoSupervision'],
    )
    def test_normalizes_all_images_together(self, make_model, make_data, losses_of, method):
        for joint, passes in ((True, 1), (False, 2)):
            model = make_model(method, joint_encoding=joint, norm='shared')
            losses = losses_of(model, make_data('day', views=['strong']))
            total(losses).backward()
            assert model.backbone.stem[1].num_batches_tracked == passes
            assert model.backbone.stem[0].weight.grad.abs().max() > 0

    @pytest.mark.parametrize('method', ['WeakToStrong', 'MeanTeacher'])
    def test_alone_changes_no_loss(self, make_model, make_data, losses_of, method):
        """Where batch norm is frozen, images in one pass are images in two."""
        data = make_data('day', views=['strong'])
        found, expected = (
            losses_of(make_model(method, joint_encoding=joint, norm='frozen'), copy.deepcopy(data))
            for joint in (True, False)
        )
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    def test_of_empty_batches_leaves_them_empty(self, make_model):
        model = make_model('SupervisedSegmentor', joint_encoding=True)
        batch = Batch(torch.zeros(0, 3, 32, 48), [])
        model.encode(batch, batch)
        assert batch.features == ()


def test_view_of_no_images_is_empty(supervised):
    batch = Batch(torch.zeros(0, 3, 32, 48), [])
    view = supervised.view(batch, 'strong')
    assert (len(view), view.size) == (0, (32, 48))


class TestInferenceOfMmseg:
    IMAGE = np.zeros((32, 48, 3), np.uint8)

    @pytest.fixture
    def model(self, tmp_path, make_model):
        weights = make_model('SupervisedSegmentor').state_dict()
        meta = dict(dataset_meta=dict(classes=('sky', 'ground', 'car'), palette=[[0] * 3] * 3))
        torch.save(dict(state_dict=weights, meta=meta), tmp_path / 'x.pth')
        pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
        config = Config(
            dict(model=make_model.config('SupervisedSegmentor'), test_pipeline=pipeline)
        )
        return init_model(config, str(tmp_path / 'x.pth'), device='cpu')

    @pytest.mark.parametrize('domain', ['day', 'night'])
    def test_is_by_the_default_domain(self, model, domain):
        model.default_domain = domain
        result = inference_model(model, self.IMAGE)
        assert len(result.seg_logits.data) == model.domains[domain].num_classes

    def test_asks_for_a_domain_where_there_are_several(self, model):
        with pytest.raises(ValueError, match='no domain is named.*model.default_domain'):
            inference_model(model, self.IMAGE)


class TestDiscriminator:
    ADV = dict(discriminator=dict(in_channels=32, channels=(4,)))

    @pytest.mark.parametrize('method', ['SupervisedSegmentor', 'CCT'])
    def test_adds_its_loss_and_accuracy(self, make_model, make_data, losses_of, method):
        unlabeled = 2 if method == 'CCT' else 0
        losses = losses_of(make_model(method, **self.ADV), make_data('day', unlabeled=unlabeled))
        assert losses['day.loss_adversarial'].requires_grad
        assert not losses['day.discriminator_accuracy'].requires_grad

    def test_leaves_all_other_losses_as_they_are(self, make_model, make_data, losses_of):
        found = losses_of(make_model(**self.ADV), make_data('day'))
        expected = losses_of(make_model(), make_data('day'))
        for name, value in expected.items():
            assert torch.equal(found[name], value), name

    def test_sees_labeled_and_unlabeled_features(self, make_model, make_data, losses_of):
        model = make_model(discriminator=dict(in_channels=32, channels=(4,), queue_images=9))
        losses_of(model, make_data('day', labeled=2, unlabeled=3))
        assert len(model.discriminator.queue_day) == 5

    def test_pushes_the_encoder_and_no_head(self, make_model, make_data, losses_of):
        model = make_model(**self.ADV)
        losses_of(model, make_data('night'))
        losses_of(model, make_data('day'))['day.loss_adversarial'].backward()
        moved = {n.split('.')[0] for n, p in model.named_parameters() if p.grad is not None}
        assert moved == {'backbone', 'discriminator'}

    def test_takes_the_channels_of_z(self, make_model):
        model = make_model('SupervisedSegmentor', discriminator=dict())
        assert model.discriminator.layers[0].in_channels == 32

    def test_of_other_channels_is_refused(self, make_model, make_data, losses_of):
        model = make_model('SupervisedSegmentor', discriminator=dict(in_channels=16))
        with pytest.raises(ValueError, match='has 32 channels, expected the in_channels=16'):
            losses_of(model, make_data(unlabeled=0))

    def test_needs_a_second_domain(self, make_model):
        with pytest.raises(ValueError, match='expected at least two to tell apart'):
            make_model(domains=['day'], **self.ADV)


class TestOwnAuxiliaryDecoders:
    def test_override_the_common_ones(self, make_model):
        night = dict(
            classes=('background', 'lamp'),
            auxiliary=dict(perturbations=[dict(type='I-VAT', num=3)]),
        )
        day = dict(classes=('background', 'car'))
        model = make_model(domains=dict(day=day, night=night))
        assert len(model.domains['day'].auxiliary) == 7
        assert model.domains['night'].auxiliary.names == ['I-VAT'] * 3

    @pytest.mark.parametrize('method', ['SupervisedSegmentor', 'WeakToStrong', 'MeanTeacher'])
    def test_are_left_aside_by_methods_without(self, make_model, method):
        own = dict(perturbations=[dict(type='F-Noise')])
        domains = {'day': dict(classes=('sky', 'ground', 'car'), auxiliary=own)}
        assert 'auxiliary' not in dict(make_model(method, domains).domains['day'].named_children())


def test_a_head_of_another_type_takes_nothing_of_the_common_one(make_model, make_data):
    own = dict(type='FCNHead', in_channels=32, in_index=2, channels=8, num_convs=1)
    domains = {
        'day': dict(classes=('sky', 'ground', 'car'), decode_head=own),
        'night': dict(classes=('background', 'lamp')),
    }
    model = make_model(
        'SupervisedSegmentor',
        domains,
        decode_head=dict(type='SubPixelHead', in_channels=32, stride=8),
    )
    heads = {name: type(domain.decode_head).__name__ for name, domain in model.domains.items()}
    assert heads == {'day': 'FCNHead', 'night': 'SubPixelHead'}
