"""Where the objects of a label map are: bounding boxes of connected components, on any device."""

import torch
from torch import Tensor
from torch.nn import functional as F

# Steps (down, right) from a position over its top, right, bottom and left side.
OVER = ((-1, 0), (0, 1), (1, 0), (0, -1))


def object_boxes(labels: Tensor, mask: Tensor, in_holes: bool = True) -> Tensor:
    """Return the bounding box of each object: an 8-connected component of equal labels in a mask.

    An object's box is that of its outline, and an outline is a ring of sides of positions, each of
    which determines the next. So the objects need not be filled: rings are followed by pointer
    doubling, two operations for twice the way, and a number of them that depends on the map's size
    only (see :func:`doublings`), because a test whether all is done would make a GPU wait.

    Sides are numbered by position, the top one first. The lowest side of the ring around an object
    is the top of the object's first position, where its box is stored. The lowest side of a ring
    around a hole is not a top: it lies in the row above the hole, under a position.

    Args:
        labels: Class of each position, 0 or more.
        mask: Which positions belong to objects.
        in_holes: Whether an object that lies in a hole of another has a box, too.

    Shape:
        - labels, mask: [B, h, w]
        - output: [B, 4, h w] float32: y and x of the box's first position, its height and width, at
          the smallest flat index of an object's positions; 0 where there is none
    """
    batch, height, width = labels.shape
    # What is outside the mask is taken for objects, too, which are dropped at the end.
    lowest = lowest_sides(labels.where(mask, -1))  # [B, 4 h w]
    length = max(height, width)
    forth = torch.arange(1, length + 1, device=labels.device, dtype=torch.float32)
    back = torch.arange(0, -length, -1, device=labels.device, dtype=torch.float32)
    shape = 4, height, width
    ends = torch.stack(
        [
            back[:height, None].expand(shape),
            back[:width].expand(shape),
            forth[:height, None].expand(shape),
            forth[:width].expand(shape),
        ]
    ).view(1, 4, -1)  # [1, 4, 4 h w]: -y, -x, y + 1, x + 1 of each side's position
    extremes = ends.new_zeros(batch, 4, lowest.shape[1])
    at = lowest.unsqueeze(1).expand_as(extremes)
    extremes.scatter_reduce_(2, at, ends.expand_as(extremes), 'amax', include_self=False)
    before, after = extremes[:, :, ::4].split(2, dim=1)  # [B, 2, h w] each: at the top sides
    boxes = torch.cat([-before, before + after], dim=1)  # [B, 4, h w]
    counts = mask.flatten(1) if in_holes else mask.flatten(1) & in_no_hole(lowest, mask)  # [B, h w]
    return boxes.mul_(counts.unsqueeze(1))


def in_no_hole(lowest: Tensor, mask: Tensor) -> Tensor:
    """Return which objects lie in no hole of another, at their first positions.

    Above an object's first position go straight up to the next object. What is met is a side of
    one of its rings. A ring around a hole, whose lowest side is not a top, means that both lie in
    that hole's object; the ring around the object itself means that no ring of it lies between the
    two, so that the answer is the same for both. It is found by pointer doubling, as each such step
    leads at least a row up.

    Args:
        lowest: From :func:`lowest_sides`.
        mask: Which positions belong to objects.

    Shape:
        - lowest: [B, 4 h w]
        - mask: [B, h, w]
        - output: [B, h w], bool; at other positions it has no meaning
    """
    batch, height, width = mask.shape
    size = height * width
    row = torch.arange(height, device=mask.device)[:, None]  # [h, 1]
    last = row.where(mask, -1).cummax(dim=1).values  # [B, h, w]
    above = F.pad(last[:, :-1], (0, 0, 1, 0), value=-1)  # [B, h, w]: row of the next, or -1
    bottom = 2 * size + above.clamp(min=0) * width + torch.arange(width, device=mask.device)
    ring = lowest.gather(1, bottom.flatten(1))  # [B, h w]
    # Two more places, from which no step leads away: out of all objects, and in a hole.
    outside, hole = size, size + 1
    to = (ring // 4).where(ring % 4 == 0, hole).where(above.flatten(1) >= 0, outside)
    ends = torch.arange(outside, hole + 1, device=mask.device).expand(batch, -1)  # [B, 2]
    to = torch.cat([to, ends], dim=1)  # [B, h w + 2]
    for _ in range(height.bit_length()):
        to = to.gather(1, to)
    return to[:, :size] == outside


def lowest_sides(labels: Tensor) -> Tensor:
    """Return the lowest number among the sides on the walk from each side, see :func:`next_sides`.

    Shape:
        - labels: [B, h, w]
        - output: [B, 4 h w] int64: the number, 4 times the position's flat index, plus 0 for its
          top, 1, 2, 3 for its right, bottom and left side; at the side's place in ``next_sides``
    """
    _, height, width = labels.shape
    places = next_sides(labels)  # [B, 4, h w]
    numbers = torch.arange(4 * height * width, device=labels.device).view(-1, 4).T  # [4, h w]
    walks = torch.stack([places, numbers.expand_as(places)], dim=1).flatten(2)  # [B, 2, 4 h w]
    for _ in range(doublings(height, width)):
        # Where the walk has come to, and the lowest side on it, as seen from its end so far.
        further = walks.gather(2, walks[:, :1].expand_as(walks))
        torch.minimum(further[:, 1], walks[:, 1], out=further[:, 1])
        walks = further
    return walks[:, 1]


def next_sides(labels: Tensor) -> Tensor:
    """Return the place of the side that follows each side on a clockwise walk around its object.

    The walk turns left, onto the position diagonally ahead, where that has the same label, or else
    goes straight on, where the position ahead has it, or else turns right, to the same position's
    next side. From an outer side (one with another label beyond it) this is the outline that
    separates an 8-connected object from the outside or from one of its holes. From an inner side
    the walk turns left around the position beyond, either for ever or onto an outline of the same
    object after at most four inner sides. From an inner top side it meets a side in the row above,
    so that no inner side is taken for an object's first.

    Shape:
        - labels: [B, h, w]
        - output: [B, 4, h w] int64: flat indices in [4, h w], the top, right, bottom and left sides
    """
    batch, height, width = labels.shape
    size = height * width
    padded = F.pad(labels, (1, 1, 1, 1), value=-2)
    around = padded.unfold(1, height, 1).unfold(2, width, 1)  # [B, 3, 3, h, w]
    same = around == labels[:, None, None]  # [B, 3, 3, h, w]
    # Slices of it are the places of sides of positions that lie a fixed step away. What they say
    # of steps that leave the map is never used, as nothing there has the same label.
    places = torch.arange(-width - 1, 4 * size + width + 1, device=labels.device)
    diagonal, ahead, left, straight, right = [], [], [], [], []
    for side in range(4):
        (oy, ox), (fy, fx) = OVER[side], OVER[(side + 1) % 4]
        diagonal.append(same[:, 1 + oy + fy, 1 + ox + fx])
        ahead.append(same[:, 1 + fy, 1 + fx])
        for targets, turn, step in (
            (left, -1, (oy + fy) * width + ox + fx),
            (straight, 0, fy * width + fx),
            (right, 1, 0),
        ):
            first = width + 1 + (side + turn) % 4 * size + step
            targets.append(places[first : first + size])
    same = torch.stack(diagonal + ahead, dim=1).view(batch, 2, 4, size)
    targets = torch.stack(left + straight + right).view(3, 4, size)
    return targets[0].where(same[:, 0], targets[1].where(same[:, 1], targets[2]))


def doublings(height: int, width: int) -> int:
    """Return how often a walk of one side has to be doubled until it has met all it can meet.

    A ring separates an object from a region, 4-connected, that is the outside or a hole. Let P be
    its length and r the number of the region's positions.

    - The h w - r other positions have four sides each: P <= 4 (h w - r).
    - The region's positions have 4 r sides, the outside has 2 (h + w) of its own. Two of these are
      spent on each adjacency within the region, of which there are at least r, or r - 1 in a hole:
      P <= 4 r + 2 (h + w) - 2 r, or P <= 4 r - 2 (r - 1), which is no more.

    The first and twice the second add up to 3 P <= 4 (h w + h + w). A walk meets at most four inner
    sides before the ring.
    """
    longest = 4 * (height * width + height + width) // 3 + 4
    return (longest - 1).bit_length()
