"""Other packages without what they say to everybody."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Import mmseg without its words on parts that nobody has asked for.

    On each start it prints that OneDL's data sets are missing, and warns that operators are which
    only a compiled mmcv has; a model that needs them says so itself.
    """
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``')
        yield


@contextmanager
def quiet_losses() -> Iterator[None]:
    """Build a network without mmseg's advice, for each loss, on an argument of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Default ``avg_non_ignore`` is False')
        yield
