"""Chunks: every position in exactly one, with what stands at its own pixels."""

import pytest
import torch

from cct_mm import testing
from cct_mm.models.cct import decoder_tree
from cct_mm.models.cct.chunks import cut_into_chunks, tile


@pytest.mark.parametrize('size', [(1, 1), (1, 7), (7, 1), (5, 6), (13, 3)])
@pytest.mark.parametrize('most', [1, 2, 3, 5, 6, 7, 12, 13, 1000])
def test_tiles_cover_the_map_once_and_are_no_larger_than_asked(size, most):
    counts = torch.zeros(size)
    for rows, columns in tile(*size, most):
        assert 0 < counts[rows, columns].numel() <= most
        counts[rows, columns] += 1
    assert (counts == 1).all()


@pytest.fixture
def step():
    return testing.example_step(dict(type='DropOut'), padding=True, weak=0.4, dtype=torch.float32)


def cut(step, most=4):
    weights = step.terms.position_weights(step.target, torch.float32)
    return cut_into_chunks(step.target, *weights, 2, most), *weights


def test_each_position_of_each_image_is_in_one_chunk(step):
    counts = torch.zeros_like(step.z)
    chunks, *_ = cut(step)
    for chunk in chunks:
        chunk.crop(counts).add_(1)
    assert (counts == 1).all()
    assert len({chunk.image for chunk in chunks}) == len(step.z)


def test_pixels_are_those_of_the_positions_in_tree_order(step):
    chunks, position_weight, weak_position_weight = cut(step)
    maps = {
        'prob': step.target.prob,
        'valid': step.target.valid,
        'position_weight': position_weight.unsqueeze(1),
        'labels': step.target.pseudo_labels.unsqueeze(1),
        'weak_position_weight': weak_position_weight.unsqueeze(1),
    }
    for name, values in maps.items():
        # Bring all of an image into tree order first, and take the chunk's positions from there.
        whole = torch.stack([decoder_tree.to_tree(one, 2) for one in values])
        whole = whole.unflatten(2, (16, *step.z.shape[2:]))  # [B, c, 4^n, h, w]
        for chunk in chunks:
            expected = whole[chunk.image, ..., chunk.rows, chunk.columns].flatten(1)
            found = getattr(chunk, name)
            assert torch.equal(found if name == 'prob' else found[None], expected)


def test_without_pseudo_labels_there_are_none(step):
    step.target.pseudo_labels = None
    chunks, *_ = cut(step)
    assert all(chunk.labels is None and chunk.weak_position_weight is None for chunk in chunks)


def test_a_chunk_of_maps_with_more_axes_is_a_view_of_its_part(step):
    maps = torch.randn(2, *step.z.shape)
    for chunk in cut(step)[0]:
        part = chunk.crop(maps)
        assert torch.equal(part, maps[:, chunk.image, :, chunk.rows, chunk.columns])
        part.zero_()
    assert maps.count_nonzero() == 0
