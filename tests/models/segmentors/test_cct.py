"""Cross-Consistency Training: what L_u depends on, what it moves, and what it never touches."""

import contextlib
import copy

import pytest
import torch
from messages import naming
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from torch.nn import functional as F

from cct_mm.models.cct import Target, UnsupervisedTerms, consistency_reference
from cct_mm.models.losses import DISTANCES, ConsistencyLoss
from cct_mm.models.progress import set_progress
from cct_mm.models.segmentors import CCT
from cct_mm.models.segmentors.multi_domain import Batch
from cct_mm.schedules import Progress, RampUp

# With it p_k(z) = z, so the distances can be computed by hand.
IDENTITY = dict(type='DropOut', p=0.0, num=2)


def auxiliary(*perturbations, **kwargs):
    return {'in_channels': 32, 'perturbations': list(perturbations), **kwargs}


def is_encoder(name):
    return name.startswith('backbone')


def is_main_head(name):
    return '.decode_head.' in name


def is_auxiliary(name, domain):
    return name.startswith(f'domains.{domain}.auxiliary')


@pytest.mark.parametrize('teacher', [None, dict(decay=0.99)])
def test_target_is_among_the_classes_that_image_level_labels_name(make_model, make_data, teacher):
    model = make_model(teacher=teacher)
    data = make_data(labeled=0)
    named = dict(image_labels=(1, 2), image_labels_complete=True)
    data['data_samples'][0].set_metainfo(named)
    inputs = model.data_preprocessor(data, training=True)['inputs']
    batch = Batch(inputs, data['data_samples'])
    day = model.domains['day']
    with model.active('day'):
        model.encode(batch)
        prob = model.target(day, batch)
    assert (prob[0, 0] == 0).all() and (prob[0, 1:] > 0).all() and (prob[1] > 0).all()
    torch.testing.assert_close(prob.sum(dim=1), torch.ones(2, 32, 48))


def test_is_registered_in_mmseg():
    assert MODELS.get('CCT') is CCT


class TestLosses:
    def test_are_supervised_and_unsupervised_and_named_by_the_domain(
        self, make_model, make_data, losses_of
    ):
        losses = losses_of(make_model(), make_data('night'))
        trained = {name for name in losses if 'loss' in name}
        assert trained == {'night.loss_ce', 'night.loss_unsupervised'}
        monitored = {name for name in losses if 'distance' in name}
        assert len(monitored) == 7
        assert 'night.distance I-VAT' in monitored
        assert not any(losses[name].requires_grad for name in monitored)

    def test_of_unlabeled_images_are_the_weighted_mean_of_the_distances(
        self, make_model, make_data, losses_of
    ):
        model = make_model()
        losses = losses_of(model, make_data('day'))
        distances = [value for name, value in losses.items() if 'distance' in name]
        weight = model.unsupervised_weight(model.progress)
        torch.testing.assert_close(
            losses['day.loss_unsupervised'].detach(), weight * torch.stack(distances).mean()
        )

    @pytest.mark.parametrize('domain', ['day', 'night'])
    def test_of_labeled_images_equal_those_of_the_supervised_segmentor(
        self, make_model, make_data, losses_of, domain
    ):
        supervised, cct = make_model('SupervisedSegmentor'), make_model('CCT')
        supervised.load_state_dict(cct.state_dict(), strict=False)
        expected = losses_of(supervised, make_data(domain, unlabeled=0))
        assert losses_of(cct, make_data(domain, unlabeled=0)) == expected
        losses = losses_of(cct, make_data(domain))
        assert {name: losses[name] for name in expected} == expected

    def test_of_labeled_images_start_from_the_same_main_heads_as_the_supervised_segmentor(
        self, make_model
    ):
        supervised, cct = make_model('SupervisedSegmentor'), make_model('CCT')
        heads = {n: p for n, p in supervised.named_parameters() if is_main_head(n)}
        assert len(heads) == 14
        for name, parameter in cct.named_parameters():
            if is_main_head(name):
                assert torch.equal(parameter, heads[name])

    def test_without_unlabeled_images_have_no_unsupervised_part(
        self, make_model, make_data, losses_of
    ):
        losses = losses_of(make_model(), make_data(unlabeled=0))
        assert set(losses) == {'day.loss_ce', 'day.acc_seg'}

    @pytest.mark.parametrize('method', ['CCT', 'MeanTeacher'])
    def test_need_no_type_where_options_change_the_distance(self, make_model, method):
        # As model.loss_consistency.distance=kl does in a config that leaves it at its default.
        loss = make_model(method, loss_consistency=dict(distance='kl')).loss_consistency
        assert isinstance(loss, ConsistencyLoss)
        assert loss.distance is DISTANCES['kl']

    def test_with_pairwise_loss_report_it_too(self, make_model, make_data, losses_of):
        plain = losses_of(make_model(), make_data())
        model = make_model(loss_pairwise=dict(type='PairwiseLoss', weight=0.5, num_decoders=3))
        losses = losses_of(model, make_data())
        torch.testing.assert_close(
            losses['day.loss_unsupervised'],
            plain['day.loss_unsupervised'] + 0.5 * losses['day.pairwise'],
        )


class TestGradient:
    """Of the unsupervised loss alone."""

    @pytest.fixture(params=['fused', 'reference'])
    def gradients(self, request, make_model, make_data, losses_of):
        model = make_model(path=request.param)
        losses_of(model, make_data('night', labeled=0))['night.loss_unsupervised'].backward()
        return {name: p.grad for name, p in model.named_parameters()}

    def test_does_not_reach_a_main_head(self, gradients):
        heads = [gradient for name, gradient in gradients.items() if is_main_head(name)]
        assert len(heads) == 14
        assert all(gradient is None for gradient in heads)

    def test_reaches_encoder_and_auxiliary_decoders(self, gradients):
        for name, gradient in gradients.items():
            if is_encoder(name) or is_auxiliary(name, 'night'):
                assert gradient is not None, name
                assert gradient.isfinite().all(), name
        assert all(
            gradient.abs().flatten(1).sum(dim=1).gt(0).all()
            for name, gradient in gradients.items()
            if is_auxiliary(name, 'night') and 'weights.0' in name
        )
        assert gradients['backbone.stem.0.weight'].abs().sum() > 0

    def test_does_not_reach_the_other_domain(self, gradients):
        assert all(gradients[name] is None for name in gradients if is_auxiliary(name, 'day'))


class TestLabelsOfUnlabeledImages:
    def test_are_never_read(self, make_model, make_data, losses_of):
        model = make_model()
        data, garbage = make_data(), make_data()
        for sample in garbage['data_samples'][2:]:
            sample.gt_sem_seg = PixelData(data=torch.full((1, 32, 48), 177))
        expected = losses_of(copy.deepcopy(model), data)
        assert losses_of(model, garbage) == expected


class TestPadding:
    """Images of 20 x 27 are padded to 32 x 32."""

    SIZE = (20, 27)

    def test_counts_in_no_loss(self, make_model, make_data, features_of):
        model = make_model(auxiliary=auxiliary(IDENTITY)).train()
        data = model.data_preprocessor(make_data('night', labeled=0, size=self.SIZE), True)
        domain = model.domains['night']
        features = features_of(model, data['inputs'], 'night')
        height, width = self.SIZE
        target = domain.decode_head(features)[..., :height, :width].softmax(dim=1)
        distances = [
            F.mse_loss(
                domain.auxiliary.decode(k, features[-1])[..., :height, :width].softmax(dim=1),
                target,
            )
            for k in range(2)
        ]
        expected = model.unsupervised_weight(model.progress) * sum(distances) / 2
        loss = model.loss(**data)['night.loss_unsupervised']
        torch.testing.assert_close(loss, expected)

    @pytest.mark.parametrize('path', ['fused', 'reference'])
    def test_may_get_any_prediction(self, make_model, make_data, monkeypatch, path):
        model = make_model(path=path).train()
        data = model.data_preprocessor(make_data(labeled=0, size=self.SIZE), training=True)
        expected = copy.deepcopy(model).loss(**data)['day.loss_unsupervised']
        domain = model.domains['day']
        predict_target = domain.predict_target
        height, width = self.SIZE

        def garbage_in_the_padding(features, size):
            target = predict_target(features, size)
            garbage = (9 * torch.randn_like(target)).softmax(dim=1)
            target[..., height:, :] = garbage[..., height:, :]
            target[..., width:] = garbage[..., width:]
            return target

        monkeypatch.setattr(domain, 'predict_target', garbage_in_the_padding)
        loss = model.loss(**data)['day.loss_unsupervised']
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)


class TestFilling:
    """A frame and a hole in 32 x 40 images that a transform has filled, padded to 32 x 48."""

    SIZE = (32, 40)

    def data(self, make_data, model, **kwargs):
        batch = make_data('night', size=self.SIZE, **kwargs)
        filled = torch.zeros(1, *self.SIZE, dtype=torch.bool)
        filled[:, :5] = filled[:, 10:17, 20:29] = True
        # Of two images, one.
        batch['data_samples'][-1].filled = PixelData(data=filled)
        return model.data_preprocessor(batch, training=True), filled

    def test_is_left_out_of_what_is_valid_as_padding_is(self, make_model, make_data):
        model = make_model()
        data, filled = self.data(make_data, model, labeled=0)
        expected = torch.zeros(2, 1, 32, 48, dtype=torch.bool)
        expected[..., :40] = True
        expected[1, :, :, :40] &= ~filled
        assert torch.equal(Batch(data['inputs'], data['data_samples']).valid(), expected)

    def test_counts_in_no_loss(self, make_model, make_data, features_of):
        model = make_model(auxiliary=auxiliary(IDENTITY)).train()
        data, _ = self.data(make_data, model, labeled=0)
        valid = Batch(data['inputs'], data['data_samples']).valid().squeeze(1)
        domain = model.domains['night']
        features = features_of(model, data['inputs'], 'night')
        target = domain.decode_head(features).softmax(dim=1)
        decoded = [domain.auxiliary.decode(k, features[-1]).softmax(dim=1) for k in range(2)]
        distances = [(d - target).square().mean(dim=1)[valid].mean() for d in decoded]
        expected = model.unsupervised_weight(model.progress) * sum(distances) / 2
        loss = model.loss(**data)['night.loss_unsupervised']
        torch.testing.assert_close(loss, expected)

    @pytest.mark.parametrize('path', ['fused', 'reference'])
    def test_may_get_any_prediction(self, make_model, make_data, monkeypatch, path):
        pairwise = dict(type='PairwiseLoss', weight=0.5, num_decoders=3)
        model = make_model(path=path, loss_pairwise=pairwise).train()
        data, _ = self.data(make_data, model, labeled=0)
        valid = Batch(data['inputs'], data['data_samples']).valid()
        expected = copy.deepcopy(model).loss(**data)
        domain = model.domains['night']
        predict_target = domain.predict_target

        def garbage_in_the_filling(features, size):
            target = predict_target(features, size)
            return target.where(valid, (9 * torch.randn_like(target)).softmax(dim=1))

        monkeypatch.setattr(domain, 'predict_target', garbage_in_the_filling)
        losses = model.loss(**data)
        for name, value in expected.items():
            torch.testing.assert_close(losses[name], value, rtol=1e-6, atol=0)

    def test_of_a_whole_batch_leaves_a_loss_of_0(self, make_model, make_data, losses_of):
        model = make_model(auxiliary=auxiliary(IDENTITY))
        batch = make_data('night', labeled=0)
        for sample in batch['data_samples']:
            size = sample.gt_sem_seg.shape if 'gt_sem_seg' in sample else (32, 48)
            sample.filled = PixelData(data=torch.ones(1, *size[-2:], dtype=torch.bool))
        assert losses_of(model, batch)['night.loss_unsupervised'] == 0


class TestRampUp:
    def unsupervised(self, model, data, iteration):
        set_progress(model, Progress(iteration, max_iters=100, seed=0))
        data = model.data_preprocessor(copy.deepcopy(data), training=True)
        return copy.deepcopy(model).loss(**data)['day.loss_unsupervised'].item()

    def test_scales_the_unsupervised_loss(self, make_model, make_data):
        ramp = dict(final=30.0, shape='exp', length=0.1)
        model = make_model(auxiliary=auxiliary(IDENTITY), unsupervised_weight=ramp).train()
        values = [self.unsupervised(model, make_data(labeled=0), t) for t in (0, 5, 10, 50)]
        weights = [RampUp(**ramp)(Progress(t, 100, 0)) for t in (0, 5, 10, 50)]
        assert weights[2:] == [30.0, 30.0]
        for value, weight in zip(values, weights, strict=True):
            assert value / values[-1] == pytest.approx(weight / 30.0, rel=1e-5)

    def test_at_zero_leaves_the_supervised_gradient(self, make_model, make_data, losses_of):
        ramp = dict(final=30.0, shape='linear', length=0.1)
        model = make_model(unsupervised_weight=ramp)
        set_progress(model, Progress(iteration=0, max_iters=100, seed=0))
        loss = losses_of(model, make_data(labeled=0))['day.loss_unsupervised']
        loss.backward()
        assert loss == 0
        assert all(p.grad is None or not p.grad.any() for p in model.parameters())


class TestDraws:
    def loss(self, model, data, iteration=5, seed=0):
        set_progress(model, Progress(iteration, 100, seed))
        data = model.data_preprocessor(copy.deepcopy(data), training=True)
        losses = copy.deepcopy(model).loss(**data)
        return {name: v.item() for name, v in losses.items() if 'distance' in name}

    def test_depend_on_iteration_seed_and_sample_alone(self, make_model, make_data):
        model, data = make_model().train(), make_data('night', labeled=0)
        torch.manual_seed(1)
        expected = self.loss(model, data)
        torch.manual_seed(2)
        assert self.loss(model, data) == expected
        other = copy.deepcopy(data)
        for sample in other['data_samples']:
            sample.set_metainfo(dict(sample_key=sample.sample_key + '9'))
        drawn = ('F-Drop', 'DropOut', 'I-VAT')
        for changed in (
            self.loss(model, data, iteration=6),
            self.loss(model, data, seed=1),
            self.loss(model, other),
        ):
            for name in drawn:
                assert changed[f'night.distance {name}'] != expected[f'night.distance {name}']
            # Nothing is drawn for these two.
            for name in ('Obj-Msk', 'Con-Msk'):
                assert changed[f'night.distance {name}'] == expected[f'night.distance {name}']

    def test_leave_the_global_generator_alone(self, make_model, make_data, losses_of):
        state = torch.get_rng_state()
        model = make_model()
        data = make_data()
        torch.set_rng_state(state)
        losses_of(model, data)
        assert torch.equal(torch.get_rng_state(), state)


def gradients_of(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found, expected, tolerance):
    """Compare dictionaries of tensors, each in proportion to its largest number."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        atol = tolerance * value.abs().max().item() + 1e-9
        torch.testing.assert_close(
            found[name], value, rtol=0, atol=atol, msg=lambda text, name=name: f'{name}: {text}'
        )


def weaken(data, labels):
    """Make the last images of a batch weakly labeled ones with these pseudo-labels."""
    for sample, own in zip(data['data_samples'][-len(labels) :], labels, strict=True):
        sample.set_metainfo(dict(supervision='weak'))
        sample.gt_sem_seg = PixelData(data=own[None])
    return data


class TestPseudoLabels:
    """L_w (Eqs. 5, 6) on weakly labeled images, beside L_u on the same."""

    LABELS = torch.randint(0, 3, (2, 32, 48), generator=torch.Generator().manual_seed(7))

    def test_add_their_weighted_loss_and_leave_the_consistency(
        self, make_model, make_data, losses_of
    ):
        model = make_model()
        unlabeled = losses_of(model, make_data())
        weak = losses_of(model, weaken(make_data(), self.LABELS))
        value = weak.pop('day.weak')
        assert value > 0
        difference = weak.pop('day.loss_unsupervised') - unlabeled.pop('day.loss_unsupervised')
        weight = RampUp(final=0.4)(model.progress)
        torch.testing.assert_close(difference.detach(), weight * value, rtol=1e-3, atol=0)
        assert_same(weak, unlabeled, 1e-6)

    def test_that_are_nowhere_given_change_nothing(self, make_model, make_data, losses_of):
        nothing = torch.full((2, 32, 48), 255)
        model = make_model()
        weak = losses_of(model, weaken(make_data(), nothing))
        assert weak.pop('day.weak') == 0
        assert_same(weak, losses_of(model, make_data()), 1e-6)

    def test_train_auxiliary_decoders_and_encoder_but_no_main_head(self, make_model, make_data):
        model = make_model(unsupervised_weight=dict(final=0.0))
        model.train()
        data = weaken(make_data(labeled=0), self.LABELS)
        losses = model.loss(**model.data_preprocessor(data, training=True))
        losses['day.loss_unsupervised'].backward()
        moved = {name for name, grad in gradients_of(model).items() if grad.any()}
        assert any(is_encoder(name) for name in moved)
        assert any(is_auxiliary(name, 'day') for name in moved)
        assert not any(is_main_head(name) for name in moved)

    def test_of_some_images_are_averaged_over_these_alone(self, make_model, make_data, losses_of):
        model = make_model()
        data = weaken(make_data(), self.LABELS[:1])
        also = weaken(make_data(), torch.stack([torch.full((32, 48), 255), self.LABELS[0]]))
        assert_same(losses_of(model, data), losses_of(model, also), 1e-6)

    def test_that_were_not_loaded_are_asked_for(self, make_model, make_data, losses_of):
        data = make_data()
        data['data_samples'][-1].set_metainfo(dict(supervision='weak'))
        with pytest.raises(ValueError, match=r'day, weak source: 3\.png comes without pseudo-lab'):
            losses_of(make_model(), data)

    def test_agree_on_both_paths(self, make_model, make_data, losses_of):
        found = []
        for path in ('fused', 'reference'):
            model = make_model(path=path)
            losses = losses_of(model, weaken(make_data(), self.LABELS))
            losses['day.loss_unsupervised'].backward()
            found.append(({n: v.detach() for n, v in losses.items()}, gradients_of(model)))
        for values, expected in zip(*found, strict=True):
            assert_same(values, expected, 1e-4)


class TestPaths:
    @pytest.fixture
    def both(self, make_model, losses_of):
        """Compute losses and gradients of both paths; ``prepare`` may change the model."""

        def compute(batches, prepare=lambda model: None, context=contextlib.nullcontext):
            results = []
            for path in ('fused', 'reference'):
                pairwise = dict(type='PairwiseLoss', weight=0.1, num_decoders=3)
                model = make_model(path=path, loss_pairwise=pairwise)
                prepare(model)
                for data in batches:
                    with context():
                        losses = losses_of(model, copy.deepcopy(data))
                    sum(value for name, value in losses.items() if 'loss' in name).backward()
                results += [{n: v.detach() for n, v in losses.items()}, gradients_of(model)]
            return results

        return compute

    @pytest.mark.parametrize('size', [(32, 48), (20, 27)])
    @pytest.mark.parametrize('domain', ['day', 'night'])
    def test_agree_in_losses_and_all_gradients(self, both, make_data, domain, size):
        losses, gradients, *expected = both([make_data(domain, size=size)])
        assert_same(losses, expected[0], 1e-4)
        assert_same(gradients, expected[1], 1e-4)

    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    def test_agree_under_mixed_precision(self, both, make_data, dtype):
        losses, gradients, *expected = both(
            [make_data()], context=lambda: torch.autocast('cpu', dtype)
        )
        # The encoder's backward pass rounds: 8 bits of mantissa, and 11.
        tolerance = {torch.bfloat16: 0.03, torch.float16: 0.004}[dtype]
        assert_same(losses, expected[0], 1e-4)
        assert_same(gradients, expected[1], tolerance)

    def test_agree_under_gradient_accumulation(self, both, make_data):
        batches = [make_data(seed=seed) for seed in (0, 1)]
        _, gradients, _, expected = both(batches)
        assert_same(gradients, expected, 1e-4)
        _, alone, _, _ = both(batches[:1])
        for name in ('domains.day.auxiliary.weights.0', 'backbone.stem.0.weight'):
            assert not torch.isclose(gradients[name], alone[name]).all()

    def test_agree_with_a_compiled_encoder(self, both, make_data):
        def compile_encoder(model):
            # Traces forward and backward; generates no code, which would need a compiler here.
            model.backbone.compile(backend='aot_eager')

        plain = both([make_data()])
        compiled = both([make_data()], prepare=compile_encoder)
        assert_same(compiled[0], compiled[2], 1e-4)
        assert_same(compiled[1], compiled[3], 1e-4)
        assert_same(compiled[1], plain[1], 1e-4)

    def test_share_checkpoints(self, make_model):
        fused, reference = (make_model(path=path) for path in ('fused', 'reference'))
        for (name, value), (other, expected) in zip(
            fused.state_dict().items(), reference.state_dict().items(), strict=True
        ):
            assert name == other
            assert torch.equal(value, expected)


class TestMainHeadOfMmseg:
    """Any decode head can be the main head: here one at z's resolution, with dropout and BN."""

    @pytest.fixture
    def model(self, make_model):
        head = dict(
            type='FCNHead',
            in_channels=32,
            in_index=2,
            channels=8,
            num_convs=1,
            concat_input=False,
            dropout_ratio=0.5,
        )
        return make_model(decode_head=head, auxiliary=auxiliary(IDENTITY)).train()

    def test_makes_a_target_without_dropout_and_leaves_its_running_statistics(
        self, model, make_data, losses_of
    ):
        before = copy.deepcopy(model.domains['day'].state_dict())
        first = losses_of(copy.deepcopy(model), make_data(labeled=0))['day.loss_unsupervised']
        second = losses_of(model, make_data(labeled=0))['day.loss_unsupervised']
        assert first == second
        for name, value in model.domains['day'].state_dict().items():
            assert torch.equal(value, before[name]), name
        assert all(m.training for m in model.domains['day'].modules())

    def test_makes_the_target_of_upsampled_logits(self, model, make_data, features_of):
        data = model.data_preprocessor(make_data(labeled=0), training=True)
        domain = model.domains['day']
        domain.decode_head.dropout = None
        features = features_of(model, data['inputs'], 'day')
        coarse = copy.deepcopy(domain.decode_head)(features)
        target = F.interpolate(coarse, (32, 48), mode='bilinear', align_corners=False)
        target = target.softmax(dim=1)
        distances = [
            F.mse_loss(domain.auxiliary.decode(k, features[-1]).softmax(dim=1), target)
            for k in range(2)
        ]
        expected = model.unsupervised_weight(model.progress) * sum(distances) / 2
        loss = model.loss(**data)['day.loss_unsupervised']
        torch.testing.assert_close(loss, expected)


class TestBeyondThePaper:
    """A teacher's y^u, strong views as the source of z, and what the main head learns from them."""

    def terms(self, model, day, z, prob, valid):
        """w_u L_u of a copy of the model, with z and y^u from elsewhere."""
        target = Target(
            prob=prob,
            valid=valid,
            foreground=day.foreground,
            key=(0, 'day', 5),
            samples=['0/2', '0/3'],
        )
        weight = model.unsupervised_weight(model.progress)
        terms = UnsupervisedTerms(model.loss_consistency, weight)
        return consistency_reference(day.auxiliary, z, target, terms).total

    def test_teacher_gives_the_target(self, make_model, make_data, losses_of, features_of):
        model = make_model(teacher=dict(decay=0.6))
        with torch.no_grad():
            for p in model.teacher.parameters():
                p.mul_(1.1)
        data = make_data('day')
        weak = model.data_preprocessor(copy.deepcopy(data), training=True)['inputs'][2:]
        z = features_of(model.train(), weak, 'day')[-1]
        with model.teacher.active('day') as day, torch.no_grad():
            prob = day.logits(model.teacher.extract_feat(weak), (32, 48)).softmax(dim=1)
        valid = torch.ones(2, 1, 32, 48, dtype=torch.bool)
        expected = self.terms(model, model.domains['day'], z, prob, valid)
        found = losses_of(model, data)
        torch.testing.assert_close(found['day.loss_unsupervised'], expected, rtol=1e-4, atol=1e-7)
        assert all(p.grad is None for p in model.teacher.parameters())

    def test_teacher_has_no_auxiliary_decoders(self, make_model):
        model = make_model(teacher={})
        assert not [name for name in model.teacher.state_dict() if 'auxiliary' in name]
        other = make_model(seed=1)
        found = model.load_state_dict(other.state_dict(), strict=False)
        assert found.missing_keys == ['steps'] and not found.unexpected_keys
        weight = other.domains['day'].decode_head.weights[0]
        assert torch.equal(model.teacher.domains['day'].decode_head.weights[0], weight)

    def test_strong_views_are_perturbed_and_their_targets_mixed(
        self, make_model, make_data, losses_of, features_of
    ):
        strong = dict(views=2, augmentation=dict(cutmix=1.0))
        model = make_model(strong=strong, auxiliary_view='strong').train()
        data = make_data('day')
        batch = model.data_preprocessor(copy.deepcopy(data), training=True)['inputs']
        day, weak = model.domains['day'], batch[2:]
        prob = day.predict_target(features_of(model, weak, 'day'), (32, 48))
        valid = torch.ones(4, 1, 32, 48, dtype=torch.bool)
        keys = [(0, f'strong view {v}', f'0/{i}') for v in (0, 1) for i in (2, 3)]
        scale = model.data_preprocessor.mean, model.data_preprocessor.std
        view = model.strong.augmentation(weak.repeat(2, 1, 1, 1), valid, keys, *scale)
        z = features_of(model, view.images, 'day')[-1][:2]
        mixed = torch.where(view.boxes[:2], prob.flip(0), prob)
        expected = self.terms(model, day, z, mixed, valid[:2])
        found = losses_of(model, data)
        torch.testing.assert_close(found['day.loss_unsupervised'], expected, rtol=1e-4, atol=1e-7)
        assert 'day.loss_strong' in found

    def test_main_head_learns_by_strong_views_alone(self, make_model, make_data, losses_of):
        model = make_model(strong=dict(loss=dict(confidence=0.4)))
        losses = losses_of(model, make_data('day'))
        head = list(model.domains['day'].decode_head.parameters())
        losses['day.loss_unsupervised'].backward(retain_graph=True)
        assert all(p.grad is None for p in head)
        losses['day.loss_strong'].backward()
        assert all(p.grad is not None for p in head)

    def test_without_strong_views_there_is_none_to_perturb(self, make_model):
        with pytest.raises(ValueError, match=r"auxiliary_view is 'strong', but .*strong=dict"):
            make_model(auxiliary_view='strong')
        with pytest.raises(ValueError, match=r"auxiliary_view is 'both', expected 'weak' or"):
            make_model(auxiliary_view='both')


class TestErrors:
    def test_unknown_path(self, make_model):
        with naming("path is 'fast'", 'fused, reference'):
            make_model(path='fast')

    def test_width_that_is_not_that_of_z(self, make_model, make_data, losses_of):
        # At once where the stride is inferred, otherwise at the first step.
        for stride in (dict(), dict(stride=8)):
            with pytest.raises(ValueError, match='in_channels 512, but z.* has 32 channels'):
                model = make_model(auxiliary=auxiliary(IDENTITY, in_channels=512, **stride))
                losses_of(model, make_data())

    def test_stride_that_is_not_the_encoders(self, make_model, make_data, losses_of):
        model = make_model(auxiliary=auxiliary(IDENTITY, stride=4))
        with naming('stride 4', '16x24', '32x48', 'model.auxiliary.stride', 'size_divisor'):
            losses_of(model, make_data())

    def test_guided_perturbation_without_foreground(self, make_model):
        with naming(
            'domain day', 'Con-Msk, G-Cutout, Obj-Msk', 'no foreground classes', 'foreground=(...)'
        ):
            make_model(domains={'day': dict(classes=('sky', 'ground'))})

    def test_guided_perturbations_of_a_domain_without_things_are_left_out(
        self, make_model, make_data, losses_of
    ):
        domains = {'day': dict(classes=('sky', 'ground', 'car'), foreground=())}
        unguided = [dict(type='F-Drop', num=2), dict(type='I-VAT')]
        guided = [dict(type='Obj-Msk', num=2), dict(type='G-Cutout', area=0.3)]
        model = make_model(domains=domains, auxiliary=auxiliary(*guided, *unguided))
        assert model.domains['day'].auxiliary.names == ['F-Drop', 'F-Drop', 'I-VAT']
        without = make_model(domains=domains, auxiliary=auxiliary(*unguided))
        assert losses_of(model, make_data()) == losses_of(without, make_data())

    def test_a_domain_without_things_needs_a_perturbation_that_masks_none(self, make_model):
        domains = {'day': dict(classes=('sky', 'ground'), foreground=())}
        with pytest.raises(ValueError) as error:
            make_model(domains=domains, auxiliary=auxiliary(dict(type='Obj-Msk')))
        assert 'domain day: it has no things, foreground=()' in str(error.value)

    def test_unguided_perturbations_need_no_foreground(self, make_model, make_data, losses_of):
        domains = {'day': dict(classes=('sky', 'ground', 'car'))}
        perturbations = [dict(type='F-Drop'), dict(type='I-VAT')]
        model = make_model(domains=domains, auxiliary=auxiliary(*perturbations))
        assert 'day.distance F-Drop' in losses_of(model, make_data())

    def test_nobody_said_where_training_stands(self, make_model, make_data, losses_of):
        model = make_model()
        set_progress(model, None)
        with pytest.raises(RuntimeError, match='^CCT does not know the iteration, which its ramp'):
            losses_of(model, make_data())
