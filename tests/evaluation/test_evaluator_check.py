"""Metrics of mmseg count one set of classes, and are refused where there are several."""

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmseg.evaluation.metrics import IoUMetric
from mmseg.registry import METRICS

from cct_mm.evaluation import DomainIoUMetric, check_evaluator

DAY, NIGHT = ('sky', 'ground', 'car'), ('sky', 'lamp')


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def evaluator(*metrics, **classes):
    """Build an evaluator for domains with these classes, as a dataset describes them."""
    built = Evaluator([dict(type=metric) for metric in metrics])
    domains = {k: dict(classes=v, palette=[[0] * 3] * len(v)) for k, v in classes.items()}
    # As MultiDomainDataset.metainfo has it: the first domain's, where mmseg looks.
    built.dataset_meta = dict(domains=domains, **next(iter(domains.values())))
    return built


class OfAUser(IoUMetric):
    """Derived from mmseg's, and as ignorant of domains."""


@pytest.mark.parametrize(
    ('metrics', 'named'),
    [
        ([IoUMetric], 'IoUMetric'),
        ([OfAUser], 'OfAUser'),
        ([DomainIoUMetric, 'DepthMetric'], 'DepthMetric'),
        ([DomainIoUMetric, IoUMetric], 'IoUMetric'),
    ],
    ids=['alone', 'derived', 'another', 'in a list'],
)
def test_metrics_of_mmseg_are_refused_for_several_sets_of_classes(metrics, named):
    expected = f"^val_evaluator: {named} is a metric of mmseg, .*'day', 'night'.*DomainIoUMetric"
    with pytest.raises(ValueError, match=expected):
        check_evaluator(evaluator(*metrics, day=DAY, night=NIGHT), 'val_evaluator')


@pytest.mark.parametrize(
    ('metric', 'classes'),
    [
        ('DomainIoUMetric', dict(day=DAY, night=NIGHT)),
        ('ImageLevelMetric', dict(day=DAY, night=NIGHT)),
        ('IoUMetric', dict(day=DAY)),
        ('IoUMetric', dict(day=DAY, dusk=DAY)),
    ],
)
def test_others_pass(metric, classes):
    check_evaluator(evaluator(METRICS.get(metric), **classes), 'val_evaluator')


def test_datasets_without_domains_are_left_alone():
    built = Evaluator([dict(type=IoUMetric)])
    check_evaluator(built, 'val_evaluator')
    built.dataset_meta = dict(classes=DAY)
    check_evaluator(built, 'val_evaluator')


def test_on_one_domain_mmsegs_metric_gives_what_ours_gives():
    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(3):
        labels = torch.randint(0, 3, (1, 5, 6), generator=generator)
        labels[:, 0] = 255
        predictions = torch.randint(0, 3, (1, 5, 6), generator=generator)
        samples.append(
            dict(domain='day', pred_sem_seg=dict(data=predictions), gt_sem_seg=dict(data=labels))
        )
    found = {}
    for metric in IoUMetric, DomainIoUMetric:
        built = evaluator(metric, day=DAY)
        built.process(samples, {})
        found[metric] = built.evaluate(3)['mIoU']
    assert found[IoUMetric] == pytest.approx(found[DomainIoUMetric], abs=0.005)
