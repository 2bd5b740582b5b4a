"""IoU by domain, against numbers counted by hand."""

import logging
import math

import pytest
import torch
from mmengine.logging import MMLogger
from mmseg.evaluation.metrics import IoUMetric
from mmseg.registry import METRICS

from cct_mm.evaluation import DomainIoUMetric, confusion_matrix

DOMAINS = {
    'day': dict(classes=('sky', 'ground', 'car'), palette=[[0] * 3] * 3),
    'night': dict(classes=('sky', 'lamp'), palette=[[0] * 3] * 2),
}


def sample(domain, prediction, label):
    """One image as the segmentor's predict returns it, turned into dictionaries."""
    return dict(
        domain=domain,
        pred_sem_seg=dict(data=torch.tensor([prediction])),
        gt_sem_seg=dict(data=torch.tensor([label], dtype=torch.uint8)),
    )


def evaluate(*batches, size=None, domains=DOMAINS, **kwargs):
    metric = DomainIoUMetric(**kwargs)
    metric.dataset_meta = dict(domains=domains, **next(iter(domains.values())))
    for batch in batches:
        metric.process({}, batch)
    return metric.evaluate(size or sum(len(batch) for batch in batches))


# sky: 2 of 3, ground: 1 of 2, car is nowhere.
DAY = sample('day', [[0, 0], [0, 1]], [[0, 0], [1, 1]])
# sky: 1 of 3, lamp: 1 of 3.
NIGHT = sample('night', [[0, 0], [1, 1]], [[0, 1], [0, 1]])


def approx(values):
    return pytest.approx(values, nan_ok=True)


def test_is_registered_in_mmseg():
    assert METRICS.get('DomainIoUMetric') is DomainIoUMetric


def test_of_one_domain_in_percent_a_class_that_occurs_nowhere_is_nan_and_not_in_the_mean():
    assert evaluate([DAY]) == approx(
        {
            'day/IoU.sky': 200 / 3,
            'day/IoU.ground': 50.0,
            'day/IoU.car': math.nan,
            'day/mIoU': (200 / 3 + 50) / 2,
            # 3 of 4 pixels; sky 2 of 2, ground 1 of 2; sky 2 * 2 / 5, ground 2 * 1 / 3.
            'day/aAcc': 75.0,
            'day/mAcc': 75.0,
            'day/mDice': (80 + 200 / 3) / 2,
            'mIoU': (200 / 3 + 50) / 2,
        }
    )


def test_of_two_domains_is_the_mean_over_domains_whatever_their_classes_and_images():
    metrics = evaluate([DAY, NIGHT], [NIGHT])
    day, night = (200 / 3 + 50) / 2, 100 / 3
    assert metrics['day/mIoU'] == approx(day)
    assert metrics['night/mIoU'] == approx(night)
    assert metrics['night/IoU.sky'] == metrics['night/IoU.lamp'] == approx(night)
    assert metrics['mIoU'] == approx((day + night) / 2)


def test_does_not_depend_on_batches_or_order():
    expected = evaluate([DAY, NIGHT])
    assert evaluate([NIGHT], [DAY]) == approx(expected)


def test_counts_pixels_over_images_and_does_not_average_images():
    # sky: 2 of 3 and 0 of 1, so 2 of 4; ground: 1 of 2 and 3 of 4, so 4 of 6.
    other = sample('day', [[1, 1], [1, 1]], [[0, 1], [1, 1]])
    metrics = evaluate([DAY, other])
    assert metrics['day/IoU.sky'] == approx(50.0)
    assert metrics['day/IoU.ground'] == approx(400 / 6)


def test_a_class_that_is_only_predicted_counts_as_zero():
    metrics = evaluate([sample('day', [[0, 0], [0, 2]], [[0, 0], [0, 0]])])
    assert metrics['day/IoU.sky'] == approx(75.0)
    assert metrics['day/IoU.car'] == 0.0
    assert metrics['day/mIoU'] == approx(37.5)


def test_ignored_pixels_count_nowhere():
    # Without the ignored pixel, which is predicted as car: sky 2 of 2, ground 1 of 1, car nowhere.
    ignored = sample('day', [[0, 0], [2, 1]], [[0, 0], [255, 1]])
    metrics = evaluate([ignored])
    assert metrics['day/IoU.sky'] == metrics['day/IoU.ground'] == 100.0
    assert math.isnan(metrics['day/IoU.car'])


def test_ignore_index_may_be_another_label():
    metrics = evaluate([sample('day', [[0, 0], [0, 1]], [[0, 0], [2, 1]])], ignore_index=2)
    assert metrics['day/mIoU'] == 100.0


@pytest.mark.parametrize('size', [2, 3])
def test_results_beyond_the_datasets_length_count_nowhere(size):
    # Ranks fill the last batch up with images that were seen already.
    wrong = sample('day', [[1, 1], [1, 0]], [[0, 0], [0, 1]])
    metrics = evaluate([DAY, NIGHT], [wrong], size=size)
    assert (metrics == approx(evaluate([DAY, NIGHT]))) is (size == 2)


def test_a_domain_without_images_is_not_reported_and_not_in_the_mean():
    metrics = evaluate([NIGHT])
    assert not any(name.startswith('day') for name in metrics)
    assert metrics['mIoU'] == metrics['night/mIoU']


def test_starts_anew_after_each_evaluation():
    metric = DomainIoUMetric()
    metric.dataset_meta = dict(domains=DOMAINS)
    first = []
    for _ in range(2):
        metric.process({}, [NIGHT])
        first.append(metric.evaluate(1))
    assert first[0] == first[1]


@pytest.fixture
def log():
    """What is logged, line by line."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.extend(record.getMessage().splitlines())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def test_the_log_says_over_which_classes_a_mean_is(log):
    evaluate([DAY, NIGHT])
    assert 'day: mean over 2 of 3 classes, absent: car' in log
    assert 'night: mean over 2 of 2 classes' in log


def test_the_log_names_a_class_that_is_only_predicted(log):
    evaluate([sample('day', [[0, 0], [0, 2]], [[0, 0], [0, 0]])])
    expected = 'day: mean over 2 of 3 classes, absent: ground; predicted but in no label, so 0: car'
    assert expected in log


def test_a_domain_without_any_class_is_nan_and_not_in_the_mean(log):
    nothing = sample('day', [[0, 1]], [[255, 255]])
    metrics = evaluate([nothing, NIGHT])
    assert math.isnan(metrics['day/mIoU'])
    assert metrics['mIoU'] == approx(100 / 3)
    assert 'day: mean over 0 of 3 classes, absent: sky, ground, car' in log
    assert 'mIoU: mean over 1 of 2 domains, without any class: day' in log


@pytest.mark.parametrize('batches', [[], [[sample('day', [[0, 1]], [[255, 255]])]]])
def test_without_any_label_there_is_no_mean(batches):
    assert math.isnan(evaluate(*batches)['mIoU'])


def test_the_confusion_matrix_has_truth_in_rows_and_predictions_in_columns():
    metric = DomainIoUMetric()
    metric.dataset_meta = dict(domains=DOMAINS)
    metric.process({}, [DAY, NIGHT])
    metric.process({}, [DAY])
    metric.evaluate(3)
    # Sky is seen as sky twice in each image, ground as ground once, and as sky once.
    assert metric.confusion['day'].tolist() == [[4, 0, 0], [2, 2, 0], [0, 0, 0]]
    assert metric.confusion['night'].tolist() == [[1, 1], [1, 1]]


def test_counts_are_mmsegs():
    labels = torch.randint(0, 5, (2, 40, 50), generator=torch.manual_seed(0))
    prediction, label = labels
    label[:5] = 255
    confusion = confusion_matrix(prediction, label, 5)
    intersect, union, predicted, labeled = IoUMetric.intersect_and_union(prediction, label, 5, 255)
    assert confusion.diagonal().tolist() == intersect.tolist()
    assert confusion.sum(dim=0).tolist() == predicted.tolist()
    assert confusion.sum(dim=1).tolist() == labeled.tolist()
    assert (confusion.sum(dim=0) + confusion.sum(dim=1) - confusion.diagonal()).tolist() == (
        union.tolist()
    )


def test_accuracy_and_dice_are_mmsegs_of_the_same_pixels():
    metrics = evaluate([DAY], [sample('day', [[1, 1], [2, 0]], [[0, 1], [1, 2]])])
    theirs = IoUMetric(iou_metrics=['mIoU', 'mDice'])
    theirs.dataset_meta = DOMAINS['day']
    theirs.process({}, [DAY, sample('day', [[1, 1], [2, 0]], [[0, 1], [1, 2]])])
    expected = theirs.evaluate(2)
    for name in ('aAcc', 'mAcc', 'mIoU', 'mDice'):
        # mmseg rounds to two decimals.
        assert metrics[f'day/{name}'] == pytest.approx(expected[name], abs=0.01)


def test_an_image_without_labels_is_named():
    unlabeled = {key: value for key, value in DAY.items() if key != 'gt_sem_seg'}
    with pytest.raises(
        ValueError, match='domain day: x.png comes without labels, expected a label'
    ):
        evaluate([{**unlabeled, 'img_path': 'x.png'}])
