"""Weights that were trained on colors, for images of another number of channels."""

from mmengine.logging import print_log
from torch import Tensor, nn


def first_convolution(backbone: nn.Module) -> nn.Conv2d | None:
    """Return the convolution that sees the image; None for a backbone without any."""
    return next((m for m in backbone.modules() if isinstance(m, nn.Conv2d)), None)


def take_color_weights(backbone: nn.Module) -> None:
    """Let a backbone for other than three channels load weights for red, green and blue.

    The first convolution gets them by :func:`weights_for`, and the log says so. mmengine would
    leave it random.
    """
    conv = first_convolution(backbone)
    if conv is not None and conv.in_channels != 3:
        conv.register_load_state_dict_pre_hook(_adapt)


def weights_for(channels: int, weight: Tensor) -> Tensor:
    """Return the weights of a first convolution for another number of channels, as timm does.

    For one channel they are added up: a gray image makes the maps that it would make as a color
    image whose three channels are alike. For more, they are repeated, and scaled such that maps
    keep their size.

    Args:
        channels: Number n of the image's channels.
        weight: Weights for red, green and blue.

    Shape:
        - weight: [O, 3, k, k]
        - output: [O, n, k, k]
    """
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    repeated = weight.repeat(1, -(-channels // 3), 1, 1)[:, :channels]
    return repeated * (3 / channels)


def _adapt(conv: nn.Conv2d, state_dict: dict, prefix: str, *_) -> None:
    name, channels = f'{prefix}weight', conv.in_channels
    weight = state_dict.get(name)
    if weight is None or weight.ndim != 4 or weight.shape[1] != 3:
        return
    state_dict[name] = weights_for(channels, weight)
    how = 'added up' if channels == 1 else f'repeated and scaled by 3/{channels}'
    print_log(
        f'{name}: loaded weights are for 3 channels, images have {channels}: {how}',
        'current',
    )
