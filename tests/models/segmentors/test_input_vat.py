"""VAT on the image: the worst direction, its size, and no trace of the passes that find it."""

import copy

import pytest
import torch
from mmcv.cnn.bricks import DropPath
from mmseg.registry import MODELS
from torch import nn
from torch.nn import functional as F

from cct_mm.models.progress import set_progress
from cct_mm.models.segmentors.batch import select
from cct_mm.schedules import Progress

EPS = 3.0


@pytest.fixture
def model(make_model, make_data, losses_of):
    """A network whose norms have seen images."""
    ramp = dict(final=2.0, length=0.0)
    model = make_model('InputVAT', eps=EPS, unsupervised_weight=ramp)
    for seed in range(3):
        losses_of(model, make_data('day', seed=10 + seed))
    return model


@pytest.fixture
def unlabeled(model, make_data):
    """Three unlabeled images with padding."""
    data = model.data_preprocessor(make_data('day', 0, 3, size=(20, 27)), training=True)
    return batches_of(data)[1]


@pytest.fixture
def attention():
    """A neck with PyTorch's attention, whose fused kernels cannot be differentiated twice."""

    class Attention(nn.Module):
        def forward(self, maps):
            z = maps[-1].flatten(2).mT[:, None]  # [B, 1, h w, D]
            z = F.scaled_dot_product_attention(z, z, z)
            return [z[:, 0].mT.unflatten(2, maps[-1].shape[2:])]

    MODELS.register_module(module=Attention)
    yield 'Attention'
    MODELS.module_dict.pop('Attention')


@pytest.fixture
def dropping():
    """A neck whose output differs in each pass: by dropout, drop path and dropped attention."""

    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout, self.drop_path = nn.Dropout2d(0.5), DropPath(0.5)
            self.attention = nn.MultiheadAttention(32, 2, dropout=0.5, batch_first=True)

        def forward(self, maps):
            z = self.drop_path(self.dropout(maps[-1]))
            tokens = z.flatten(2).mT  # [B, h w, D]
            tokens = self.attention(tokens, tokens, tokens, need_weights=False)[0]
            return [z + tokens.mT.unflatten(2, z.shape[2:])]

    MODELS.register_module(module=Dropping)
    yield 'Dropping'
    MODELS.module_dict.pop('Dropping')


def batches_of(data):
    """Return the labeled and the unlabeled batch."""
    return [select(data['inputs'], data['data_samples'], x) for x in ('labeled', 'unlabeled')]


def adversarial(model, batch):
    with model.active('day') as day:
        return model.adversarial(day, batch)


def start(model, batch):
    with model.active('day') as day:
        return model._start(day, batch)


def norm(r):
    return r.flatten(1).norm(dim=1)


def prediction(model, images):
    """Return log p(images)."""
    with model.active('day') as day:
        return day.logits(model.extract_feat(images), (32, 32)).log_softmax(dim=1)


def divergence(model, batch, r):
    """KL(p(x) || p(x + r)) summed over each image without its padding."""
    double, images = copy.deepcopy(model).double().eval(), batch.images.double()
    clean = prediction(double, images).detach()
    kl = F.kl_div(prediction(double, images + r), clean, reduction='none', log_target=True)
    return kl[..., :20, :27].sum(dim=(1, 2, 3))


class TestDirection:
    def test_is_the_hessian_times_the_start(self, model, unlabeled):
        r = adversarial(model, unlabeled)
        direction = start(model, unlabeled).double()
        direction[..., 20:, :] = direction[..., 27:] = 0

        def total(r):
            return divergence(model, unlabeled, r).sum()

        zero = torch.zeros_like(direction)
        _, expected = torch.autograd.functional.hvp(total, zero, direction)
        expected[..., 20:, :] = expected[..., 27:] = 0
        expected *= EPS / norm(expected)[:, None, None, None]
        torch.testing.assert_close(r.double(), expected, rtol=1e-3, atol=1e-5)

    def test_has_the_norm_eps_for_each_image_and_spares_padding(self, model, unlabeled):
        r = adversarial(model, unlabeled)
        torch.testing.assert_close(norm(r), torch.full((3,), EPS))
        assert r[..., 20:, :].abs().max() == 0 and r[..., 27:].abs().max() == 0
        assert not r.requires_grad

    def test_alters_the_prediction_more_than_its_start_and_random_directions(
        self, model, unlabeled
    ):
        small, ours = 1e-3, adversarial(model, unlabeled).double()
        found = divergence(model, unlabeled, small * ours)
        others = [start(model, unlabeled), *torch.randn(5, *ours.shape)]
        for other in others:
            other = other.double()
            other[..., 20:, :] = other[..., 27:] = 0
            other *= EPS / norm(other)[:, None, None, None]
            assert (found > divergence(model, unlabeled, small * other)).all()

    def test_depends_on_image_and_iteration_alone(self, model, unlabeled):
        r = adversarial(model, unlabeled)
        assert torch.equal(adversarial(model, unlabeled), r)
        for i in range(3):
            alone = type(unlabeled)(unlabeled.images[i : i + 1], unlabeled.samples[i : i + 1])
            torch.testing.assert_close(adversarial(model, alone)[0], r[i], rtol=1e-4, atol=1e-6)
        set_progress(model, Progress(iteration=6, max_iters=100, seed=0))
        assert not torch.allclose(adversarial(model, unlabeled), r)

    def test_is_the_same_under_autocast(self, model, unlabeled):
        r = adversarial(model, unlabeled)
        with torch.autocast('cpu', torch.bfloat16):
            assert torch.equal(adversarial(model, unlabeled), r)

    def test_is_found_through_fused_attention_too(self, make_model, unlabeled, attention):
        model = make_model('InputVAT', eps=EPS, neck=dict(type=attention))
        torch.testing.assert_close(norm(adversarial(model, unlabeled)), torch.full((3,), EPS))

    def test_of_a_network_that_sees_nothing_is_none(self, model, unlabeled):
        with torch.no_grad():
            for weight in model.domains['day'].decode_head.parameters():
                weight.zero_()
        assert torch.equal(adversarial(model, unlabeled), torch.zeros_like(unlabeled.images))


class TestLoss:
    @pytest.mark.parametrize('joint_encoding', [False, True])
    def test_is_the_divergence_of_the_two_predictions(
        self, model, make_data, outputs_of, joint_encoding
    ):
        model.joint_encoding = joint_encoding
        data = model.data_preprocessor(make_data('day', size=(20, 27)), training=True)
        duplicate = copy.deepcopy(model).train()
        batches = batches_of(data)
        with duplicate.active('day') as day:
            for batch in batches:
                duplicate.encode(batch)
            perturbed = batches[1].images + duplicate.adversarial(day, batches[1])
            clean, changed = (
                day.logits(duplicate.extract_feat(x), (32, 32)).log_softmax(dim=1)
                for x in (batches[1].images, perturbed)
            )
        kl = F.kl_div(changed, clean, reduction='none', log_target=True).sum(dim=1)
        outputs = outputs_of(model.domains['day'].decode_head)
        loss = model.train().loss(**data)['day.loss_unsupervised']
        torch.testing.assert_close(loss, 2 * kl[:, :20, :27].mean(), rtol=1e-4, atol=1e-7)
        # q - p at each pixel: the target is held fixed.
        assert not outputs[1].requires_grad
        loss.backward()
        expected = 2 * (changed.exp() - clean.exp()).detach() / (2 * 20 * 27)
        expected[..., 20:, :] = expected[..., 27:] = 0
        torch.testing.assert_close(outputs[-1].grad, expected, rtol=1e-3, atol=1e-8)

    def test_is_0_where_nothing_changes_though_the_encoder_has_dropout(
        self, make_model, make_data, losses_of, dropping, monkeypatch
    ):
        model = make_model('InputVAT', neck=dict(type=dropping), domains=['day']).train()
        monkeypatch.setattr(model, 'adversarial', lambda day, batch: torch.zeros_like(batch.images))
        modes = [m.training for m in model.modules()]
        images = torch.randn(2, 3, 32, 48)
        with torch.no_grad():
            assert not torch.equal(*(prediction(copy.deepcopy(model), images) for _ in range(2)))
        loss = losses_of(model, make_data('day'))['day.loss_unsupervised']
        torch.testing.assert_close(loss, torch.tensor(0.0), atol=1e-7, rtol=0)
        assert [m.training for m in model.modules()] == modes

    def test_leaves_the_traces_of_the_images_as_they_are_alone(self, make_model, make_data):
        # With batch norm and dropout.
        head = dict(
            type='FCNHead', in_channels=32, channels=8, num_convs=1, norm_cfg=dict(type='BN')
        )
        arguments = dict(decode_head=head, domains=['day'])
        model = make_model('InputVAT', **arguments).train()
        model.backbone.layer1.eval()
        expected = make_model('SupervisedSegmentor', **arguments).train()
        expected.backbone.layer1.eval()
        data = model.data_preprocessor(make_data('day'), training=True)
        with expected.active('day') as day:
            batches = batches_of(data)
            expected.encode(*batches)
            torch.manual_seed(3)
            expected.loss_labeled(day, batches[0])
        random_state = torch.get_rng_state()
        torch.manual_seed(3)
        model.loss(**data)
        assert torch.equal(torch.get_rng_state(), random_state)
        state = model.state_dict()
        assert any('running_mean' in name for name in state)
        for name, value in expected.state_dict().items():
            assert torch.equal(state[name], value), name
        modes = [(m.training, getattr(m, 'track_running_stats', None)) for m in model.modules()]
        assert modes == [
            (m.training, getattr(m, 'track_running_stats', None)) for m in expected.modules()
        ]
        assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize('eps', [0.0, -1.0])
def test_eps_out_of_range(make_model, eps):
    with pytest.raises(ValueError, match=f'eps is {eps}, expected a norm > 0'):
        make_model('InputVAT', eps=eps)


def test_activation_checkpointing_is_refused(make_model):
    backbone = dict(make_model.config()['backbone'], with_cp=True)
    with pytest.raises(ValueError, match='backbone has with_cp=True, .*backbone.with_cp=False'):
        make_model('InputVAT', backbone=backbone)
