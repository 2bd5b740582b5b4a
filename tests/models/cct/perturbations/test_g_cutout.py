"""G-Cutout: objects, their boxes and the windows, compared with OpenCV and with loops."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from cct_mm.models.cct.perturbations import GCutout, guided
from cct_mm.models.cct.perturbations.guided import count_rectangles
from cct_mm.models.cct.perturbations.objects import doublings, next_sides, object_boxes

SIZES = [(1, 1), (1, 9), (9, 1), (8, 8), (15, 16), (33, 20), (40, 40), (64, 128), (65, 97)]


def spiral(height, width):
    """A path of width one that winds inwards: the longest way between two of its positions."""
    mask = np.zeros((height, width), bool)
    y = x = 0
    dy, dx = 0, 1
    mask[0, 0] = True

    def free(ny, nx, fy, fx):
        inside = 0 <= ny < height and 0 <= nx < width
        beyond = 0 <= fy < height and 0 <= fx < width and mask[fy, fx]
        return inside and not mask[ny, nx] and not beyond

    while True:
        for _ in range(2):
            if free(y + dy, x + dx, y + 2 * dy, x + 2 * dx):
                y, x = y + dy, x + dx
                mask[y, x] = True
                break
            dy, dx = dx, -dy
        else:
            return mask


def comb(height, width):
    """Teeth that meet in the last row only, where the roots of all of them are far away."""
    mask = np.zeros((height, width), bool)
    mask[:, ::2] = True
    mask[-1] = True
    return mask


def serpentine(height, width):
    """Rows joined at alternating ends."""
    mask = np.zeros((height, width), bool)
    mask[::2] = True
    mask[1:-1:4, -1:] = True
    mask[3:-1:4, :1] = True
    return mask


def ribs(height, width):
    """Diagonals that meet at two edges of the map: all but the longest outline there can be."""
    y, x = np.indices((height, width))
    return ((y + x) % 3 == 0) | (y == 0) | (x == width - 1)


def hilbert(height, width):
    """Hilbert's curve, cut off at the map's ends: turns of all sizes within each other."""
    curve, side = np.zeros(1, complex), 1
    while 2 * side < max(height, width) + 2:
        turned = curve.imag + 1j * curve.real
        back = (1 + 1j) * (side - 1) - turned
        curve = np.concatenate([turned, curve + 1j * side, curve + (1 + 1j) * side, back + side])
        side *= 2
    # Two positions a step, so that the curve touches itself nowhere.
    path = np.concatenate([2 * curve, curve[1:] + curve[:-1]])
    mask = np.zeros((2 * side, 2 * side), bool)
    mask[path.imag.astype(int), path.real.astype(int)] = True
    return mask[:height, :width]


SHAPES = {
    'spiral': spiral,
    'spiral from the other end': lambda h, w: spiral(h, w)[::-1, ::-1],
    'standing spiral': lambda h, w: spiral(w, h).T,
    'comb': comb,
    'comb upside down': lambda h, w: comb(h, w)[::-1],
    'lying comb': lambda h, w: comb(w, h).T,
    'serpentine': serpentine,
    'standing serpentine': lambda h, w: serpentine(w, h).T,
    'ribs': ribs,
    'ribs turned': lambda h, w: ribs(h, w)[::-1, ::-1],
    'hilbert': hilbert,
    'diagonal': lambda h, w: np.eye(h, w, dtype=bool),
    'chessboard': lambda h, w: np.indices((h, w)).sum(0) % 2 == 0,
    'everything': lambda h, w: np.ones((h, w), bool),
    'nothing': lambda h, w: np.zeros((h, w), bool),
}


def boxes_by_opencv(labels, mask):
    """The boxes of the components of each class in turn, at the components' first positions."""
    boxes = np.zeros((4, labels.size), np.float32)
    for label in np.unique(labels[mask]):
        found = ((labels == label) & mask).astype(np.uint8)
        _, components, statistics, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
        numbers, first = np.unique(components, return_index=True)
        for number, position in zip(numbers, first, strict=True):
            if number:
                x, y, width, height, _ = statistics[number]
                boxes[:, position] = y, x, height, width
    return boxes


def assert_boxes_equal_opencv(labels, mask):
    boxes = object_boxes(torch.tensor(labels), torch.tensor(mask))
    assert boxes.dtype == torch.float32
    expected = np.stack([boxes_by_opencv(*pair) for pair in zip(labels, mask, strict=True)])
    np.testing.assert_array_equal(boxes.numpy(), expected)


@st.composite
def maps(draw):
    """A few images of labels and a mask, of any size and with any share of objects."""
    size = draw(st.integers(1, 3)), draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(0, draw(st.integers(1, 4)), size)
    return labels, rng.random(size) < draw(st.floats(0, 1))


class Launches(TorchDispatchMode):
    """Names the calls that launch work on a GPU; views launch nothing."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not function.is_view:
            self.names.append(str(function))
        return function(*args, **kwargs or {})


def launches(function, *arguments):
    with Launches() as calls:
        function(*arguments)
    return calls.names


class TestObjectBoxes:
    @pytest.mark.parametrize('size', SIZES, ids=str)
    @pytest.mark.parametrize('shape', SHAPES)
    def test_equals_opencv_on_long_and_winding_objects(self, shape, size):
        mask = SHAPES[shape](*size)
        assert_boxes_equal_opencv(np.zeros((1, *size), int), mask[None].copy())
        # What is left between them, with holes where they were, and both as two classes.
        assert_boxes_equal_opencv(np.zeros((1, *size), int), ~mask[None])
        assert_boxes_equal_opencv(mask[None].astype(int), np.ones((1, *size), bool))

    @pytest.mark.parametrize('size', SIZES, ids=str)
    # Objects that span the map appear at 0.41.
    @pytest.mark.parametrize('density', [0.2, 0.38, 0.41, 0.44, 0.6, 0.9])
    def test_equals_opencv_on_random_maps(self, size, density):
        rng = np.random.default_rng(0)
        mask = rng.random((3, *size)) < density
        assert_boxes_equal_opencv(np.zeros((3, *size), int), mask)
        assert_boxes_equal_opencv(rng.integers(0, 3, (3, *size)), mask)

    def test_equals_opencv_on_blobs(self):
        rng = np.random.default_rng(0)
        for _ in range(10):
            noise = cv2.GaussianBlur(rng.random((60, 80)), (0, 0), 2)
            labels = (noise * 40).astype(int)[None]
            assert_boxes_equal_opencv(labels, labels % 2 == 0)

    @settings(deadline=None)
    @given(maps())
    def test_equals_opencv_on_any_map(self, labels_and_mask):
        assert_boxes_equal_opencv(*labels_and_mask)

    @pytest.mark.parametrize('size', [(1, 12), (3, 4), (12, 1), (2, 6)], ids=str)
    def test_equals_opencv_on_every_map_of_12_positions(self, size):
        mask = (np.arange(2**12)[:, None] >> np.arange(12) & 1).astype(bool).reshape(-1, *size)
        assert_boxes_equal_opencv(np.zeros(mask.shape, int), mask)

    def test_touching_corners_connect_but_classes_do_not(self):
        labels = torch.tensor([[[1, 2, 0], [2, 1, 0], [0, 0, 1]]])
        boxes = object_boxes(labels, labels > 0)
        # y, x, height and width of class 1 on the diagonal, then of class 2.
        assert boxes[0, :, :2].T.tolist() == [[0, 0, 3, 3], [0, 0, 2, 2]]
        assert not boxes[0, :, 2:].any()

    def test_images_do_not_connect_through_the_batch(self):
        labels = torch.zeros(2, 1, 3, dtype=torch.long)
        boxes = object_boxes(labels, torch.ones(2, 1, 3, dtype=torch.bool))
        assert boxes.mT.tolist() == [[[0, 0, 1, 3], [0, 0, 0, 0], [0, 0, 0, 0]]] * 2

    @pytest.mark.parametrize(('size', 'limit'), [((40, 40), 44), ((64, 128), 48)])
    def test_their_launches_depend_on_the_size_of_the_map_alone(self, size, limit):
        torch.manual_seed(0)
        for images, classes in ((1, 1), (2, 3), (20, 9)):
            labels = torch.randint(0, classes, (images, *size))
            names = launches(object_boxes, labels, torch.rand(images, *size) < 0.7)
            assert len(names) == limit

    def test_nothing_waits_for_a_value(self):
        # A tensor on this device has no values that could be waited for.
        labels = torch.zeros(2, 7, 9, dtype=torch.long, device='meta')
        assert object_boxes(labels, labels > 0).shape == (2, 4, 63)


def boxes_of_outer_contours(mask):
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    return sorted(map(cv2.boundingRect, contours))


class TestHoles:
    """Without objects in holes of others there is a box for each outer contour."""

    def assert_boxes_equal_opencv(self, mask):
        labels = torch.zeros(1, *mask.shape, dtype=torch.long)
        (boxes,) = object_boxes(labels, torch.from_numpy(mask.copy())[None], in_holes=False)
        found = boxes[[1, 0, 3, 2]].T.int()  # x, y, width, height
        found = sorted(map(tuple, found[found[:, 2] > 0].tolist()))
        assert found == boxes_of_outer_contours(mask)

    def test_rings_within_rings(self):
        y, x = np.indices((25, 25))
        rings = np.maximum(abs(y - 12), abs(x - 12)) % 4 == 0
        assert len(boxes_of_outer_contours(rings)) == 1
        self.assert_boxes_equal_opencv(rings)
        # Open to the right, the outer ring has no hole any more.
        rings[10:14, 24] = False
        assert len(boxes_of_outer_contours(rings)) == 2
        self.assert_boxes_equal_opencv(rings)

    @pytest.mark.parametrize('size', [(1, 9), (9, 1), (15, 16), (40, 40), (65, 97)], ids=str)
    @pytest.mark.parametrize('shape', SHAPES)
    def test_long_and_winding_objects(self, shape, size):
        mask = SHAPES[shape](*size)
        self.assert_boxes_equal_opencv(mask)
        self.assert_boxes_equal_opencv(~mask)

    @settings(deadline=None)
    @given(maps())
    def test_any_map(self, labels_and_mask):
        for mask in labels_and_mask[1]:
            self.assert_boxes_equal_opencv(mask)

    def test_nothing_waits_for_a_value(self):
        labels = torch.zeros(2, 7, 9, dtype=torch.long, device='meta')
        assert object_boxes(labels, labels > 0, in_holes=False).shape == (2, 4, 63)


class TestDoublings:
    @staticmethod
    def longest_walk(labels):
        """The most sides that a walk meets before it meets one again."""
        places = next_sides(torch.tensor(labels)[None]).flatten().tolist()
        longest = 0
        for place in range(len(places)):
            met = set()
            while place not in met:
                met.add(place)
                place = places[place]
            longest = max(longest, len(met))
        return longest

    @pytest.mark.parametrize('size', [(1, 1), (1, 9), (9, 1), (8, 8), (15, 16)], ids=str)
    @pytest.mark.parametrize('shape', SHAPES)
    def test_suffice_for_walks_around_winding_objects(self, shape, size):
        assert self.longest_walk(SHAPES[shape](*size).astype(int)) <= 2 ** doublings(*size)

    @settings(deadline=None)
    @given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32 - 1))
    def test_suffice_for_any_walk(self, height, width, classes, seed):
        labels = np.random.default_rng(seed).integers(0, classes, (height, width))
        assert self.longest_walk(labels) <= 4 * (height * width + height + width) / 3 + 4
        assert self.longest_walk(labels) <= 2 ** doublings(height, width)

    def test_one_less_would_not_do(self):
        # 4 (1600 + 80) / 3 + 4 = 2244 sides are allowed for.
        assert doublings(40, 40) == 12
        assert self.longest_walk(ribs(40, 40).astype(int)) > 2**11


class TestRectangles:
    @pytest.mark.parametrize('leading', [(), (5,), (3, 2)], ids=str)
    def test_equals_a_loop(self, leading):
        torch.manual_seed(0)
        height, width, number = 9, 12, 6
        limit = torch.tensor([height, width]).view(2, 1)
        start = (torch.rand(*leading, 2, number) * (limit + 1)).floor()
        end = (start + torch.randint(0, 7, start.shape)).minimum(limit)
        weight = (torch.rand(*leading, number) < 0.7).int()
        found = count_rectangles(start, end, weight, height, width) > 0
        assert found.shape == (*leading, height, width)
        expected = torch.zeros_like(found)
        for image in np.ndindex(leading):
            for i in range(number):
                (y0, x0), (y1, x1) = start[image][:, i].int().tolist(), end[image][:, i].int()
                if weight[image][i]:
                    expected[image][y0:y1, x0:x1] = True
        assert 0.1 < expected.float().mean() < 0.9
        assert torch.equal(found, expected)

    def test_rectangles_that_do_not_count_cut_nothing(self):
        start, end = torch.tensor([[0.0, 1], [0, 1]]), torch.tensor([[3.0, 2], [4, 3]])
        found = count_rectangles(start, end, torch.tensor([0, 1]), 3, 4) > 0
        assert found.nonzero().tolist() == [[1, 1], [1, 2]]

    def test_their_launches_do_not_grow(self):
        for leading in ((), (2,), (40, 20)):
            corners = torch.zeros(*leading, 2, 63)
            weight = torch.ones(*leading, 63, dtype=torch.int)
            assert len(launches(count_rectangles, corners, corners, weight, 7, 9)) == 9

    def test_nothing_waits_for_a_value(self):
        corners = torch.zeros(5, 2, 63, device='meta')
        weight = torch.ones(5, 63, dtype=torch.int, device='meta')
        assert count_rectangles(corners, corners, weight, 7, 9).shape == (5, 7, 9)


def labels_with_box(y0, x0, height, width, size=(14, 18), label=1):
    labels = torch.zeros(1, *size, dtype=torch.long)
    labels[0, y0 : y0 + height, x0 : x0 + width] = label
    return labels


def cut_window(mask):
    """The extent of what is cut, which has to be one full rectangle."""
    positions = (mask[0, 0] == 0).nonzero()
    (y0, x0), (y1, x1) = positions.amin(0).tolist(), positions.amax(0).tolist()
    assert len(positions) == (y1 - y0 + 1) * (x1 - x0 + 1)
    return y0, x0, y1 - y0 + 1, x1 - x0 + 1


class TestWindow:
    def cuts(self, make_context, labels, decoders, **arguments):
        z = torch.ones(len(labels), 2, *labels.shape[1:])
        cutout = GCutout(**arguments)
        return cutout.draw(make_context(cutout, z, decoders, labels=labels))

    def cut(self, *arguments, **keywords):
        return self.cuts(*arguments, 1, **keywords)[0]

    @pytest.mark.parametrize('box', [(2, 3, 10, 12), (0, 0, 14, 18), (5, 6, 1, 7), (3, 3, 5, 2)])
    @pytest.mark.parametrize('area', [0.4, 0.9, 1.0])
    @pytest.mark.parametrize('sides', [False, True])
    def test_lies_in_the_box_and_has_its_share(self, make_context, box, area, sides):
        y0, x0, height, width = box
        share = area if sides else math.sqrt(area)
        size = max(1, round(share * height)), max(1, round(share * width))
        corners = set()
        for mask in self.cuts(make_context, labels_with_box(*box), 40, area=area, sides=sides):
            y, x, *found = cut_window(mask)
            assert tuple(found) == size
            assert y0 <= y <= y0 + height - size[0] and x0 <= x <= x0 + width - size[1]
            corners.add((y, x))
        possible = (height - size[0] + 1) * (width - size[1] + 1)
        assert len(corners) > min(possible, 40) / 2

    def test_every_place_in_the_box_has_its_turn(self, make_context):
        places = set()
        for mask in self.cuts(make_context, labels_with_box(2, 3, 5, 5), 200):
            places.add(cut_window(mask)[:2])
        # A window of 3x3 in a box of 5x5.
        assert places == {(2 + i, 3 + j) for i in range(3) for j in range(3)}

    @pytest.mark.parametrize(('draw', 'corner'), [(-(2**15), (2, 3)), (2**15 - 1, (4, 5))])
    def test_extreme_draws_stay_in_the_box_and_cut_nothing_else(self, make_context, draw, corner):
        labels = labels_with_box(2, 3, 5, 5)
        context = make_context(GCutout(), torch.ones(1, 2, 14, 18), labels=labels)
        context.numbers.integers.fill_(draw)
        assert cut_window(GCutout().draw(context)[0]) == (*corner, 3, 3)

    def test_every_object_loses_a_window_of_its_own(self, make_context):
        labels = labels_with_box(0, 0, 5, 5) + labels_with_box(7, 9, 6, 6, label=2)
        labels += labels_with_box(0, 9, 5, 5)
        mask = self.cut(make_context, labels)[0, 0] == 0
        assert mask[:6, :8].sum() == 9 and mask[:6, 8:].sum() == 9 and mask[6:].sum() == 16

    def test_the_box_of_an_object_counts_not_its_outline(self, make_context):
        labels = torch.zeros(1, 9, 9, dtype=torch.long)
        labels[0, :, 0] = labels[0, 8] = 1
        assert cut_window(self.cut(make_context, labels))[2:] == (6, 6)

    def test_classes_that_touch_are_two_objects_unless_merged(self, make_context):
        labels = labels_with_box(0, 0, 10, 5) + labels_with_box(0, 5, 10, 5, label=2)
        assert (self.cut(make_context, labels) == 0).sum() == 2 * 6 * 3
        merged = self.cut(make_context, labels, merge_classes=True)
        assert cut_window(merged)[2:] == (6, 6)

    @pytest.mark.parametrize(('min_area', 'cut'), [(0, True), (1, True), (6, True), (7, False)])
    def test_small_objects_are_left(self, make_context, min_area, cut):
        mask = self.cut(make_context, labels_with_box(2, 2, 2, 3), min_area=min_area)
        assert bool((mask == 0).any()) == cut

    def test_nothing_is_cut_where_nothing_is_detected(self, make_context):
        mask = self.cut(make_context, torch.zeros(2, 6, 7, dtype=torch.long))
        assert torch.equal(mask, torch.ones(2, 1, 6, 7, dtype=torch.bool))

    def test_background_is_no_object(self, make_context):
        z, labels = torch.ones(1, 1, 6, 6), torch.ones(1, 6, 6, dtype=torch.long)
        foreground = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
        context = make_context(GCutout(), z, labels=labels, foreground=foreground)
        assert GCutout().draw(context).all()

    def test_boxes_are_found_once_for_all_decoders(self, make_context, monkeypatch):
        calls = []
        monkeypatch.setattr(
            guided,
            'object_boxes',
            lambda *arguments: calls.append(None) or object_boxes(*arguments),
        )
        labels = labels_with_box(2, 2, 5, 5)
        context = make_context(GCutout(), torch.ones(1, 1, 14, 18), labels=labels)
        for _ in range(3):
            GCutout().draw(context)
        assert len(calls) == 1
        GCutout(merge_classes=True).draw(context)
        assert len(calls) == 2

    @pytest.mark.parametrize('area', [0, -0.4, 1.5])
    def test_area_that_is_no_share(self, area):
        with pytest.raises(ValueError, match=rf'G-Cutout: area is {area}, .*share.*\(0, 1\]'):
            GCutout(area=area)
