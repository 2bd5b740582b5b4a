"""Meanings of labels that hold everywhere: the ignored one, background, kinds of supervision."""

from collections.abc import Sequence

IGNORE_INDEX = 255
"""The label of pixels that count in no loss and no metric."""

BACKGROUND = 'background'
"""The class name that makes class 0 the rest of an image rather than a class of its own."""

SUPERVISIONS = ('labeled', 'unlabeled', 'weak')
"""Kinds of supervision.

``labeled`` images come with label maps, ``unlabeled`` ones with nothing, and ``weak`` ones with
image-level labels (to train a classifier) or with the pseudo-labels made from these (for L_w).
"""


def has_background(classes: Sequence[str]) -> bool:
    """Tell whether class 0 is ``background``.

    Args:
        classes: Names in the order of their labels.
    """
    return bool(classes) and classes[0] == BACKGROUND
