"""What a message has to name, whatever its wording."""

from contextlib import contextmanager

import pytest


@contextmanager
def naming(*parts, kind=ValueError):
    """Expect an error whose message names all parts, in any order.

    Args:
        *parts: The thing, the value, what was expected, the fix: short pieces of text.
        kind: Class of the error.
    """
    with pytest.raises(kind) as error:
        yield error
    message = str(error.value)
    missing = [part for part in parts if str(part) not in message]
    assert not missing, f'{missing} not in: {message}'
