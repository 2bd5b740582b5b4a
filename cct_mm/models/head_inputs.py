"""Whether a head fits the maps that it gets."""

from collections.abc import Sequence

from torch import Tensor, nn


def check_inputs(head: nn.Module, maps: Sequence[Tensor], name: str) -> None:
    """Check that the maps which a head reads are there and have the channels that it expects.

    Args:
        head: A decode head, of mmseg or like one.
        maps: The encoder's, [B, D, h, w] each.
        name: Of the head, as errors call it; its last word is the head's key in the config.

    Raises:
        ValueError: If one is not there, or has another number of channels.
    """
    # Other than mmseg's heads need not have these.
    indices = getattr(head, 'in_index', None)
    channels = getattr(head, 'in_channels', None)
    if isinstance(indices, int):
        indices, channels = [indices], [channels]
    if getattr(head, 'input_transform', None) == 'resize_concat':
        channels = None
    found = [m.shape[1] for m in maps]
    for i, index in enumerate(indices or ()):
        if not -len(found) <= index < len(found):
            raise ValueError(
                f'{name} has in_index {index}, but the encoder gives {len(found)} maps, of '
                f'{found} channels, expected one of 0-{len(found) - 1}; set in_index, or '
                'out_indices of the backbone'
            )
        expected = channels[i] if isinstance(channels, Sequence) else None
        if expected not in (None, found[index]):
            raise ValueError(
                f'{name} has in_channels {expected} for map {index} of the encoder, which has '
                f'{found[index]} channels; set {name.split()[-1]}.in_channels={found[index]}, or '
                'another in_index'
            )
