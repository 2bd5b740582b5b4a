"""Weak-to-strong consistency: its losses by hand, what they reach, and what they leave alone."""

import copy
from unittest import mock

import pytest
import torch
from mmengine.optim import OptimWrapper

from cct_mm import keyed
from cct_mm.models.norm import statistics_kept
from cct_mm.models.progress import set_progress
from cct_mm.models.strong_views import StrongViews
from cct_mm.schedules import Progress

# Of a network that has learned nothing, which is certain of little.
CERTAIN = dict(loss=dict(confidence=0.4))


@pytest.fixture
def model(make_model):
    return make_model('WeakToStrong', strong=dict(views=2, channel_dropout=0.5, **CERTAIN))


def train(model, make_data, steps=2, seed=0):
    """Train as a runner does; return the losses."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    wrapper, losses = OptimWrapper(optimizer), []
    model.train()
    for t in range(steps):
        set_progress(model, Progress(t, 100, 0))
        data = make_data(('day', 'night')[t % 2], seed=seed + t)
        losses.append(model.train_step(data, wrapper))
        model.after_step()
    return losses


def statistics(model):
    return {name: x.clone() for name, x in model.state_dict().items() if 'running' in name}


class TestLosses:
    @pytest.fixture
    def by_hand(self, model, make_data):
        """The batch, and the parts of its losses, of a copy of the model."""
        data = make_data('day', size=(20, 27))
        batch = model.data_preprocessor(copy.deepcopy(data), training=True)
        duplicate = copy.deepcopy(model).train()
        with duplicate.active('day') as day:
            weak = batch['inputs'][2:]
            features = duplicate.extract_feat(weak)
            prob = day.logits(features, (32, 32)).softmax(dim=1).detach()
            valid = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
            valid[..., :20, :27] = True
            yield data, duplicate, day, weak, features, prob, valid

    def cross_entropy(self, prob, logits, valid):
        """By a loop over pixels: of certain ones, divided by the number of all."""
        total = 0.0
        for p, x, inside in zip(prob, logits, valid[:, 0], strict=True):
            for i, j in inside.nonzero().tolist():
                if p[:, i, j].max() > 0.4:
                    total = total - x[:, i, j].log_softmax(0)[p[:, i, j].argmax()]
        return total / valid.sum()

    def test_of_strong_views_is_cross_entropy_with_certain_labels(self, model, by_hand, losses_of):
        data, duplicate, day, weak, _, prob, valid = by_hand
        keys = [(0, f'strong view {v}', f'0/{i}') for v in (0, 1) for i in (2, 3)]
        twice = [x.repeat(2, 1, 1, 1) for x in (weak, valid)]
        view = StrongViews()(
            *twice, keys, model.data_preprocessor.mean, model.data_preprocessor.std
        )
        assert view.boxes.any()
        logits = day.logits(duplicate.extract_feat(view.images), (32, 32))
        mixed = view.mixed(prob.repeat(2, 1, 1, 1)), logits, view.mixed(twice[1])
        expected = self.cross_entropy(*mixed)
        assert expected > 0.1
        losses = losses_of(model, data)
        torch.testing.assert_close(losses['day.loss_strong'], expected)
        share = 100 * (prob.amax(1, keepdim=True).gt(0.4) & valid).sum() / valid.sum()
        torch.testing.assert_close(losses['day.certain'], share)

    def test_of_dropped_channels_is_that_of_the_maps_without_them(self, model, by_hand, losses_of):
        data, _, day, _, features, prob, valid = by_hand
        channels = [x.shape[1] for x in features]
        masks = []
        for i in (2, 3):
            u = torch.rand(sum(channels), generator=keyed.generator(0, 'channels', f'0/{i}'))
            masks.append(2.0 * (u < 0.5))
        parts = torch.stack(masks)[:, :, None, None].split(channels, dim=1)
        dropped = [x * mask for x, mask in zip(features, parts, strict=True)]
        expected = self.cross_entropy(prob, day.logits(dropped, (32, 32)), valid)
        torch.testing.assert_close(losses_of(model, data)['day.loss_channels'], expected)

    def test_are_0_where_nothing_is_certain(self, make_model, make_data, losses_of):
        model = make_model('WeakToStrong', strong=dict(loss=dict(confidence=0.999999)))
        losses = losses_of(model, make_data('day'))
        assert losses['day.loss_strong'] == losses['day.certain'] == 0

    def test_without_unlabeled_images_are_the_supervised_ones(
        self, model, make_model, make_data, losses_of
    ):
        found = losses_of(model, make_data('day', unlabeled=0))
        assert found == losses_of(make_model('SupervisedSegmentor'), make_data('day', unlabeled=0))

    def test_learn_soft_labels_of_a_teacher_too(self, make_model, make_data, losses_of):
        """CutMix consistency: the teacher's prediction of each image, mixed as the images are."""
        cutmix = dict(jitter=0, gray=0, blur=0, cutmix=1, area=(0.5, 0.5))
        loss = dict(distance='mse', hard_labels=False, confidence=None)
        strong = dict(views=1, augmentation=cutmix, loss=loss)
        model = make_model('WeakToStrong', teacher=dict(decay=0.6), strong=strong)
        train(model, make_data)
        set_progress(model, Progress(5, 100, 0))
        data = make_data('day')
        batch = model.data_preprocessor(copy.deepcopy(data), training=True)
        weak = batch['inputs'][2:]
        duplicate = copy.deepcopy(model).train()
        valid = torch.ones(2, 1, 32, 48, dtype=torch.bool)
        keys = [(0, 'strong view 0', f'0/{i}') for i in (2, 3)]
        boxes = StrongViews(**cutmix)(weak, valid, keys).boxes
        with duplicate.teacher.active('day') as day:
            prob = day.logits(duplicate.teacher.extract_feat(weak), (32, 48)).softmax(dim=1)
        mixed = torch.where(boxes, weak.flip(0), weak)
        with duplicate.active('day') as day:
            found = day.logits(duplicate.extract_feat(mixed), (32, 48)).softmax(dim=1)
        expected = (torch.where(boxes, prob.flip(0), prob) - found).square().sum(dim=1).mean()
        torch.testing.assert_close(losses_of(model, data)['day.loss_strong'], expected)


class TestGradient:
    def test_reaches_encoder_and_own_main_head(self, model, make_data, losses_of):
        losses = losses_of(model, make_data('day'))
        for name in ('day.loss_strong', 'day.loss_channels'):
            model.zero_grad()
            losses[name].backward(retain_graph=True)
            assert all(p.grad is not None for p in model.backbone.parameters())
            assert model.backbone.stem[0].weight.grad.abs().max() > 0
            for domain, reached in (('day', True), ('night', False)):
                head = model.domains[domain].decode_head
                assert all((p.grad is not None) == reached for p in head.parameters())

    def test_does_not_come_from_the_target(self, make_model, make_data, losses_of):
        """Without dropped channels nothing is kept of the pass over the weak images."""
        model = make_model('WeakToStrong', strong=CERTAIN)
        passes = []
        model.backbone.register_forward_hook(lambda *args: passes.append(args[2][-1].requires_grad))
        losses_of(model, make_data('day'))
        assert passes == [True, False, True]


class TestStatistics:
    def test_are_those_of_weak_images(self, model, make_model, make_data, losses_of):
        data = make_data('day')
        losses_of(model, copy.deepcopy(data))
        other = make_model('WeakToStrong').train()
        batch = other.data_preprocessor(copy.deepcopy(data), training=True)['inputs']
        with other.active('day'):
            for images in (batch[:2], batch[2:]):
                other.extract_feat(images)
        found, expected = statistics(model), statistics(other)
        assert all(torch.equal(found[name], x) for name, x in expected.items())

    def test_are_kept_by_norms_of_any_kind(self, make_model, features_of):
        for norm in ('domain-specific', 'shared', 'frozen'):
            model = make_model('SupervisedSegmentor', norm=norm).train()
            images = torch.randn(2, 3, 32, 48)
            before = statistics(model)
            expected = features_of(model, images, 'day')[-1]
            with model.active('day'), statistics_kept(model):
                found = model.extract_feat(images)[-1]
            assert torch.equal(found, expected)
            assert all(torch.equal(before[name], x) for name, x in statistics(model).items())

    @pytest.mark.parametrize('norm', ['domain-specific', 'frozen'])
    def test_and_gradients_are_the_same_with_activation_checkpointing(
        self, make_model, make_data, losses_of, norm
    ):
        found = []
        for again in (False, True):
            backbone = dict(make_model.config()['backbone'], with_cp=again)
            model = make_model(
                'WeakToStrong', strong=dict(views=1, **CERTAIN), backbone=backbone, norm=norm
            )
            losses = losses_of(model, make_data('day'))
            model.parse_losses(losses)[0].backward()
            gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
            found.append((model.state_dict(), gradients))
        (plain, wanted), (state, gradients) = found
        assert all(torch.equal(state[name], value) for name, value in plain.items())
        assert all(torch.equal(gradients[name], value) for name, value in wanted.items())

    def test_of_shared_norms_are_not_kept_in_backward_which_is_refused(self, make_model):
        backbone = dict(make_model.config()['backbone'], with_cp=True)
        make_model('CCT', backbone=backbone, norm='shared')
        for method in ('WeakToStrong', 'CCT'):
            with pytest.raises(ValueError, match=f"^{method}: norm is 'shared' and .* with_cp=Tru"):
                make_model(method, backbone=backbone, norm='shared', strong=dict(views=1))


class TestCutMix:
    @pytest.mark.parametrize(('cutmix', 'images', 'said'), [(0.5, 1, 1), (0.5, 2, 0), (0, 1, 0)])
    def test_of_one_image_warns_once(self, make_model, make_data, losses_of, cutmix, images, said):
        model = make_model('WeakToStrong', strong=dict(augmentation=dict(cutmix=cutmix)))
        with mock.patch('cct_mm.models.segmentors.weak_to_strong.print_log') as say:
            for domain in ('day', 'night'):
                losses_of(model, make_data(domain, unlabeled=images))
        assert say.call_count == said
        if said:
            (sentence,) = say.call_args.args
            assert sentence.startswith('domain day: strong.augmentation.cutmix is 0.5, but the')
            assert 'raise unlabeled_per_batch' in sentence


class TestTeacher:
    def test_goes_on_bit_for_bit_from_a_checkpoint(self, make_model, make_data):
        settings = dict(strong=CERTAIN, teacher=dict(decay=0.6))
        model = make_model('WeakToStrong', **settings)
        train(model, make_data)
        other = make_model('WeakToStrong', seed=3, **settings)
        other.load_state_dict(model.state_dict())
        for m in (model, other):
            train(m, make_data, seed=7)
        state = model.state_dict()
        assert all(torch.equal(v, state[name]) for name, v in other.state_dict().items())

    def test_or_student_predicts_as_asked(self, make_model, make_data):
        predictions = {}
        for predicts in (True, False):
            teacher = dict(decay=0.6, predicts=predicts)
            model = make_model('WeakToStrong', strong=CERTAIN, teacher=teacher)
            train(model, make_data)
            data = make_data('night', 0, 1)
            predictions[predicts] = model.eval().test_step(data)[0].seg_logits.data
            inputs = model.data_preprocessor(make_data('night', 0, 1), training=False)['inputs']
            network = model.teacher if predicts else model
            assert model.predictor is network
            with network.active('night') as night:
                expected = night.logits(network.extract_feat(inputs), (32, 48))[0]
            torch.testing.assert_close(predictions[predicts], expected)
        assert not torch.allclose(predictions[True], predictions[False])


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        (dict(strong=dict(views=0)), 'views is 0 and channel_dropout 0.0, expected at least one'),
        (dict(strong=dict(channel_dropout=1.0)), r'channel_dropout is 1.0, expected a share'),
        (dict(teacher=dict(decay=0)), r'WeakToStrong: decay is 0, expected a number in \(0, 1\)'),
        (dict(teacher=dict(rate=0.9)), r'teacher is .*rate.*, expected dict\(decay=, predicts=\)'),
    ],
)
def test_bad_settings_are_refused(make_model, settings, said):
    with pytest.raises(ValueError, match=said):
        make_model('WeakToStrong', **settings)
