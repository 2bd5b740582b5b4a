"""Prediction based perturbations: Obj-Msk, Con-Msk and G-Cutout (paper, Section 3.2.3).

They read the main head's label map at z's size and mask whole positions of z.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import PERTURBATIONS, Context, SpatialMask


@PERTURBATIONS.register_module(name='Obj-Msk')
class ObjMsk(SpatialMask):
    """Mask the detected foreground objects, which leaves the context."""

    guided = True

    def draw(self, context: Context) -> Tensor:
        """Return M = 1 - M_fg, [1, B, 1, h, w]."""
        return (~context.guidance.foreground).to(context.z.dtype).unsqueeze(0)


@PERTURBATIONS.register_module(name='Con-Msk')
class ConMsk(SpatialMask):
    """Mask the context, which leaves the detected foreground objects."""

    guided = True

    def draw(self, context: Context) -> Tensor:
        """Return M = M_fg, [1, B, 1, h, w]."""
        return context.guidance.foreground.to(context.z.dtype).unsqueeze(0)


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
        min_area: Smallest box that is cut, in positions of z; of smaller ones nothing would remain.
    """

    guided = True

    def __init__(
        self,
        area: float = 0.4,
        sides: bool = False,
        merge_classes: bool = False,
        min_area: int = 4,
    ) -> None:
        if not 0 < area <= 1:
            raise ValueError(f'G-Cutout: area is {area}, expected a share of the box in (0, 1]')
        self.side = area if sides else math.sqrt(area)
        self.merge_classes = merge_classes
        self.min_area = min_area

    def numbers(self, z: Tensor, weight: Tensor) -> tuple[int, ...]:
        """Return the shape of the windows' offsets: y and x in the box of each possible object."""
        return 2, z.shape[2] * z.shape[3]

    def draw(self, context: Context) -> Tensor:
        """Return M, which is 0 within the windows, [G, B, 1, h, w]."""
        guidance = context.guidance
        height, width = guidance.foreground.shape[2:]
        boxes = guidance.once(
            f'boxes, merge_classes={self.merge_classes}', lambda: self._boxes(guidance)
        )  # [B, 4, h w]
        size = boxes[:, 2:] - boxes[:, :2] + 1  # [B, 2, h w]
        window = (self.side * size).round().clamp(min=1)  # [B, 2, h w]
        offset = context.uniform()  # [G, B, 2, h w]
        start = boxes[:, :2] + (offset * (size - window + 1)).floor()  # [G, B, 2, h w]
        # [B, h w]
        big_enough = (size.clamp(min=0).prod(dim=1) >= self.min_area).to(start.dtype)
        n=len(start)
        cut = union_of_rectangles(start.flatten(0,1), (start + window).flatten(0,1), big_enough.repeat(n,1), height, width).view(n,-1,height,width)
        return (~cut).to(context.z.dtype).unsqueeze(2)

    def _boxes(self, guidance) -> Tensor:
        foreground = guidance.foreground.squeeze(1)  # [B, h, w]
        labels = torch.zeros_like(guidance.labels) if self.merge_classes else guidance.labels
        return bounding_boxes(connected_components(labels, foreground))


def connected_components(labels: Tensor, mask: Tensor) -> Tensor:
    """Find the 8-connected components of equal labels within a mask, without leaving the device.

    Every position points to a position of its component, its parent. In each round, roots are
    attached to the smallest root that is a neighbor of any of their positions, and the paths to the
    roots are shortened (the FastSV scheme), so that a component of n positions has a single root
    after about log2(n) rounds. The map's size determines the number of rounds: a test whether all
    is done would make a GPU wait.

    Args:
        labels: Class of each position.
        mask: Which positions belong to objects.

    Shape:
        - labels, mask: [B, h, w]
        - output: [B, h, w] int64: the smallest flat index in the position's component, -1 outside
    """
    batch, height, width = labels.shape
    size = height * width
    # [B, h w]
    parent = torch.arange(size, device=labels.device).expand(batch, size).contiguous()
    # Positions outside the mask get a label of their own, so they connect to none inside.
    classes = labels.where(mask, -1)  # [B, h, w]
    padded = F.pad(classes, (1, 1, 1, 1), value=-2)
    shifts = [(dy, dx) for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1)]
    connected = torch.stack(
        [padded[:, dy : dy + height, dx : dx + width] == classes for dy, dx in shifts]
    ).flatten(2)  # [8, B, h w]
    for _ in range(2 * math.ceil(math.log2(max(size, 2)))):
        grandparent = parent.gather(1, parent)  # [B, h w]
        around = F.pad(grandparent.view(batch, height, width), (1, 1, 1, 1), value=size)
        around = torch.stack(
            [around[:, dy : dy + height, dx : dx + width] for dy, dx in shifts]
        ).flatten(2)  # [8, B, h w]
        smallest = around.where(connected, size).amin(dim=0).minimum(grandparent)
        parent = parent.scatter_reduce(1, parent, smallest, 'amin').minimum(smallest)
    return parent.view(batch, height, width).where(mask, -1)


def bounding_boxes(components: Tensor) -> Tensor:
    """Return the bounding box of each component, stored at the index of the component's root.

    Args:
        components: From :func:`connected_components`.

    Shape:
        - components: [B, h, w]
        - output: [B, 4, h w] float32: y0, x0, y1, x1 of the first and last row and column; y1 < y0
          where there is no root
    """
    batch, height, width = components.shape
    root = components.flatten(1)  # [B, h w]
    inside = root >= 0
    root = root.where(inside, 0)
    y, x = torch.meshgrid(
        torch.arange(height, device=root.device, dtype=torch.float32),
        torch.arange(width, device=root.device, dtype=torch.float32),
        indexing='ij',
    )
    corners = []
    for coordinate, reduce, empty in (
        (y, 'amin', 1e6),
        (x, 'amin', 1e6),
        (y, 'amax', -1),
        (x, 'amax', -1),
    ):
        values = coordinate.flatten().expand(batch, -1).where(inside, empty)
        corners.append(torch.full_like(values, empty).scatter_reduce(1, root, values, reduce))
    return torch.stack(corners, dim=1)


def union_of_rectangles(
    start: Tensor, end: Tensor, weight: Tensor, height: int, width: int
) -> Tensor:
    """Return the union of many rectangles by a two-dimensional difference array.

    Args:
        start: y, x of the first position of each rectangle.
        end: y, x after its last position.
        weight: 1 for a rectangle that counts, 0 for one that does not, whose corners may be
            anything.
        height: Height of the map in positions.
        width: Width of the map in positions.

    Shape:
        - start, end: [B, 2, n]
        - weight: [B, n]
        - output: [B, height, width] bool
    """
    counts = weight.new_zeros(len(weight), (height + 1) * (width + 1))
    y = torch.stack([start[:, 0], end[:, 0]]).clamp(0, height).long()
    x = torch.stack([start[:, 1], end[:, 1]]).clamp(0, width).long()
    for i in range(2):
        for j in range(2):
            sign = 1.0 if i == j else -1.0
            counts.scatter_add_(1, y[i] * (width + 1) + x[j], sign * weight)
    counts = counts.view(-1, height + 1, width + 1).cumsum(dim=1).cumsum(dim=2)
    return counts[:, :height, :width] > 0.5
