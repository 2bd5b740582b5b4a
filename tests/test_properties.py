"""Properties of schedules, splits and keys, for whatever arguments there are."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cct_mm import keyed
from cct_mm.datasets.file_lists import format_file_list, read_file_list
from cct_mm.lab.splits import nested_splits
from cct_mm.schedules import SHAPES, Progress, RampUp

pytestmark = pytest.mark.counted('property-based tests')

CLOSED_FORMS = {
    'exp': lambda x: math.exp(5 * (min(x, 1) - 1)),
    'gaussian': lambda x: math.exp(-5 * (1 - min(x, 1)) ** 2),
    'linear': lambda x: min(x, 1),
    'cosine': lambda x: math.sin(math.pi / 2 * min(x, 1)) ** 2,
    'log': lambda x: -math.expm1(-5 * x),
    'log-held': lambda x: 1 - math.exp(-5 * min(x, 1)),
}

shapes = st.sampled_from(sorted(SHAPES))
numbers = st.floats(-1e3, 1e3)
lengths = st.floats(1e-3, 1)


class TestSchedules:
    @given(shapes, st.floats(0, 100))
    def test_shapes_have_their_closed_forms(self, shape, x):
        assert SHAPES[shape](x) == pytest.approx(CLOSED_FORMS[shape](x), abs=1e-12)

    @given(shapes, st.floats(0, 100), st.floats(0, 100))
    def test_shapes_rise_within_0_and_1(self, shape, one, two):
        low, high = (SHAPES[shape](x) for x in sorted((one, two)))
        assert 0 <= low <= high + 1e-15 <= 1 + 1e-15

    @given(shapes, numbers, numbers, lengths, st.integers(1, 10**6), st.data())
    def test_values_stay_between_start_and_final_and_never_turn(
        self, shape, start, final, length, max_iters, data
    ):
        ramp = RampUp(final, shape, length, start)
        iterations = sorted(data.draw(st.lists(st.integers(0, max_iters), min_size=2, max_size=6)))
        values = [ramp(Progress(i, max_iters, 0)) for i in iterations]
        margin = 1e-9 * (1 + abs(start) + abs(final))
        low, high = sorted((start, final))
        assert all(low - margin <= value <= high + margin for value in values)
        steps = np.diff(values) * (1 if final >= start else -1)
        assert (steps >= -margin).all()

    @given(shapes, numbers, numbers, lengths, st.integers(1, 1000), st.integers(1, 1000))
    def test_values_depend_on_the_share_of_training_alone(
        self, shape, start, final, length, iteration, factor
    ):
        ramp = RampUp(final, shape, length, start)
        one, other = Progress(iteration, 1000, 0), Progress(iteration * factor, 1000 * factor, 9)
        assert ramp(one) == pytest.approx(ramp(other), rel=1e-9, abs=1e-9)


@st.composite
def lists_of_images(draw):
    """Images, with or without labels, and pixel counts of their classes."""
    count = draw(st.integers(2, 40))
    classes = draw(st.integers(1, 5))
    entries = [(f'images/{i}.jpg', f'masks/{i}.png') for i in range(count)]
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 1000, (count, classes)) * (rng.random((count, classes)) < 0.5)
    return entries, draw(st.sampled_from([None, counts])), seed


class TestSplits:
    @settings(deadline=None)
    @given(lists_of_images(), st.integers(0, 2**31), st.data())
    def test_are_nested_whole_and_free_of_order(self, images, seed, data):
        entries, counts, shuffle = images
        sizes = data.draw(
            st.lists(st.integers(1, len(entries)), min_size=1, max_size=4, unique=True)
        )
        splits = nested_splits(entries, counts, sizes, seed)
        largest = splits[max(sizes)]
        assert len(set(largest)) == len(largest)
        assert set(largest) <= set(entries)
        for size in sizes:
            assert splits[size] == largest[:size]
            assert nested_splits(entries, counts, [size], seed)[size] == splits[size]
        order = np.random.default_rng(shuffle).permutation(len(entries))
        shuffled = [entries[i] for i in order], None if counts is None else counts[order]
        assert nested_splits(*shuffled, sizes, seed) == splits

    @settings(deadline=None, max_examples=30)
    @given(st.integers(0, 2**31), st.integers(0, 2**31))
    def test_seeds_label_other_images(self, one, other):
        entries = [(f'images/{i}.jpg', None) for i in range(60)]
        splits = [set(nested_splits(entries, None, [30], seed)[30]) for seed in (one, other)]
        assert (splits[0] == splits[1]) == (one == other)


names = st.text(
    st.characters(
        exclude_categories=['Cc', 'Cs', 'Zl', 'Zp', 'Zs'], exclude_characters='#./\\\ufeff'
    ),
    min_size=1,
    max_size=12,
)


class TestLists:
    @settings(deadline=None)
    @given(
        st.lists(st.tuples(names, names), min_size=1, max_size=8, unique_by=lambda pair: pair[0]),
        st.booleans(),
        st.sampled_from(['\n', '\r\n']),
        st.sampled_from(['utf-8', 'utf-8-sig']),
    )
    def test_are_read_as_they_were_written(self, tmp_path_factory, pairs, labeled, end, encoding):
        entries = [(f'{a}.jpg', f'm/{b}.png' if labeled else None) for a, b in pairs]
        path = tmp_path_factory.mktemp('list') / 'train.txt'
        text = format_file_list(entries).replace('\n', end)
        path.write_bytes(text.encode(encoding))
        assert read_file_list(path) == entries


parts = st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=4).map(tuple)


class TestKeys:
    @given(parts, parts)
    def test_equal_parts_and_no_others_have_one_key(self, one, other):
        # An unlikely divider aside, which no name of a draw has.
        if not any(isinstance(p, str) and '\x1f' in p for p in one + other):
            assert (keyed.key(*one) == keyed.key(*other)) == (one == other)
        assert 0 <= keyed.key(*one) < 2**63
