"""What the methods that CCT is compared with have in common."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper

from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

METHODS = {
    'EntropyMinimization': {},
    'PseudoLabeling': dict(confidence=0.4),
    'InputVAT': {},
    'CrossPseudoSupervision': {},
}
every_method = pytest.mark.parametrize('method', METHODS)


def train(model, data, steps):
    """Train for some iterations as a runner does; data and progress follow from their number."""
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05))
    model.train()
    for t in steps:
        set_progress(model, Progress(t, 100, 0))
        model.train_step(data(('day', 'night')[t % 2], seed=t), wrapper)


@every_method
class TestEach:
    def test_without_unlabeled_images_has_the_loss_of_the_baseline(
        self, method, make_model, make_data, losses_of
    ):
        found = losses_of(make_model(method, **METHODS[method]), make_data('day', unlabeled=0))
        expected = losses_of(make_model('SupervisedSegmentor'), make_data('day', unlabeled=0))
        assert expected.items() <= found.items()
        further = {name for name in found.keys() - expected.keys() if 'second' not in name}
        # Two networks teach each other on labeled images, too.
        assert (further == set()) is (method != 'CrossPseudoSupervision')

    def test_trains_the_encoder_and_the_head_of_its_domain_alone(
        self, method, make_model, make_data, losses_of
    ):
        model = make_model(method, **METHODS[method])
        before = copy.deepcopy(model.state_dict())
        # The ones without labels: in mixed precision they come first.
        with torch.autocast('cpu', torch.bfloat16):
            losses = losses_of(model, make_data('night', labeled=0))
        assert all(value.dtype == torch.float32 for value in losses.values())
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        for name, weight in model.named_parameters():
            idle = 'domains.day' in name
            assert (weight.grad is None) is idle, name
        moved = {n for n, value in model.state_dict().items() if not value.equal(before[n])}
        assert moved and not any('day' in name for name in moved)

    def test_rises_with_its_ramp(self, method, make_model, make_data, losses_of):
        values = []
        for iteration in (0, 10):
            model = make_model(method, **METHODS[method])
            set_progress(model, Progress(iteration, 100, 0))
            values.append(losses_of(model, make_data('day'))['day.loss_unsupervised'].item())
        assert 0 < values[0] < 0.1 * values[1]

    def test_goes_on_bit_for_bit_from_a_checkpoint(self, method, make_model, make_data):
        model = make_model(method, **METHODS[method])
        train(model, make_data, range(2))
        other = make_model(method, **METHODS[method], seed=3)
        other.load_state_dict(model.state_dict())
        for m in (model, other):
            train(m, make_data, range(2, 4))
        state = model.state_dict()
        assert all(torch.equal(v, state[name]) for name, v in other.state_dict().items())
