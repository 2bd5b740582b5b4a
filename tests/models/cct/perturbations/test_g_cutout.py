"""G-Cutout: objects, their boxes and the windows within them, held to OpenCV and to loops."""

import math

import cv2
import numpy as np
import pytest
import torch

from cct_mm.models.cct.perturbations import GCutout, guided
from cct_mm.models.cct.perturbations.guided import (
    bounding_boxes,
    connected_components,
    union_of_rectangles,
)

SIZES = [(1, 1), (1, 9), (9, 1), (8, 8), (15, 16), (33, 20), (64, 64), (65, 97)]


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


SHAPES = {
    'spiral': spiral,
    'spiral from the other end': lambda h, w: spiral(h, w)[::-1, ::-1],
    'standing spiral': lambda h, w: spiral(w, h).T,
    'comb': comb,
    'comb upside down': lambda h, w: comb(h, w)[::-1],
    'lying comb': lambda h, w: comb(w, h).T,
    'serpentine': serpentine,
    'standing serpentine': lambda h, w: serpentine(w, h).T,
    'diagonal': lambda h, w: np.eye(h, w, dtype=bool),
    'chessboard': lambda h, w: np.indices((h, w)).sum(0) % 2 == 0,
    'everything': lambda h, w: np.ones((h, w), bool),
    'nothing': lambda h, w: np.zeros((h, w), bool),
}


def assert_equal_up_to_names(found, expected):
    """Both say -1 outside; inside, they name the same sets of positions."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert np.array_equal(found < 0, expected < 0)
    pairs = set(zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True))
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


def by_opencv(labels, mask):
    """Components of each class in turn, numbered on."""
    result, number = np.full(labels.shape, -1), 0
    for label in np.unique(labels[mask]):
        count, components = cv2.connectedComponents(
            ((labels == label) & mask).astype(np.uint8), connectivity=8
        )
        inside = components > 0
        result[inside] = components[inside] + number
        number += count
    return result


class TestConnectedComponents:
    @pytest.mark.parametrize('size', SIZES, ids=str)
    @pytest.mark.parametrize('shape', SHAPES)
    def test_equals_opencv_on_long_and_winding_objects(self, shape, size):
        mask = SHAPES[shape](*size).copy()
        labels = np.zeros(size, int)
        components = connected_components(torch.from_numpy(labels)[None], torch.tensor(mask)[None])
        assert_equal_up_to_names(components[0], by_opencv(labels, mask))

    @pytest.mark.parametrize('size', SIZES, ids=str)
    @pytest.mark.parametrize('density', [0.2, 0.4, 0.6, 0.9])
    def test_equals_opencv_on_random_maps_of_several_classes(self, size, density):
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 3, (3, *size))
        mask = rng.random((3, *size)) < density
        components = connected_components(torch.from_numpy(labels), torch.from_numpy(mask))
        for image in range(3):
            assert_equal_up_to_names(components[image], by_opencv(labels[image], mask[image]))

    def test_equals_opencv_on_blobs(self):
        rng = np.random.default_rng(0)
        for _ in range(10):
            noise = cv2.GaussianBlur(rng.random((60, 80)), (0, 0), 2)
            labels = (noise * 40).astype(int)
            mask = labels % 2 == 0
            components = connected_components(torch.tensor(labels)[None], torch.tensor(mask)[None])
            assert_equal_up_to_names(components[0], by_opencv(labels, mask))

    def test_touching_corners_connect_but_classes_do_not(self):
        labels = torch.tensor([[[1, 2, 0], [2, 1, 0], [0, 0, 1]]])
        components = connected_components(labels, labels > 0)
        # The smallest flat index of each component: 0 for class 1 on the diagonal, 1 for class 2.
        assert components.tolist() == [[[0, 1, -1], [1, 0, -1], [-1, -1, 0]]]

    def test_images_do_not_connect_through_the_batch(self):
        labels = torch.zeros(2, 1, 3, dtype=torch.long)
        components = connected_components(labels, torch.ones(2, 1, 3, dtype=torch.bool))
        assert components.tolist() == [[[0, 0, 0]], [[0, 0, 0]]]


class TestBoundingBoxes:
    def test_equals_opencv(self):
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 3, (4, 13, 17))
        mask = rng.random((4, 13, 17)) < 0.35
        components = connected_components(torch.from_numpy(labels), torch.from_numpy(mask))
        boxes = bounding_boxes(components)
        assert boxes.shape == (4, 4, 13 * 17)
        for image in range(4):
            roots = components[image].unique().tolist()
            for position in range(13 * 17):
                y0, x0, y1, x1 = boxes[image, :, position].tolist()
                if position in roots:
                    inside = (components[image] == position).numpy().astype(np.uint8)
                    assert (x0, y0, x1 - x0 + 1, y1 - y0 + 1) == cv2.boundingRect(inside)
                else:
                    assert y1 < y0 and x1 < x0


class TestRectangles:
    def test_equals_a_loop(self):
        torch.manual_seed(0)
        height, width, number = 9, 12, 6
        start = torch.stack(
            [torch.randint(-2, height, (5, number)), torch.randint(-2, width, (5, number))], dim=1
        )
        end = start + torch.randint(0, 7, (5, 2, number))
        weight = (torch.rand(5, number) < 0.7).float()
        expected = torch.zeros(5, height, width, dtype=torch.bool)
        for image in range(5):
            for i in range(number):
                (y0, x0), (y1, x1) = start[image, :, i].tolist(), end[image, :, i].tolist()
                if weight[image, i]:
                    expected[image, max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
        found = union_of_rectangles(start.float(), end.float(), weight, height, width)
        assert 0.1 < expected.float().mean() < 0.9
        assert torch.equal(found, expected)

    def test_rectangles_that_do_not_count_may_lie_anywhere(self):
        start = torch.tensor([[[1e6, 1], [1e6, 1]]])
        end = torch.tensor([[[-1e6, 2], [-1e6, 3]]])
        found = union_of_rectangles(start, end, torch.tensor([[0.0, 1.0]]), 3, 4)
        assert found.nonzero().tolist() == [[0, 1, 1], [0, 1, 2]]


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
        context = make_context(torch.ones(len(labels), 2, *labels.shape[1:]), labels=labels)
        for decoder in range(decoders):
            context.key = 0, 'G-Cutout', decoder
            yield GCutout(**arguments).draw(context)

    def cut(self, *arguments, **keywords):
        return next(self.cuts(*arguments, 1, **keywords))

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

    @pytest.mark.parametrize(('draw', 'corner'), [(0.0, (2, 3)), (1 - 2**-24, (4, 5))])
    def test_extreme_draws_stay_in_the_box_and_cut_nothing_else(self, make_context, draw, corner):
        labels = labels_with_box(2, 3, 5, 5)
        context = make_context(torch.ones(1, 2, 14, 18), labels=labels)
        context.uniform = lambda name, *shape: torch.full((1, *shape), draw)
        assert cut_window(GCutout().draw(context)) == (*corner, 3, 3)

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

    @pytest.mark.parametrize(('min_area', 'cut'), [(1, True), (6, True), (7, False)])
    def test_small_objects_are_left(self, make_context, min_area, cut):
        mask = self.cut(make_context, labels_with_box(2, 2, 2, 3), min_area=min_area)
        assert bool((mask == 0).any()) == cut

    def test_nothing_is_cut_where_nothing_is_detected(self, make_context):
        mask = self.cut(make_context, torch.zeros(2, 6, 7, dtype=torch.long))
        assert torch.equal(mask, torch.ones(2, 1, 6, 7))

    def test_background_is_no_object(self, make_context):
        z, labels = torch.ones(1, 1, 6, 6), torch.ones(1, 6, 6, dtype=torch.long)
        foreground = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
        mask = GCutout().draw(make_context(z, labels=labels, foreground=foreground))
        assert mask.min() == 1

    def test_boxes_are_found_once_for_all_decoders(self, make_context, monkeypatch):
        calls = []
        monkeypatch.setattr(
            guided,
            'connected_components',
            lambda *arguments: calls.append(None) or connected_components(*arguments),
        )
        labels = labels_with_box(2, 2, 5, 5)
        context = make_context(torch.ones(1, 1, 14, 18), labels=labels)
        for _ in range(3):
            GCutout().draw(context)
        assert len(calls) == 1
        GCutout(merge_classes=True).draw(context)
        assert len(calls) == 2

    @pytest.mark.parametrize('area', [0, -0.4, 1.5])
    def test_area_that_is_no_share(self, area):
        with pytest.raises(ValueError, match=rf'G-Cutout: area is {area}, .*share.*\(0, 1\]'):
            GCutout(area=area)
