"""Names that domains and classes may have, in the data and in the model."""

from collections.abc import Sequence

from mmengine.model import ModuleDict

# torch refuses a domain's name that is an attribute of the module around it. What is called weight
# or bias, mmengine overwrites when it initializes a network.
_TAKEN = frozenset(dir(ModuleDict())) | {'weight', 'bias'}


def check_domain_name(name: str) -> None:
    """Check that a domain's name can be a key of weights, of metrics and of the log.

    Raises:
        ValueError: If it cannot.
    """
    problem = None
    if not isinstance(name, str):
        problem = f'it is a {type(name).__name__}'
    elif not name or name != name.strip():
        problem = 'it is empty, or begins or ends with a blank'
    elif bad := [c for c in name if c in './\\' or not c.isprintable()]:
        problem = f'it contains {bad[0]!r}, which separates the names of weights or metrics'
    elif 'loss' in name:
        problem = (
            'its name contains "loss", by which mmengine tells losses from other values in the log'
        )
    elif name in _TAKEN:
        problem = 'torch and mmengine have attributes of this name in modules that hold domains'
    if problem is not None:
        shown = (
            name if isinstance(name, str) and name.strip() and name.isprintable() else repr(name)
        )
        raise ValueError(
            f'domain {shown}: {problem}; choose another name, of letters, digits, _ and -, such as '
            "'camvid', the same in model.domains and in the data"
        )


def check_class_names(classes: Sequence[str], where: str) -> None:
    """Check that names of classes are texts, not empty, and all different.

    Args:
        classes: Names of the classes, in the order of their labels.
        where: How an error names their owner, e.g. ``'domain day'``.

    Raises:
        ValueError: If they are no sequence of strings, a name is empty, or two are equal.
    """
    if isinstance(classes, str):
        raise ValueError(
            f'{where}: classes is the text {classes!r}, expected a sequence of names; write '
            f'classes=({classes!r},) for a single class, or the path of a file with one name a line'
        )
    classes = tuple(classes)
    if bad := [c for c in classes if not isinstance(c, str) or not c.strip()]:
        raise ValueError(
            f'{where}: {bad[0]!r} in classes {classes} is no name, expected text that is not empty'
        )
    if len(set(classes)) != len(classes):
        raise ValueError(f'{where}: repeated names in classes {classes}')
