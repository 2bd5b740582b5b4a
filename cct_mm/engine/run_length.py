"""The length of a training in its config, and the schedules that depend on it."""

from collections.abc import Mapping

_WARM_UPS = ('Linear', 'Constant')


def run_length(config: Mapping) -> tuple[str, int | None]:
    """Return the key of ``train_cfg`` that sets the length of a training, and its value.

    Args:
        config: A config, or its values as
            :func:`~cct_mm.engine.checkpoints.config_changes.parse_config` returns them.
    """
    train = config.get('train_cfg') or {}
    key = 'max_epochs' if 'max_epochs' in train or train.get('by_epoch') else 'max_iters'
    return key, train.get(key)


def check_length(config: Mapping) -> None:
    """Check the length and the validation interval of a training.

    Args:
        config: A config with a ``train_cfg``.

    Raises:
        ValueError: If one is not a whole number above 0.
    """
    train = config.get('train_cfg') or {}
    for key in ('max_iters', 'max_epochs', 'val_interval'):
        value = train.get(key, 1)
        if not isinstance(value, (int, float)) or value < 1 or value != int(value):
            raise ValueError(
                f'train_cfg.{key} is {value!r}, expected a whole number above 0; correct it in '
                'the config or on the command line'
            )


def type_name(item: Mapping) -> str:
    """Return the name of an entry's ``type``, which may be a class; '' if it has none."""
    kind = item.get('type', '')
    return kind if isinstance(kind, str) else kind.__name__


def schedules(config: Mapping) -> list[Mapping]:
    """Return the learning-rate and other schedules of a config."""
    found = config.get('param_scheduler') or []
    found = [found] if isinstance(found, Mapping) else found
    # In the text of a checkpoint's config a schedule may be code.
    return [item for item in found if isinstance(item, Mapping)]


def early_end(config: Mapping) -> str:
    """Say where the last schedule ends if the training ends elsewhere.

    Args:
        config: The config of a run.

    Returns:
        A sentence, or '' if they end together.
    """
    key, length = run_length(config)
    by_epoch = key == 'max_epochs'
    own = [
        item
        for item in schedules(config)
        # A warm-up may be followed by a constant rate.
        if item.get('by_epoch', True) is by_epoch and not type_name(item).startswith(_WARM_UPS)
    ]
    if length is None or not own:
        return ''
    last = max(own, key=lambda item: item.get('end', length))
    if last.get('end', length) == length:
        return ''
    return (
        f'the last schedule ({type_name(last)}) ends at {last["end"]}, the training at '
        f'{key}={length}: leave `end` out of param_scheduler, which then follows train_cfg.{key}'
    )


def stretch(config: Mapping, old: int, new: int) -> list[str]:
    """Let the schedules that end with a training follow its new length.

    Args:
        config: The config, which is changed.
        old: The old length.
        new: The new length, in the same unit.

    Returns:
        Descriptions of the changes.
    """
    changes = []
    for item in schedules(config):
        if item.get('end') != old:
            continue
        begin = item.get('begin', 0)
        # Cosine and one-cycle schedules store their length in T_max and total_steps.
        for key, start in (('end', 0), ('T_max', begin), ('total_steps', begin)):
            if item.get(key) == old - start:
                item[key] = new - start
                changes.append(f'{type_name(item)}.{key} {old - start} -> {new - start}')
    return changes
