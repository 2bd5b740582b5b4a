"""Chunks: every position in exactly one, with what stands at its own pixels."""

import pytest
import torch

from cct_mm import testing
from cct_mm.models.cct import decoder_tree
from cct_mm.models.cct.chunks import cut_into_chunks, tile, tile_images


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


@pytest.mark.parametrize(
    ('batch', 'most', 'expected'), [(5, 0, 5), (5, 2, 3), (6, 4, 2), (3, 9, 1)]
)
def test_runs_of_images_cover_the_batch_once(batch, most, expected):
    runs = tile_images(batch, most)
    assert len(runs) == expected
    assert [i for run in runs for i in range(batch)[run]] == list(range(batch))
    assert all(run.stop - run.start <= max(most, 1) for run in runs)


def maps_of(step):
    position_weight, weak = step.terms.position_weights(step.target, torch.float32)
    target = step.target
    maps = {'prob': target.prob, 'valid': target.valid[:, 0], 'position_weight': position_weight}
    return maps | {'labels': target.pseudo_labels, 'weak_position_weight': weak}


def cut(step, most=4):
    return cut_into_chunks(maps_of(step), 2, most)


@pytest.mark.parametrize('most', [4, 30, 60, 1000])
def test_each_position_of_each_image_is_in_one_chunk(step, most):
    counts = torch.zeros_like(step.z)
    chunks = cut(step, most)
    for chunk in chunks:
        chunk.crop(counts).add_(1)
    assert (counts == 1).all()
    assert len({chunk.images.start for chunk in chunks}) == {4: 3, 30: 3, 60: 2, 1000: 1}[most]


@pytest.mark.parametrize('most', [4, 60])
def test_pixels_are_those_of_the_positions_in_tree_order(step, most):
    chunks = cut(step, most)
    for name, values in maps_of(step).items():
        values = values if name == 'prob' else values.unsqueeze(1)  # [B, c, H, W]
        # Bring all of an image into tree order first, and take the chunk's positions from there.
        whole = torch.stack([decoder_tree.to_tree(one[None], 2) for one in values], dim=1)
        whole = whole.unflatten(2, (16, *step.z.shape[2:]))  # [c, B, 4^n, h, w]
        whole = whole.transpose(1, 2)  # [c, 4^n, B, h, w]
        for chunk in chunks:
            expected = whole[:, :, chunk.images, chunk.rows, chunk.columns].flatten(1)
            found = getattr(chunk, name)
            assert torch.equal(found if name == 'prob' else found[None], expected)


def test_what_was_not_asked_for_is_none(step):
    for chunk in cut_into_chunks({'valid': step.target.valid[:, 0]}, 2, 4):
        assert chunk.valid is not None
        assert chunk.prob is chunk.position_weight is chunk.labels is None


def test_a_chunk_of_maps_with_more_axes_is_a_view_of_its_part(step):
    maps = torch.randn(2, *step.z.shape)
    for chunk in cut(step):
        part = chunk.crop(maps)
        expected = maps[:, chunk.images, :, chunk.rows, chunk.columns].transpose(1, 2)
        assert torch.equal(part, expected)
        part.zero_()
    assert maps.count_nonzero() == 0
