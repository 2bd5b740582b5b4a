"""Gradients of several iterations that make one step of the optimizer."""

from collections.abc import Mapping


def accumulative_counts(config: Mapping) -> int:
    """Return how many iterations make one step of the optimizer.

    Raises:
        ValueError: If it is not a whole number above 0.
    """
    count = (config.get('optim_wrapper') or {}).get('accumulative_counts', 1)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(
            f'optim_wrapper.accumulative_counts is {count!r}, expected the number of iterations '
            'that make one step of the optimizer, a whole number above 0'
        )
    return count


def lost_gradients(config: Mapping) -> str:
    """Say that checkpoints are written while gradients are gathered, which they do not hold.

    Args:
        config: The config of a run.

    Returns:
        A sentence, or '' if each checkpoint follows a step of the optimizer.
    """
    count = accumulative_counts(config)
    hook = (config.get('default_hooks') or {}).get('checkpoint') or {}
    interval = hook.get('interval', -1)
    if count == 1 or hook.get('by_epoch', True) or interval < 1 or interval % count == 0:
        return ''
    return (
        f'default_hooks.checkpoint.interval is {interval}, and a step of the optimizer takes '
        f'optim_wrapper.accumulative_counts={count} iterations: a run that goes on from a '
        'checkpoint between two steps has lost the gradients before it; set the interval to a '
        f'multiple, such as {-(-interval // count) * count}'
    )
