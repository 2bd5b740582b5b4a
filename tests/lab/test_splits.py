"""Splits: nested, the same everywhere, with rare classes in."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cct_mm.datasets.file_lists import read_file_list
from cct_mm.lab.splits import (
    check_sizes,
    class_frequencies,
    class_presence,
    file_list_hash,
    nested_splits,
    split_files,
)

SIZES = [6, 12, 30]
FROZEN = ['train/0058.jpg', 'train/0013.jpg', 'train/0185.jpg', 'train/0128.jpg']


def make_entries(count):
    return [(f'train/{i:04d}.jpg', f'trainannot/{i:04d}.png') for i in range(count)]


def make_counts(count, shares, seed=0):
    """Pixel counts in which class c occurs in about ``shares[c]`` of the images."""
    rng = np.random.default_rng(seed)
    present = rng.random((count, len(shares))) < shares
    present[:, 0] = True
    present[np.arange(len(shares)), np.arange(len(shares))] = True
    return present * rng.integers(50, 500, present.shape)


SHARES = np.array([1.0, 0.9, 0.5, 0.1, 0.03])


@pytest.fixture
def entries():
    return make_entries(200)


@pytest.fixture
def counts():
    return make_counts(200, SHARES)


@pytest.mark.parametrize('balanced', [False, True])
class TestNestedSplits:
    def split(self, entries, counts, balanced, sizes=SIZES, seed=0):
        return nested_splits(entries, counts if balanced else None, sizes, seed)

    def test_smaller_splits_are_prefixes_of_larger_ones(self, entries, counts, balanced):
        splits = self.split(entries, counts, balanced)
        assert [len(splits[size]) for size in SIZES] == SIZES
        assert splits[6] == splits[12][:6] == splits[30][:6]
        assert len(set(splits[30])) == 30

    def test_a_size_does_not_depend_on_the_others(self, entries, counts, balanced):
        alone = self.split(entries, counts, balanced, sizes=[12])[12]
        assert alone == self.split(entries, counts, balanced, sizes=[30, 12])[12]

    def test_order_of_the_list_does_not_matter(self, entries, counts, balanced):
        shuffle = np.random.default_rng(1).permutation(len(entries))
        shuffled = [entries[i] for i in shuffle]
        assert self.split(entries, counts, balanced) == self.split(
            shuffled, counts[shuffle], balanced
        )

    def test_suffix_and_form_of_the_paths_do_not_matter(self, entries, counts, balanced):
        windows = [(f'.\\{image[:-4]}.png'.replace('/', '\\'), label) for image, label in entries]
        labels = [label for _, label in self.split(entries, counts, balanced)[30]]
        assert [label for _, label in self.split(windows, counts, balanced)[30]] == labels

    def test_seeds_differ(self, entries, counts, balanced):
        splits = [
            frozenset(self.split(entries, counts, balanced, sizes=[12], seed=seed)[12])
            for seed in range(5)
        ]
        assert len(set(splits)) == 5

    def test_all_images_can_be_labeled(self, entries, counts, balanced):
        assert sorted(self.split(entries, counts, balanced, sizes=[200])[200]) == entries

    @pytest.mark.parametrize(
        ('sizes', 'message'),
        [
            ([], 'no size'),
            ([0], 'size 0 of a split is not positive, expected 1 to 200'),
            ([-3], 'size -3 of a split is not positive'),
            ([20, 201], 'size 201 of a split exceeds the 200 images of the list'),
            ([20, 50, 20], 'size 20 is given twice'),
        ],
    )
    def test_impossible_sizes_are_refused(self, entries, counts, balanced, sizes, message):
        with pytest.raises(ValueError, match=message):
            self.split(entries, counts, balanced, sizes=sizes)

    def test_image_that_is_there_twice_is_named(self, entries, counts, balanced):
        twice = [*entries[:-1], ('./train/0003.jpg', None)]
        with pytest.raises(ValueError, match=r'train/0003\.jpg is there twice'):
            self.split(twice, counts, balanced)


def test_order_is_frozen(entries):
    """The lists in the repository rest on this: a change of the hash would change them all."""
    images = [image for image, _ in nested_splits(entries, None, [4], seed=0)[4]]
    assert images == FROZEN


def test_counts_must_fit_the_entries(entries, counts):
    with pytest.raises(ValueError, match=r'shape \(199, 5\), expected \[200, num_classes\]'):
        nested_splits(entries, counts[:-1], [5], seed=0)


class TestBalance:
    def images_per_class(self, entries, counts, size, seed, balanced):
        split = nested_splits(entries, counts if balanced else None, [size], seed)[size]
        rows = [entries.index(entry) for entry in split]
        return class_presence(counts)[rows].sum(axis=0)

    @settings(deadline=None, max_examples=25)
    @given(seed=st.integers(0, 2**31), other=st.integers(0, 1000), size=st.integers(5, 40))
    def test_every_class_occurs_once_there_are_as_many_images(self, seed, other, size):
        counts = make_counts(60, SHARES, seed=other)
        assert (self.images_per_class(make_entries(60), counts, size, seed, True) > 0).all()

    def test_rare_classes_get_more_than_at_random_and_common_ones_no_less(self, entries, counts):
        balanced, random = (
            np.mean(
                [self.images_per_class(entries, counts, 20, seed, flag) for seed in range(20)],
                axis=0,
            )
            for flag in (True, False)
        )
        assert (balanced[3:] > 1.5 * random[3:]).all()
        assert (balanced[:3] > 0.8 * random[:3]).all()

    def test_shares_follow_the_square_root(self, entries, counts):
        taken = self.images_per_class(entries, counts, 40, 0, True) / 40
        root = np.sqrt(class_presence(counts).mean(axis=0))
        assert np.abs(taken / taken[0] - root).max() < 0.1

    def test_class_without_an_image_changes_nothing(self, entries, counts):
        empty = np.pad(counts, ((0, 0), (0, 2)))
        assert nested_splits(entries, counts, SIZES, 0) == nested_splits(entries, empty, SIZES, 0)

    def test_rare_class_that_runs_out_leaves_room_for_the_others(self, entries):
        counts = np.zeros((200, 3), int)
        counts[:, 0] = counts[0, 1] = counts[:100, 2] = 100
        taken = self.images_per_class(entries, counts, 50, 0, True)
        assert taken[1] == 1
        assert taken[2] > 25


class TestCounts:
    def test_sliver_is_no_presence_unless_there_is_nothing_more(self):
        counts = np.array([[100000, 5, 3], [100000, 500, 0]])
        assert class_presence(counts).tolist() == [[True, False, True], [True, True, False]]

    def test_frequencies_are_shares_of_all_counted_pixels(self):
        assert class_frequencies(np.array([[1, 0, 3], [1, 0, 3]])).tolist() == [0.25, 0, 0.75]
        assert class_frequencies(np.zeros((4, 2))).tolist() == [0, 0]

    def test_check_sizes_accepts_all_images(self):
        check_sizes([1, 200], 200)


class TestHash:
    def test_depends_on_the_set_of_paths_only(self):
        reference = file_list_hash(['a/b.jpg', 'c.jpg'])
        assert file_list_hash(['./c.jpg', 'a\\b.jpg']) == reference
        assert file_list_hash(['a/b.jpg', 'd.jpg']) != reference
        assert file_list_hash(['a/b.jpg']) != reference


class TestSplitFiles:
    def test_unlabeled_is_the_rest_without_masks(self, tmp_path, entries):
        splits = nested_splits(entries, None, [20, 50], seed=0)
        files = split_files(entries, splits, {'seed': 0})
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        for size in (20, 50):
            labeled = read_file_list(tmp_path / f'n{size}.txt', labeled=True)
            rest = read_file_list(tmp_path / f'n{size}_unlabeled.txt')
            assert labeled == splits[size]
            assert all(label is None for _, label in rest)
            images = [image for image, _ in labeled + rest]
            assert sorted(images) == [image for image, _ in entries]

    def test_files_do_not_depend_on_the_order_of_the_list(self, entries, counts):
        texts = []
        for step in (1, -1):
            splits = nested_splits(entries[::step], counts[::step], SIZES, 0)
            texts.append(split_files(entries[::step], splits, {}, counts[::step]))
        assert texts[0] == texts[1]

    def test_manifest_tells_counts_and_fingerprints(self, entries, counts):
        splits = nested_splits(entries, counts, [20], seed=3)
        manifest = json.loads(split_files(entries, splits, {'seed': 3}, counts)['manifest.json'])
        assert manifest['seed'] == 3
        n20 = manifest['splits']['n20']
        assert (n20['labeled'], n20['unlabeled']) == (20, 180)
        assert n20['sha256'] == file_list_hash(image for image, _ in splits[20])
        assert n20['images_with_class'][0] == 20
        assert sum(n20['pixel_share']) == pytest.approx(1, abs=1e-5)
        assert manifest['splits']['all']['sha256'] == file_list_hash(i for i, _ in entries)

    def test_split_of_all_images_has_no_unlabeled_file(self, entries):
        splits = nested_splits(entries, None, [200], seed=0)
        assert set(split_files(entries, splits, {})) == {'n200.txt', 'manifest.json'}
