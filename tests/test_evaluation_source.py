"""Where a config says how the images of a domain are evaluated."""

from mmengine.config import Config

from cct_mm.evaluation_source import evaluation_pipeline


def loader(name):
    source = dict(type='ListDataset', pipeline=[dict(type=name)])
    return dict(dataset=dict(domains=dict(day=dict(labeled=source))))


def test_pipeline_is_that_of_the_test_or_else_of_validation():
    both = Config(dict(test_dataloader=loader('a'), val_dataloader=loader('b')))
    assert evaluation_pipeline(both, 'day') == [dict(type='a')]
    one = Config(dict(test_dataloader=None, val_dataloader=loader('b')))
    assert evaluation_pipeline(one, 'day') == [dict(type='b')]


def test_pipeline_without_evaluation_is_the_one_that_mmseg_reads():
    assert evaluation_pipeline(Config(dict()), 'day') is None
    given = [dict(type='a')]
    assert evaluation_pipeline(Config(dict(test_pipeline=given)), 'day') == given
    made = Config(dict(test_pipeline=[dict(type='a'), dict(type='DomainPipeline')]))
    assert evaluation_pipeline(made, 'day') is None
