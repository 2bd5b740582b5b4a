"""Check that an evaluator does not add up labels of different meaning."""

from mmengine.evaluator import Evaluator


def check_evaluator(evaluator: Evaluator, name: str) -> None:
    """Refuse metrics of mmseg, which know nothing of domains, if the domains' classes differ.

    Args:
        evaluator: The evaluator, which has the dataset's meta information.
        name: Its entry in the config, for the message.

    Raises:
        ValueError: If such a metric gets domains with different classes.
    """
    domains = (evaluator.dataset_meta or {}).get('domains', {})
    if len({tuple(meta['classes']) for meta in domains.values()}) < 2:
        return
    for metric in evaluator.metrics:
        if any(kind.__module__.partition('.')[0] == 'mmseg' for kind in type(metric).__mro__):
            raise ValueError(
                f'{name}: {type(metric).__name__} is a metric of mmseg, which would add up the '
                f'labels of the domains {list(domains)} although their classes differ, expected a '
                f"metric that counts by domain; set {name}=dict(type='DomainIoUMetric'), or "
                'evaluate one domain alone'
            )
