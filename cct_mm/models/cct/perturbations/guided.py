"""Prediction based perturbations: Obj-Msk, Con-Msk and G-Cutout (paper, Section 3.2.3).

They read the main head's label map at z's size and mask whole positions of z.
"""

import math

import torch
from torch import Tensor

from .base import PERTURBATIONS, Context, SpatialMask
from .objects import object_boxes


@PERTURBATIONS.register_module(name='Obj-Msk')
class ObjMsk(SpatialMask):
    """Mask the detected foreground objects, which leaves the context."""

    guided = True

    def draw(self, context: Context) -> Tensor:
        """Return M = 1 - M_fg, [1, B, 1, h, w]."""
        return ~context.guidance.foreground.unsqueeze(0)


@PERTURBATIONS.register_module(name='Con-Msk')
class ConMsk(SpatialMask):
    """Mask the context, which leaves the detected foreground objects."""

    guided = True

    def draw(self, context: Context) -> Tensor:
        """Return M = M_fg, [1, B, 1, h, w]."""
        return context.guidance.foreground.unsqueeze(0)


@PERTURBATIONS.register_module(name='G-Cutout')
class GCutout(SpatialMask):
    """Zero a random window within the bounding box of each detected object.

    An object is a connected component of one foreground class in the label map. The boxes are
    computed once per step for all decoders, and each decoder draws its own windows.

    Args:
        area: Share of the box that is cut out, in (0, 1].
        sides: ``False`` (paper): the window has ``area`` of the box's area. ``True`` (released
            code): it has ``area`` of the box's width by ``area`` of its height.
        merge_classes: Take the components of the foreground as a whole, as the released code does,
            instead of each class by itself.
        in_holes: Whether an object that lies in a hole of another has a box, too. The released code
            follows outer contours only, so there it has none.
        min_area: Smallest box that is cut, in positions of z; of smaller ones nothing would remain.
    """

    guided = True

    def __init__(
        self,
        area: float = 0.4,
        sides: bool = False,
        merge_classes: bool = False,
        min_area: int = 4,
        in_holes: bool = True,
    ) -> None:
        if not 0 < area <= 1:
            raise ValueError(f'G-Cutout: area is {area}, expected a share of the box in (0, 1]')
        self.side = area if sides else math.sqrt(area)
        self.merge_classes = merge_classes
        self.in_holes = in_holes
        self.min_area = min_area

    def numbers(self, z: Tensor, weight: Tensor) -> tuple[int, ...]:
        """Return the shape of the windows' offsets: y and x in the box of each possible object."""
        return 2, z.shape[2] * z.shape[3]

    def draw(self, context: Context) -> Tensor:
        """Return M, which is 0 within the windows, [G, B, 1, h, w]."""
        guidance = context.guidance
        height, width = guidance.foreground.shape[2:]
        first, size = guidance.once(
            f'boxes, merge_classes={self.merge_classes}, in_holes={self.in_holes}',
            lambda: self._boxes(guidance),
        ).split(2, dim=1)  # [B, 2, h w] each
        window = (self.side * size).round().clamp(min=1)  # [B, 2, h w]
        offset = context.uniform()  # [G, B, 2, h w]
        # The offset is a share of the places, which are one more than what is left beside.
        start = torch.addcmul(offset, offset, size - window).floor_() + first  # [G, B, 2, h w]
        # [G, B, h w]; a position without a box has an area of 0.
        big_enough = (size.prod(dim=1) >= max(self.min_area, 1)).int().expand(len(start), -1, -1)
        cuts = count_rectangles(start, start + window, big_enough, height, width)  # [G, B, h, w]
        return cuts.unsqueeze(2) == 0

    def _boxes(self, guidance) -> Tensor:
        foreground = guidance.foreground.squeeze(1)  # [B, h, w]
        labels = torch.zeros_like(guidance.labels) if self.merge_classes else guidance.labels
        return object_boxes(labels, foreground, self.in_holes)


def count_rectangles(start: Tensor, end: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """Return in how many rectangles each position is, by a two-dimensional difference array.

    Args:
        start: y, x of the first position of each rectangle, within the map or at its end.
        end: y, x after its last position, likewise.
        weight: 1 for a rectangle that counts, 0 for one that does not.
        height: Height of the map in positions.
        width: Width of the map in positions.

    Shape:
        - start, end: [..., 2, n]
        - weight: [..., n], of an integer type, whose sums are the same in any order
        - output: [..., height, width], of the weight's type
    """
    corners = torch.stack([start, end], dim=-2).long()  # [..., 2, 2, n]: axis, start or end
    y, x = corners.unbind(-3)  # [..., 2, n] each
    index = torch.add(x.unsqueeze(-3), y.unsqueeze(-2), alpha=width + 1)  # [..., 2, 2, n]
    minus = -weight
    change = torch.stack([weight, minus, minus, weight], dim=-2)  # [..., 4, n]
    counts = weight.new_zeros(*weight.shape[:-1], (height + 1) * (width + 1))
    counts.scatter_add_(-1, index.flatten(-3), change.flatten(-2))
    counts = counts.unflatten(-1, (height + 1, width + 1))
    counts = counts.cumsum(-2, dtype=weight.dtype).cumsum(-1, dtype=weight.dtype)
    return counts[..., :height, :width]
