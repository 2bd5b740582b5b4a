"""Strong views of unlabeled images: colors, blur and CutMix, on the device, for a batch at once.

Brightness, contrast, saturation, hue and gray are linear in the colors of a pixel, so together they
are one 3x3 matrix and one constant for each image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cct_mm import keyed

from .transfer import stack_on

LUMA = (0.299, 0.587, 0.114)
"""Share of red, green and blue in the gray value (ITU-R BT.601)."""

YIQ = (LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
"""From red, green and blue to gray and two colors (NTSC), in whose plane hue is an angle."""

_BLUR_RADIUS = 4
"""Of the blur's kernel, in pixels: twice the largest standard deviation."""

_NUMBERS = 13
"""Random numbers of one image."""


@dataclass
class StrongView:
    """What :class:`StrongViews` makes of a batch.

    Args:
        images: Normalized as they came, [B, 3, H, W].
        boxes: True where a pixel is that of the image before it in the batch, [B, 1, H, W], bool.
    """

    images: Tensor
    boxes: Tensor

    def mixed(self, maps: Tensor) -> Tensor:
        """Return what belongs to the pixels, CutMix done: predictions, masks, labels.

        Shape:
            - maps, output: [B, H, W] or [B, C, H, W]
        """
        boxes = self.boxes if maps.ndim == 4 else self.boxes[:, 0]
        return torch.where(boxes, maps.roll(1, dims=0), maps)


class StrongViews(nn.Module):
    """Colors, gray, blur and CutMix, with the strengths of UniMatch (CVPR 2023) by default.

    Args:
        jitter: Share of the images whose colors change, in [0, 1].
        brightness: Largest change of the factor of all values, in [0, 1].
        contrast: Largest change of the factor of the distance to the mean gray value, in [0, 1].
        saturation: Largest change of the factor of the distance to gray, in [0, 1].
        hue: Largest turn of the colors, in [0, 0.5] full turns.
        gray: Share of the images without color.
        blur: Share of the images that a Gaussian of 0.1 to 2 pixels blurs.
        cutmix: Share of the images of which a box is that of another image of the batch.
        area: Smallest and largest share of the image that the box covers, in (0, 1).

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        jitter: float = 0.8,
        brightness: float = 0.5,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 0.25,
        gray: float = 0.2,
        blur: float = 0.5,
        cutmix: float = 0.5,
        area: Sequence[float] = (0.02, 0.4),
    ) -> None:
        super().__init__()
        shares = dict(jitter=jitter, gray=gray, blur=blur, cutmix=cutmix)
        strengths = dict(brightness=brightness, contrast=contrast, saturation=saturation)
        for name, value in {**shares, **strengths, 'hue': 2 * hue}.items():
            if not 0 <= value <= 1:
                raise ValueError(
                    f'StrongViews: {name} is {hue if name == "hue" else value}, expected a number '
                    f'in [0, {0.5 if name == "hue" else 1}]'
                )
        if not (len(area) == 2 and 0 < area[0] <= area[1] < 1):
            raise ValueError(
                f'StrongViews: area is {area!r}, expected the smallest and the largest share of '
                'the image, both in (0, 1), such as (0.02, 0.4)'
            )
        self.shares = shares
        self.strengths = {**strengths, 'hue': hue}
        self.area = tuple(area)
        to_yiq = torch.tensor(YIQ)
        turn = torch.tensor([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]])
        self.register_buffer('luma', torch.tensor(LUMA), persistent=False)
        # Turns the hue of a color by 90 degrees, and takes its gray away.
        quarter_turn = torch.linalg.solve(to_yiq, turn @ to_yiq)
        self.register_buffer('quarter_turn', quarter_turn, persistent=False)

    def forward(
        self,
        images: Tensor,
        valid: Tensor,
        keys: Sequence[tuple[keyed.Part, ...]],
        mean: Tensor | float = 0.0,
        std: Tensor | float = 1.0,
    ) -> StrongView:
        """Return the strong view of each image; padding stays as it is.

        Args:
            images: Normalized; of three channels these are red, green and blue. Those of any other
                number keep their colors, but for brightness and contrast.
            valid: False on padding.
            keys: For each image what its random numbers depend on.
            mean: What was subtracted from the images.
            std: What they were divided by.

        Shape:
            - images: [B, D, H, W]
            - valid: [B, 1, H, W], bool
            - mean, std: [D, 1, 1]
        """
        draws = [torch.rand(_NUMBERS, generator=keyed.generator(*key)) for key in keys]
        u = stack_on(images.device, draws)[:, :, None, None].unbind(1)  # [B, 1, 1] each
        # Half precision has too few values for the 256 of a color.
        with torch.autocast(images.device.type, enabled=False):
            values = images * std + mean
            low, high = _range(values)
            values = self._recolored(values, valid, u[:6]).clamp(low, high)
            values = self._blurred(values, u[6], u[7])
        seen = torch.where(valid, (values - mean) / std, images)
        view = StrongView(seen, self._boxes(images.shape[2:], u[8:]))
        view.images = view.mixed(seen)
        return view

    def _recolored(self, values: Tensor, valid: Tensor, u: Sequence[Tensor]) -> Tensor:
        """Change brightness, contrast, saturation and hue, see the module.

        Shape:
            - values, output: [B, D, H, W]
            - u: [B, 1, 1] each
        """
        jittered = u[0] < self.shares['jitter']
        strengths = self.strengths.values()
        turns = [
            torch.where(jittered, strength * (2 * part - 1), 0.0)
            for strength, part in zip(strengths, u[1:5], strict=True)
        ]
        brightness, contrast, saturation = (1 + turn for turn in turns[:3])
        channels, colors = values.shape[1], values.flatten(2)  # [B, D, P]
        identity = torch.eye(channels, device=values.device)
        luma, matrix = identity.mean(dim=0), identity.expand(len(values), -1, -1)  # [D], [B, D, D]
        if channels == 3:
            luma = self.luma
            saturation = torch.where(u[5] < self.shares['gray'], 0.0, saturation)
            angle = 2 * math.pi * turns[3]
            to_gray = luma.expand(3, 3)
            in_plane = angle.cos() * (identity - to_gray) + angle.sin() * self.quarter_turn
            matrix = to_gray + saturation * in_plane  # [B, 3, 3]
        inside = valid.flatten(2)  # [B, 1, P]
        gray = (luma @ colors).unsqueeze(1)  # [B, 1, P]
        level = (gray * inside).sum(2, keepdim=True) / inside.sum(2, keepdim=True).clamp(min=1)
        recolored = brightness * (contrast * (matrix @ colors) + (1 - contrast) * level)
        return recolored.view_as(values)

    def _blurred(self, values: Tensor, chosen: Tensor, width: Tensor) -> Tensor:
        """Blur some of the images, first along columns, then along rows."""
        batch, channels = values.shape[:2]
        steps = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1, device=values.device)
        sigma = 0.1 + 1.9 * width[:, 0]  # [B, 1]
        kernel = (-0.5 * (steps / sigma).square()).softmax(dim=1)  # [B, 9]
        kernel = torch.where(chosen[:, 0] < self.shares['blur'], kernel, (steps == 0).float())
        kernel = kernel.repeat_interleave(channels, dim=0)[:, None, :, None]  # [B D, 1, 9, 1]
        maps = values.reshape(1, batch * channels, *values.shape[2:])
        pad = (0, 0, _BLUR_RADIUS, _BLUR_RADIUS)
        maps = F.conv2d(F.pad(maps, pad, mode='replicate'), kernel, groups=batch * channels)
        kernel = kernel.transpose(2, 3)
        maps = F.conv2d(F.pad(maps, pad[::-1], mode='replicate'), kernel, groups=batch * channels)
        return maps.view_as(values)

    def _boxes(self, size: Sequence[int], u: Sequence[Tensor]) -> Tensor:
        """Draw the boxes of CutMix, [B, 1, H, W]; sides have a ratio of 0.3 to 1 / 0.3 where fit.

        Shape:
            - u: [B, 1, 1] each
        """
        chosen, area, ratio, top, left = (part[:, None] for part in u)  # [B, 1, 1, 1] each
        height, width = size
        area = (self.area[0] + (self.area[1] - self.area[0]) * area) * height * width
        ratio = 0.3 * (1 / 0.3**2) ** ratio
        rows = (area * ratio).sqrt().clamp(min=area / width, max=torch.full_like(area, height))
        columns = area / rows
        top, left = top * (height - rows), left * (width - columns)
        y = torch.arange(height, device=area.device)[:, None] + 0.5
        x = torch.arange(width, device=area.device) + 0.5
        inside = (y >= top) & (y < top + rows) & (x >= left) & (x < left + columns)
        return inside & (chosen < self.shares['cutmix'])


def _range(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest value that a view may have: 0 and 255.

    There is no such end where an image has values beyond it, such as those of 16 bits.

    Shape:
        - values: [B, D, H, W]
        - output: [B, 1, 1, 1] each
    """
    low, high = values.amin((1, 2, 3), keepdim=True), values.amax((1, 2, 3), keepdim=True)
    # Normalization and its inverse have rounded 0 and 255, too.
    return (
        torch.where(low < -0.01, -torch.inf, 0.0),
        torch.where(high > 255.5, torch.inf, 255.0),
    )
