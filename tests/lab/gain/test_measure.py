"""What is measured of a batch, against the gradient of the whole loss and the logged distances."""

import pytest
import torch
from mmengine.structures import PixelData

from cct_mm.lab.gain.measure import ENCODER, GradientMeans, average, measure, stage_of


def stages_of(*batches):
    means = GradientMeans()
    for gradients in batches:
        means.add(gradients)
    return means.values()


def test_gradients_add_up_to_that_of_the_training_step(make_model, batch):
    model = make_model()
    name, gradients, _ = measure(model, **batch)
    assert name == 'day'
    total, _ = model.parse_losses(model.loss(**batch))
    total.backward()
    for stage, values in stages_of(gradients).items():
        labeled, unlabeled, cosine = (values[k] for k in ('labeled', 'unlabeled', 'cosine'))
        assert labeled > 0 and unlabeled > 0 and abs(cosine) <= 1
        both = labeled**2 + unlabeled**2 + 2 * labeled * unlabeled * cosine
        square = sum(
            p.grad.square().sum()
            for name, p in model.named_parameters()
            if name.startswith(('backbone', 'neck')) and stage in (ENCODER, stage_of(name))
        )
        assert both == pytest.approx(square.item(), rel=1e-4)


def test_stages_are_those_of_the_network(make_model, batch):
    _, gradients, _ = measure(make_model(), **batch)
    stages = stages_of(gradients)
    assert {'backbone.layer1', 'backbone.layer2', 'backbone.layer3'} <= stages.keys()
    for part in ('labeled', 'unlabeled'):
        squares = [values[part] ** 2 for name, values in stages.items() if name != ENCODER]
        assert sum(squares) == pytest.approx(stages[ENCODER][part] ** 2)


def test_norms_are_of_batches_and_the_angle_of_their_means():
    one = {'neck.0.weight': torch.tensor([[3.0, 4.0], [0.0, 1.0]])}
    other = {'neck.0.weight': torch.tensor([[3.0, -4.0], [2.0, 1.0]])}
    values = stages_of(one, other)
    assert values.keys() == {'neck.0', ENCODER}
    expected = dict(labeled=5.0, unlabeled=(1 + 5**0.5) / 2, cosine=0.5**0.5)
    assert values[ENCODER] == values['neck.0'] == pytest.approx(expected)


def test_the_truth_is_the_loss_that_labels_of_the_unlabeled_images_would_give(make_model, batch):
    torch.manual_seed(2)
    truth = torch.randint(3, (2, 1, 32, 48))
    for sample, labels in zip(batch['data_samples'][2:], truth, strict=True):
        sample.set_metainfo(dict(supervision='weak'))
        sample.gt_sem_seg = PixelData(data=labels)
    model = make_model('CCTWithTrueForeground')
    _, gradients, _ = measure(model, **batch)
    values = stages_of(gradients)[ENCODER]

    for sample in batch['data_samples'][2:]:
        sample.set_metainfo(dict(supervision='labeled'))
    model = make_model()
    images = dict(inputs=batch['inputs'][2:], data_samples=batch['data_samples'][2:])
    total, _ = model.parse_losses(model.loss(**images))
    total.backward()
    square = sum(
        p.grad.square().sum()
        for name, p in model.named_parameters()
        if name.startswith(('backbone', 'neck')) and p.grad is not None
    )
    assert values['truth'] == pytest.approx(square.sqrt().item(), rel=1e-4)
    assert all(abs(values[name]) <= 1 for name in ('cosine_labeled', 'cosine_unlabeled'))


def test_cosines_with_the_truth_by_hand():
    values = stages_of({'neck.0.weight': torch.tensor([[3.0, 4.0], [0.0, 1.0], [-2.0, 0.0]])})
    expected = dict(labeled=5.0, unlabeled=1.0, cosine=0.8, truth=2.0)
    expected |= dict(cosine_labeled=-0.6, cosine_unlabeled=0.0)
    assert values[ENCODER] == pytest.approx(expected)


def test_a_gradient_of_zeros_has_no_angle():
    values = stages_of({'neck.0.weight': torch.tensor([[3.0, 4.0], [0.0, 0.0]])})
    assert values[ENCODER] == dict(labeled=5.0, unlabeled=0.0, cosine=0.0)


@pytest.mark.parametrize('view', ['weak', 'strong'])
def test_distances_are_those_of_the_log(make_model, batch, view):
    model = make_model(auxiliary_view=view, strong=dict(views=1))
    _, _, kinds = measure(model, **batch)
    logged = model.loss(**batch)
    for kind, values in kinds.items():
        expected = logged[f'day.distance {kind}'].item()
        assert values['distance'] == pytest.approx(expected, rel=1e-4)


def test_what_does_not_perturb_has_no_size_and_the_distance_of_the_gap(make_model, batch):
    _, _, kinds = measure(make_model(), **batch)
    assert kinds['DropOut']['size'] == 0
    assert kinds['DropOut']['distance'] == kinds['DropOut']['gap']
    # N ~ U(-b, b) has deviation b / sqrt(3).
    assert kinds['F-Noise']['size'] == pytest.approx(0.3 / 3**0.5, rel=0.05)


def test_measuring_changes_no_weight_and_leaves_no_gradient(make_model, batch):
    model = make_model()
    before = [p.clone() for p in model.parameters()]
    measure(model, **batch)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_needs_both_losses(make_model, batch):
    labeled = dict(inputs=batch['inputs'][:2], data_samples=batch['data_samples'][:2])
    with pytest.raises(ValueError, match='day: .* 2 labeled and 0 unlabeled .*unlabeled_per_batch'):
        measure(make_model(), **labeled)


def test_average_by_hand():
    batches = [{'a': dict(x=1.0, y=2.0)}, {'a': dict(x=3.0, y=2.0)}]
    assert average(batches) == {'a': dict(x=2.0, y=2.0)}
