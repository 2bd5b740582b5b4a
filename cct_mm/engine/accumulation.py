"""Gradients of several iterations that make one step of the optimizer."""

from collections.abc import Mapping

from .checkpoints.early_stopping import early_stopping_hooks


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
    if count == 1:
        return ''
    found = []
    hook = (config.get('default_hooks') or {}).get('checkpoint') or {}
    if not hook.get('by_epoch', True):
        found.append(('default_hooks.checkpoint.interval', hook.get('interval', -1)))
    if early_stopping_hooks(config):
        # It saves the iteration that it ends at, after a validation.
        loop = config.get('train_cfg') or {}
        found.append(('train_cfg.val_interval', loop.get('val_interval', -1)))
    for name, interval in found:
        if interval > 0 and interval % count:
            return (
                f'{name} is {interval}, and a step of the optimizer takes '
                f'optim_wrapper.accumulative_counts={count} iterations: a run that goes on from a '
                'checkpoint between two steps has lost the gradients before it; set the interval '
                f'to a multiple, such as {-(-interval // count) * count}'
            )
    return ''
