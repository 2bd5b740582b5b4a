"""Cross pseudo supervision: two networks, each of which labels the images for the other."""

import copy

import pytest
import torch
from torch.nn import functional as F

WEIGHT = 2.0


@pytest.fixture
def model(make_model):
    ramp = dict(final=WEIGHT, length=0.0)
    return make_model('CrossPseudoSupervision', unsupervised_weight=ramp)


def split(state):
    """Take the second network out of a state; return both networks under the same names."""
    start = 'second.'
    second = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
    return {k: v for k, v in state.items() if not k.startswith(start)}, second


class TestNetworks:
    def test_first_starts_as_the_baseline_and_the_second_elsewhere(self, model, make_model):
        torch.manual_seed(0)
        baseline = make_model('SupervisedSegmentor')
        drawn_after = torch.rand(3)
        first, second = split(model.state_dict())
        expected = baseline.state_dict()
        assert first.keys() == second.keys() == expected.keys()
        assert all(torch.equal(first[name], value) for name, value in expected.items())
        weights = [name for name, value in first.items() if 'conv' in name and value.dim() == 4]
        weights += [name for name in first if 'decode_head.weights' in name]
        assert len(weights) > 10
        assert not any(torch.equal(first[name], second[name]) for name in weights)
        # Nor does anything that is drawn later depend on the second network.
        make_model('CrossPseudoSupervision')
        assert torch.equal(torch.rand(3), drawn_after)

    def test_start_from_the_same_pretrained_backbone(self, model, make_model, tmp_path):
        path = str(tmp_path / 'backbone.pth')
        torch.save(make_model('SupervisedSegmentor', seed=7).backbone.state_dict(), path)
        config = make_model.config('CrossPseudoSupervision')
        backbone = {**config['backbone'], 'init_cfg': dict(type='Pretrained', checkpoint=path)}
        first, second = split(make_model('CrossPseudoSupervision', backbone=backbone).state_dict())
        for name, value in first.items():
            if name.startswith('backbone.') and name.endswith('weight'):
                assert torch.equal(second[name], value), name
        name = 'domains.day.decode_head.weights.0'
        assert not torch.equal(second[name], first[name])

    def test_take_the_backbone_of_a_checkpoint_of_another_method(self, model, make_model):
        baseline = make_model('SupervisedSegmentor', seed=5).state_dict()
        _, before = split(copy.deepcopy(model.state_dict()))
        model.load_state_dict(baseline, strict=False)
        first, second = split(model.state_dict())
        for name, value in baseline.items():
            assert torch.equal(first[name], value)
            shared = name.startswith('backbone.')
            assert torch.equal(second[name], value if shared else before[name])

    def test_first_is_what_predicts(self, model, make_model, make_data):
        data = make_data('night', 0, 1)
        baseline = make_model('SupervisedSegmentor').eval()
        expected = baseline.test_step(copy.deepcopy(data))[0]
        found = model.eval().test_step(data)[0]
        assert torch.equal(found.seg_logits.data, expected.seg_logits.data)


class TestLoss:
    def test_is_the_cross_entropy_with_the_others_classes_on_all_images(
        self, model, make_data, losses_of, outputs_of
    ):
        networks = (model, model.second)
        heads = [outputs_of(network.domains['day'].decode_head) for network in networks]
        losses = losses_of(model, make_data('day', 2, 3, size=(20, 27)))
        names = ('day.loss_unsupervised', 'day.second.loss_unsupervised')
        sum(losses[name] for name in names).backward()
        # Labeled images for L_s, then labeled and unlabeled ones.
        logits = [torch.cat(outputs[1:]).detach().double() for outputs in heads]
        gradients = [torch.cat([x.grad for x in outputs[1:]]).double() for outputs in heads]
        assert all(len(x) == 5 for x in logits)
        for name, own, other, found in zip(names, logits, logits[::-1], gradients, strict=True):
            labels = other.argmax(dim=1)
            assert (labels != own.argmax(dim=1)).double().mean() > 0.1
            loss = F.cross_entropy(own, labels, reduction='none')[:, :20, :27].mean()
            torch.testing.assert_close(losses[name].double(), WEIGHT * loss)
            expected = own.softmax(dim=1) - F.one_hot(labels, 3).movedim(3, 1)
            expected[..., 20:, :] = expected[..., 27:] = 0
            expected *= WEIGHT / (5 * 20 * 27)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-9)

    def test_of_labels_is_that_of_each_network(self, model, make_data, losses_of):
        data = make_data('day')
        # Each by itself, as baselines.
        for network, prefix in ((model, ''), (model.second, 'second.')):
            copied = copy.deepcopy(network).train()
            batch = copied.data_preprocessor(copy.deepcopy(data), training=True)
            with copied.active('day') as day:
                features = copied.extract_feat(batch['inputs'][:2])
                expected = day.loss(features, batch['data_samples'][:2], (32, 48))['loss_ce']
            found = losses_of(copy.deepcopy(model), copy.deepcopy(data))
            torch.testing.assert_close(found[f'day.{prefix}loss_ce'], expected)

    def test_lets_the_norms_of_both_heads_see_each_image_once(
        self, make_model, make_data, losses_of
    ):
        norm = dict(type='BN')
        head = dict(type='FCNHead', in_channels=32, channels=8, num_convs=1, norm_cfg=norm)
        model = make_model('CrossPseudoSupervision', decode_head={**head, 'dropout_ratio': 0})
        data = make_data('day')
        inputs = model.data_preprocessor(copy.deepcopy(data), training=True)['inputs']
        expected = copy.deepcopy(model).train()
        losses_of(model, data)
        for network, once in ((model, expected), (model.second, expected.second)):
            with once.active('day') as day:
                for images in inputs.split(2):
                    day.logits(once.extract_feat(images), (32, 48))
            found = network.domains['day'].decode_head.state_dict()
            assert found['convs.0.bn.num_batches_tracked'] == 2
            for name, value in once.domains['day'].decode_head.state_dict().items():
                assert torch.equal(found[name], value), name

    @pytest.mark.parametrize(('labeled', 'unlabeled'), [(2, 0), (0, 2)])
    def test_needs_only_one_of_the_batches(self, model, make_data, losses_of, labeled, unlabeled):
        losses = losses_of(model, make_data('day', labeled, unlabeled))
        assert losses['day.second.loss_unsupervised'] > 0
        assert ('day.second.loss_ce' in losses) is (labeled > 0)
