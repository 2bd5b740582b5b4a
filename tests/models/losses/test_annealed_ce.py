"""ab-CE (Eqs. 4, 17): which pixels count, by how much, and when."""

import math

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn
from torch.nn import functional as F

from cct_mm.models.losses import AnnealedCrossEntropy, annealed_cross_entropy
from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

# Probability of the true class at four pixels; the last has no label.
PROB = [0.2, 0.6, 0.95, 0.5]
LABELS = torch.tensor([0, 1, 2, 255]).view(1, 1, 4)


def logits_of(prob, labels, classes=3):
    """Logits whose softmax gives each pixel's true class its probability, [1, C, 1, N]."""
    result = torch.empty(1, classes, 1, len(prob), dtype=torch.float64)
    for i, (p, label) in enumerate(zip(prob, labels.flatten().tolist(), strict=True)):
        result[0, :, 0, i] = math.log((1 - p) / (classes - 1))
        result[0, label % classes, 0, i] = math.log(p)
    return result


@pytest.fixture
def logits():
    return logits_of(PROB, LABELS).requires_grad_()


class TestFunction:
    @pytest.mark.parametrize(
        ('threshold', 'kept'), [(0.1, []), (0.3, [0]), (0.7, [0, 1]), (0.96, [0, 1, 2])]
    )
    def test_counts_the_pixels_below_the_threshold(self, logits, threshold, kept):
        total = sum(-math.log(PROB[i]) for i in kept)
        valid = annealed_cross_entropy(logits, LABELS, threshold)
        assert valid.item() == pytest.approx(total / 3, rel=1e-12)
        average = annealed_cross_entropy(logits, LABELS, threshold, average_over='kept')
        assert average.item() == pytest.approx(total / max(len(kept), 1), rel=1e-12)

    def test_pixels_left_out_get_no_gradient(self, logits):
        annealed_cross_entropy(logits, LABELS, 0.7).backward()
        assert (logits.grad[0, :, 0] != 0).any(dim=0).tolist() == [True, True, False, False]

    def test_gradient_is_that_of_cross_entropy_on_the_pixels_kept(self, logits):
        (found,) = torch.autograd.grad(annealed_cross_entropy(logits, LABELS, 0.7), logits)
        loss = F.cross_entropy(logits[..., :2], LABELS[..., :2], reduction='sum') / 3
        (expected,) = torch.autograd.grad(loss, logits)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)

    def test_class_weights_scale_the_pixels_but_not_the_choice_or_the_count(self, logits):
        weight = torch.tensor([5.0, 0.5, 3.0])
        expected = (5 * -math.log(0.2) + 0.5 * -math.log(0.6)) / 3
        loss = annealed_cross_entropy(logits, LABELS, 0.7, class_weight=weight)
        assert loss.item() == pytest.approx(expected, rel=1e-12)
        average = annealed_cross_entropy(
            logits, LABELS, 0.7, class_weight=weight, average_over='kept'
        )
        assert average.item() == pytest.approx(expected * 3 / 2, rel=1e-12)

    @pytest.mark.parametrize('average_over', ['valid', 'kept'])
    def test_threshold_above_1_is_cross_entropy(self, average_over):
        torch.manual_seed(0)
        logits = torch.randn(2, 5, 6, 7, dtype=torch.float64)
        labels = torch.randint(0, 5, (2, 6, 7))
        labels[0, :3] = 255
        loss = annealed_cross_entropy(logits, labels, 1.1, average_over=average_over)
        torch.testing.assert_close(loss, F.cross_entropy(logits, labels, ignore_index=255))

    @pytest.mark.parametrize('average_over', ['valid', 'kept'])
    @pytest.mark.parametrize('class_weight', [None, torch.ones(3)])
    def test_batch_without_labels_gives_0_and_no_gradient(self, average_over, class_weight):
        logits = torch.randn(2, 3, 4, 4, requires_grad=True)
        labels = torch.full((2, 4, 4), 255)
        loss = annealed_cross_entropy(
            logits, labels, 0.9, class_weight=class_weight, average_over=average_over
        )
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(logits.grad, torch.zeros_like(logits))

    @pytest.mark.parametrize('threshold', [0.05, 0.3, 0.9])
    @pytest.mark.parametrize('min_kept', [0, 1, 3, 50])
    def test_keeps_at_least_so_many_pixels_for_each_image(self, threshold, min_kept):
        torch.manual_seed(0)
        logits = torch.randn(2, 3, 4, 5, dtype=torch.float64).mul(2)
        labels = torch.randint(0, 3, (2, 4, 5))
        labels[1, :3] = 255
        valid = labels != 255
        loss = F.cross_entropy(logits, labels, reduction='none', ignore_index=255)[valid]
        prob, order = (-loss).exp().sort()
        raised = max(threshold, prob[min(2 * min_kept, len(prob) - 1)].item()) if min_kept else 0
        kept = loss[order][prob < max(threshold, raised)]
        assert len(kept) >= min(2 * min_kept, len(prob) - 1)
        found = annealed_cross_entropy(
            logits, labels, threshold, average_over='kept', min_kept=min_kept
        )
        torch.testing.assert_close(found, kept.sum() / max(len(kept), 1))

    def test_the_least_number_of_a_batch_without_labels_is_none(self):
        labels = torch.full((2, 4, 4), 255)
        loss = annealed_cross_entropy(torch.randn(2, 3, 4, 4), labels, 0.9, min_kept=1)
        assert loss.item() == 0

    def test_another_ignore_index(self, logits):
        labels = LABELS.clone()
        labels[..., 3], labels[..., 0] = 2, 7
        loss = annealed_cross_entropy(logits, labels, 0.7, ignore_index=7)
        # The last pixel has probability 0.5 for class 0 (255 % 3), a quarter for class 2.
        expected = (-math.log(0.6) - math.log(0.25)) / 3
        assert loss.item() == pytest.approx(expected, rel=1e-12)

    def test_unknown_average(self, logits):
        with pytest.raises(ValueError, match="average_over is 'all'.*'valid'.*'kept'"):
            annealed_cross_entropy(logits, LABELS, 0.9, average_over='all')


class TestModule:
    def kept_below(self, loss, classes=4, count=200):
        """The largest true-class probability that is trained on, on a fine grid."""
        prob = [(i + 0.5) / count for i in range(count)]
        labels = torch.zeros(1, 1, count, dtype=torch.long)
        logits = logits_of(prob, labels, classes).requires_grad_()
        loss(logits, labels).backward()
        kept = (logits.grad[0, :, 0] != 0).any(dim=0).tolist()
        number = sum(kept)
        assert kept == [True] * number + [False] * (count - number)
        return number / count

    @pytest.mark.parametrize(
        ('iteration', 'threshold'),
        [
            (0, 0.25),  # 1/C
            (8, 0.25 + 0.65 * (1 - math.exp(-1))),
            (40, 0.25 + 0.65 * (1 - math.exp(-5))),
            (99, 0.9),
        ],
    )
    def test_threshold_rises_from_chance_to_alpha(self, iteration, threshold):
        loss = AnnealedCrossEntropy(threshold=0.9, ramp_up=0.4)
        set_progress(loss, Progress(iteration, 100, 0))
        assert self.kept_below(loss) == pytest.approx(threshold, abs=0.5 / 200 + 1e-3)

    def test_equals_the_function_times_its_weight(self, logits):
        loss = AnnealedCrossEntropy(
            0.7, ramp_up=0, class_weight=[1, 2, 3], average_over='kept', loss_weight=0.5
        )
        set_progress(loss, Progress(0, 10, 0))
        expected = annealed_cross_entropy(
            logits, LABELS, 0.7, 255, torch.tensor([1.0, 2.0, 3.0]), 'kept'
        )
        torch.testing.assert_close(loss(logits, LABELS, ignore_index=255), expected / 2)

    def test_is_a_loss_decode_of_mmseg(self, logits):
        loss = MODELS.build(dict(type='AnnealedCrossEntropy', ramp_up=0, loss_name='loss_x'))
        assert loss.loss_name == 'loss_x'
        assert AnnealedCrossEntropy().loss_name.startswith('loss_')

    def test_refuses_the_weights_of_a_pixel_sampler(self, logits):
        loss = AnnealedCrossEntropy()
        set_progress(loss, Progress(0, 10, 0))
        with pytest.raises(ValueError, match='AnnealedCrossEntropy: .*pixel sampler.*`sampler`'):
            loss(logits, LABELS, weight=torch.ones(1, 1, 4))

    def test_a_wrong_ramp_is_refused_before_training(self):
        with pytest.raises(ValueError, match='RampUp: unknown shape'):
            AnnealedCrossEntropy(shape='fast')
        with pytest.raises(ValueError, match='RampUp: length is 40000'):
            AnnealedCrossEntropy(ramp_up=40000)

    def test_says_what_to_do_where_nobody_sets_the_iteration(self, logits):
        fixes = r"dict\(type='TrainingProgressHook'\) to custom_hooks.*set_progress\(model"
        with pytest.raises(RuntimeError, match=f'AnnealedCrossEntropy .*iteration.*{fixes}'):
            AnnealedCrossEntropy()(logits, LABELS)

    def test_progress_reaches_it_inside_a_model(self):
        loss = AnnealedCrossEntropy()
        set_progress(nn.ModuleDict({'head': nn.ModuleList([loss])}), Progress(3, 10, 0))
        assert loss.progress == Progress(3, 10, 0)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match='threshold is 1.5'):
        AnnealedCrossEntropy(threshold=1.5)
    loss = AnnealedCrossEntropy(class_weight=[1.0, 2.0])
    set_progress(loss, Progress(0, 10, 0))
    with pytest.raises(ValueError, match='class_weight has 2 .*3 classes'):
        loss(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))
