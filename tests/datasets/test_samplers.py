"""Draws are a function of (seed, rank, iteration), whoever loads them, wherever a run starts."""

import re
from itertools import islice
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner.loops import _InfiniteDataloaderIterator
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import DataLoader

from cct_mm.datasets import AlternatingDomainSampler, MultiDomainDataset, SampleIndex, samplers
from cct_mm.datasets.multi_domain import Source


class NamesAndSizes(MultiDomainDataset):
    """Sources without files: all that a sampler looks at."""

    def __init__(self, sizes):
        self.domains = list(sizes)
        self.sources = [
            Source(domain, kind, range(size))
            for domain, kinds in sizes.items()
            for kind, size in kinds.items()
        ]
        self._ends = [sum(len(s.dataset) for s in self.sources)]


TWO = {'day': {'labeled': 3, 'unlabeled': 7}, 'night': {'labeled': 4, 'unlabeled': 5}}


def make_sampler(sizes, labeled=2, unlabeled=3, rank=0, world_size=1, **kwargs):
    kwargs.setdefault('seed', 0)
    with mock.patch.object(samplers, 'get_dist_info', return_value=(rank, world_size)):
        return AlternatingDomainSampler(NamesAndSizes(sizes), labeled, unlabeled, **kwargs)


def first(sampler, count):
    return list(islice(sampler, count))


def by_source(indices):
    return {
        s: [item for item in indices if item.source == s]
        for s in sorted({item.source for item in indices})
    }


sources = st.fixed_dictionaries({'labeled': st.integers(1, 6), 'unlabeled': st.integers(1, 6)})
several_domains = st.integers(1, 3).flatmap(
    lambda n: st.fixed_dictionaries(dict.fromkeys(('day', 'night', 'dusk')[:n], sources))
)
counts = st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(any)
property_test = settings(max_examples=40, deadline=None)


def test_is_registered_in_mmseg():
    assert DATA_SAMPLERS.get('AlternatingDomainSampler') is AlternatingDomainSampler


class TestIndices:
    def test_of_one_iteration_are_labeled_then_unlabeled_of_one_domain(self):
        sampler = make_sampler(TWO, labeled=2, unlabeled=3)
        assert sampler.batch_size == 5
        assert [item.source for item in first(sampler, 10)] == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]

    def test_of_weak_sources_follow_and_fill_up_as_unlabeled_ones_do(self):
        sizes = {
            'day': {'labeled': 3, 'unlabeled': 7, 'weak': 5},
            'night': {'labeled': 4, 'weak': 2},
        }
        sampler = make_sampler(
            sizes,
            labeled=1,
            unlabeled=dict(day=2, night=0),
            weak_per_batch=dict(day=1, night=2),
        )
        assert sampler.batch_size == 4
        assert [item.source for item in first(sampler, 8)] == [0, 1, 1, 2, 3, 3, 4, 4]

    def test_may_be_weak_ones_alone(self):
        sampler = make_sampler({'day': {'weak': 5}}, labeled=0, unlabeled=0, weak_per_batch=3)
        assert sorted(item.index for item in first(sampler, 5)) == [0, 1, 2, 3, 4]

    def test_are_the_same_from_two_samplers_and_in_any_order_of_iterations(self):
        sampler, other = make_sampler(TWO), make_sampler(TWO)
        forwards = [sampler.iteration(t) for t in range(40)]
        backwards = [other.iteration(t) for t in reversed(range(40))]
        assert forwards == backwards[::-1]
        assert first(make_sampler(TWO), 200) == sum(forwards, [])

    def test_do_not_depend_on_the_global_generators(self):
        torch.manual_seed(1)
        before = first(make_sampler(TWO), 50)
        torch.manual_seed(2)
        assert first(make_sampler(TWO), 50) == before

    def test_iterating_leaves_the_global_generator_alone(self):
        state = torch.get_rng_state()
        first(make_sampler(TWO), 50)
        assert torch.equal(torch.get_rng_state(), state)

    def test_of_different_seeds_differ_in_images_and_in_augmentation_keys(self):
        a, b = (first(make_sampler(TWO, seed=seed), 50) for seed in (0, 1))
        assert [item.index for item in a] != [item.index for item in b]
        assert {item.seed for item in a} == {0}
        assert {item.seed for item in b} == {1}

    def test_have_the_order_of_a_source_changed_from_one_pass_to_the_next(self):
        indices = first(make_sampler({'day': {'labeled': 8}}, 8, 0), 80)
        passes = [tuple(item.index for item in indices[i : i + 8]) for i in range(0, 80, 8)]
        assert len(set(passes)) == 10

    def test_without_a_seed_share_one_that_the_ranks_agree_on(self):
        with mock.patch.object(samplers, 'sync_random_seed', return_value=11):
            sampler = make_sampler(TWO, seed=None)
        assert first(sampler, 20) == first(make_sampler(TWO, seed=11), 20)

    @property_test
    @given(several_domains, counts, st.integers(0, 3))
    def test_go_through_a_source_whole_before_an_image_repeats(self, sizes, counts, seed):
        sampler = make_sampler(sizes, *counts, seed=seed)
        indices = first(sampler, 20 * len(sizes) * sampler.batch_size)
        for source, mine in by_source(indices).items():
            size = len(sampler.dataset.sources[source].dataset)
            shown = [item.index for item in mine]
            for start in range(0, len(shown) - size + 1, size):
                assert sorted(shown[start : start + size]) == list(range(size))

    @property_test
    @given(several_domains, counts)
    def test_of_a_source_are_numbered_without_a_gap(self, sizes, counts):
        sampler = make_sampler(sizes, *counts)
        for mine in by_source(first(sampler, 100)).values():
            assert [item.number for item in mine] == list(range(len(mine)))

    @property_test
    @given(several_domains, counts, st.integers(2, 4))
    def test_of_all_ranks_are_those_of_one_process_with_larger_batches(self, sizes, counts, world):
        single = make_sampler(sizes, *(world * count for count in counts))
        ranks = [make_sampler(sizes, *counts, rank=r, world_size=world) for r in range(world)]
        for t in range(30):
            together = [item for rank in ranks for item in rank.iteration(t)]
            assert by_source(together) == by_source(single.iteration(t))
            assert all(len(rank.iteration(t)) == sum(counts) for rank in ranks)

    @property_test
    @given(sources, counts, st.integers(2, 4))
    def test_of_several_iterations_are_those_of_one_with_larger_batches(self, own, counts, n):
        # What accumulation of gradients relies on.
        small = make_sampler({'day': own}, *counts)
        large = make_sampler({'day': own}, *(n * count for count in counts))
        for t in range(10):
            together = [item for i in range(n) for item in small.iteration(n * t + i)]
            assert by_source(together) == by_source(large.iteration(t))

    def test_of_two_ranks_differ(self):
        a, b = (make_sampler(TWO, rank=rank, world_size=2) for rank in range(2))
        assert not set(first(a, 100)) & set(first(b, 100))


class TestAlternation:
    @pytest.mark.parametrize('n', [1, 2, 3])
    def test_over_n_domains(self, n):
        names = ['day', 'night', 'dusk'][:n]
        sizes = {name: {'labeled': 3} for name in names}
        indices = first(make_sampler(sizes, 1, 0), 12)
        assert [names[item.source] for item in indices] == (names * 12)[:12]

    def test_follows_an_order_with_repeats(self):
        sizes = {name: {'labeled': 4} for name in ('day', 'night', 'dusk')}
        sampler = make_sampler(sizes, 2, 0, order=['day', 'dusk', 'day', 'night'])
        seen = [sampler.iteration(t)[0].source for t in range(8)]
        assert seen == [0, 2, 0, 1, 0, 2, 0, 1]
        for mine in by_source(first(sampler, 64)).values():
            assert [item.number for item in mine] == list(range(len(mine)))

    def test_leaves_a_domain_out_that_the_order_does_not_name(self):
        indices = first(make_sampler(TWO, order=['night']), 20)
        assert {item.source for item in indices} == {2, 3}

    def test_of_a_domain_does_not_depend_on_the_other_domains(self):
        alone = first(make_sampler(TWO, order=['day']), 50)
        alternating = first(make_sampler(TWO), 100)
        assert [item for item in alternating if item.source < 2] == alone

    def test_without_unlabeled_images_needs_no_unlabeled_source(self):
        indices = first(make_sampler({'day': {'labeled': 3}}, 2, 0), 6)
        assert {item.source for item in indices} == {0}


class TestReplay:
    def test_repeats_labeled_batches_until_a_pass_over_the_others_ends(self):
        # 2 labeled and 3 unlabeled batches in a pass over the source.
        sizes = {'day': {'labeled': 4, 'unlabeled': 9}}
        sampler = make_sampler(sizes, 2, 3, replay_labeled=True)
        seen = [by_source(sampler.iteration(t))[0] for t in range(6)]
        assert seen[2] == seen[0] and seen[5] == seen[3]
        assert {item.index for item in seen[0] + seen[1]} == set(range(4))
        # The next pass is another, in order and augmentation.
        assert [item.number for item in seen[0] + seen[1] + seen[3] + seen[4]] == list(range(8))

    def test_leaves_the_others_as_they_are(self):
        plain, replayed = (make_sampler(TWO, replay_labeled=on) for on in (False, True))
        for t in range(20):
            found, expected = (by_source(s.iteration(t)) for s in (replayed, plain))
            assert all(found[s] == expected[s] for s in found if s % 2)

    def test_of_all_ranks_is_that_of_one_process(self):
        single = make_sampler(TWO, 4, 4, replay_labeled=True)
        ranks = [
            make_sampler(TWO, 2, 2, rank=r, world_size=2, replay_labeled=True) for r in range(2)
        ]
        for t in range(20):
            together = [item for rank in ranks for item in rank.iteration(t)]
            assert by_source(together) == by_source(single.iteration(t))


class TestSkip:
    @property_test
    @given(several_domains, counts, st.integers(0, 60))
    def test_drops_that_many_images(self, sizes, counts, n):
        sampler = make_sampler(sizes, *counts)
        sampler.skip(n)
        assert first(sampler, 40) == first(make_sampler(sizes, *counts), n + 40)[n:]

    def test_of_each_rank_drops_its_own_images(self):
        for rank in range(2):
            sampler, straight = (make_sampler(TWO, rank=rank, world_size=2) for _ in range(2))
            sampler.skip(3 * sampler.batch_size)
            assert first(sampler, 20) == first(straight, 35)[15:]


kinds = st.fixed_dictionaries(dict.fromkeys(('labeled', 'unlabeled', 'weak'), st.integers(1, 6)))
three_domains = st.fixed_dictionaries(dict.fromkeys(('day', 'night', 'dusk'), kinds))
orders = st.one_of(
    st.none(),
    st.just('proportional'),
    st.lists(st.sampled_from(['day', 'night', 'dusk']), min_size=1, max_size=5),
)
counts_by_domain = st.fixed_dictionaries(dict.fromkeys(('day', 'night', 'dusk'), st.integers(0, 3)))


class TestAnyRun:
    """Any sizes, counts by domain, order, seed and number of ranks."""

    @staticmethod
    def ranks(sizes, labeled, unlabeled, weak, order, seed, world):
        arguments = dict(weak_per_batch=weak, order=order, seed=seed, world_size=world)
        return [
            make_sampler(sizes, labeled, unlabeled, rank=rank, **arguments) for rank in range(world)
        ]

    @property_test
    @given(
        three_domains,
        st.integers(1, 3),
        counts_by_domain,
        counts_by_domain,
        orders,
        st.integers(0, 3),
        st.integers(1, 3),
        st.integers(0, 40),
    )
    def test_skips_to_its_tail_and_goes_through_sources_evenly(
        self, sizes, labeled, unlabeled, weak, order, seed, world, iterations
    ):
        settings_ = (sizes, labeled, unlabeled, weak, order, seed, world)
        length = iterations + 8
        runs = [first(s, length * s.batch_size) for s in self.ranks(*settings_)]

        # Resumed on each rank, the run goes on as if it had not stopped.
        for whole, sampler in zip(runs, self.ranks(*settings_), strict=True):
            sampler.skip(iterations * sampler.batch_size)
            tail = whole[iterations * sampler.batch_size :]
            assert first(sampler, len(tail)) == tail

        # Over all ranks, every image of a source has its own number, without a gap.
        for source, indices in by_source([item for run in runs for item in run]).items():
            assert sorted(item.number for item in indices) == list(range(len(indices)))
            # So each pass shows each image once.
            size = list(sizes.values())[source // 3]
            size = list(size.values())[source % 3]
            indices.sort(key=lambda item: item.number)
            for start in range(0, len(indices) - size + 1, size):
                shown = [item.index for item in indices[start : start + size]]
                assert sorted(shown) == list(range(size))


class TestErrors:
    def check(self, names, *args, **kwargs):
        """Refuse these arguments with a message that names all this, in this order."""
        pattern = '^AlternatingDomainSampler: ' + '.*'.join(map(re.escape, names))
        with pytest.raises(ValueError, match=pattern):
            make_sampler(*args, **kwargs)

    @pytest.mark.parametrize(
        ('labeled', 'unlabeled'),
        [(0, 0), (-1, 4), (4, -1), (4, 0.5), (4, '{"day": 0}'), (0, dict(day=0, night=0))],
    )
    def test_counts(self, labeled, unlabeled):
        self.check(
            [
                f'labeled_per_batch={labeled}',
                f'unlabeled_per_batch={unlabeled!r}',
                'weak_per_batch=0',
                'expected whole numbers >= 0, not all 0',
            ],
            TWO,
            labeled,
            unlabeled,
        )

    @pytest.mark.parametrize('counts', [dict(night=0), dict(day=4, night=0, dawn=4)])
    def test_counts_of_other_domains(self, counts):
        self.check(
            [f'unlabeled_per_batch names domains {list(counts)}', 'expected', "['day', 'night']"],
            TWO,
            unlabeled=counts,
        )

    def test_domain_without_a_weak_source(self):
        self.check(
            [
                'weak_per_batch is 2',
                'domain day has no weak source',
                'add weak=dict(...) to train_dataloader.dataset.domains.day',
                'weak_per_batch=dict(day=0, ...)',
            ],
            {'day': {'labeled': 3}, 'night': {'labeled': 3, 'weak': 2}},
            unlabeled=0,
            weak_per_batch=2,
        )

    def test_unknown_domain(self):
        self.check(
            ["order names domain 'dawn'", "expected some of ['day', 'night']"],
            TWO,
            order=['day', 'dawn'],
        )

    def test_domain_without_a_source(self):
        self.check(
            [
                'unlabeled_per_batch is 3',
                'domain day has no unlabeled source',
                'add unlabeled=dict(...) to train_dataloader.dataset.domains.day',
                'unlabeled_per_batch=0',
            ],
            {'day': {'labeled': 3}},
        )


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """Two domains with random augmentation that draws from Python's and NumPy's generators."""
    root = tmp_path_factory.mktemp('data')
    rng = np.random.default_rng(0)
    domains = {}
    pipeline = [
        dict(type='LoadCheckedImage'),
        dict(type='RandomResize', scale=(24, 24), ratio_range=(0.8, 1.2)),
        dict(type='RandomCrop', crop_size=(16, 16)),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]
    for name in ('day', 'night'):
        domains[name] = {}
        for kind in ('labeled', 'unlabeled'):
            folder = root / name / kind
            folder.mkdir(parents=True)
            for i in range(4):
                image = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
                cv2.imwrite(str(folder / f'{i}.png'), image)
            domains[name][kind] = dict(
                type='ListDataset',
                data_root=str(root),
                data_prefix=dict(img_path=f'{name}/{kind}'),
                metainfo=dict(classes=('a', 'b'), palette=[[0, 0, 0], [9, 9, 9]]),
                pipeline=pipeline,
                serialize_data=False,
            )
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MultiDomainDataset(domains)


def make_loader(dataset, num_workers=0, per_batch=(1, 2)):
    sampler = AlternatingDomainSampler(dataset, *per_batch, seed=0)
    return DataLoader(
        dataset,
        batch_size=sampler.batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=pseudo_collate,
    )


def content(batches):
    return [
        (sample.sample_key, sample.domain, sample.supervision, image)
        for batch in batches
        for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True)
    ]


def assert_same(a, b):
    assert [x[:3] for x in a] == [x[:3] for x in b]
    assert all(torch.equal(x[3], y[3]) for x, y in zip(a, b, strict=True))


NUM_BATCHES = 5


@pytest.fixture(scope='module')
def straight(dataset):
    return content(islice(make_loader(dataset), NUM_BATCHES))


class TestDataLoader:
    @pytest.mark.parametrize('num_workers', [0, 1, 2])
    def test_gives_the_same_tensors_with_any_number_of_workers(
        self, dataset, straight, num_workers
    ):
        torch.manual_seed(num_workers)  # seeds the workers, which may not matter
        loader = make_loader(dataset, num_workers)
        assert_same(content(islice(loader, NUM_BATCHES)), straight)

    def test_shows_an_image_augmented_anew_each_time(self, dataset):
        loader = make_loader(dataset, per_batch=(4, 0))
        sampler = loader.sampler
        seen = {}
        for t, batch in zip(range(6), loader, strict=False):
            for item, (*_, image) in zip(sampler.iteration(t), content([batch]), strict=True):
                seen.setdefault((item.source, item.index), []).append(image)
        for images in seen.values():
            assert len(images) == 3
            assert not any(torch.equal(images[0], image) for image in images[1:])

    @pytest.mark.parametrize('num_workers', [0, 1])
    def test_resumes_where_mmengine_skips_to_and_loads_nothing_before(
        self, dataset, straight, num_workers
    ):
        iterator = _InfiniteDataloaderIterator(make_loader(dataset, num_workers))
        with mock.patch.object(MultiDomainDataset, '__getitem__', side_effect=AssertionError):
            iterator.skip_iter(3)
        resumed = content(next(iterator) for _ in range(NUM_BATCHES - 3))
        assert_same(resumed, straight[3 * 3 :])

    def test_is_indexed_by_what_the_sampler_yields(self, dataset):
        item = make_loader(dataset).sampler.iteration(0)[0]
        assert isinstance(item, SampleIndex)
        assert dataset[item]['data_samples'].sample_key == f'{item.source}/{item.number}'


class TestSeveralDomains:
    def batches(self, sizes, iterations, **kwargs):
        sampler = make_sampler(sizes, **kwargs)
        return sampler, [
            [sampler.dataset.sources[item.source] for item in sampler.iteration(t)]
            for t in range(iterations)
        ]

    def test_a_domain_without_unlabeled_images_fills_its_batch_with_labeled_ones(self):
        sizes = {'day': {'labeled': 5, 'unlabeled': 7}, 'night': {'labeled': 4}}
        sampler, (day, night) = self.batches(sizes, 2, unlabeled=dict(day=2, night=0))
        assert sampler.batch_size == 4
        assert [s.supervision for s in day] == ['labeled'] * 2 + ['unlabeled'] * 2
        assert [(s.domain, s.supervision) for s in night] == [('night', 'labeled')] * 4

    def test_a_domain_without_labels_is_refused_with_the_reason(self):
        sizes = {'day': {'labeled': 5, 'unlabeled': 7}, 'night': {'unlabeled': 4}}
        with pytest.raises(ValueError, match='without labels nothing trains its main head'):
            make_sampler(sizes)

    def test_proportional_order_trains_each_by_its_share_of_the_images(self):
        sizes = {
            'day': {'labeled': 30, 'unlabeled': 30},
            'night': {'labeled': 10, 'unlabeled': 10},
        }
        _, batches = self.batches(sizes, 200, order='proportional')
        domains = [batch[0].domain for batch in batches]
        assert domains.count('night') == 50
        # Evenly mixed: never long without either.
        assert all('night' in domains[i : i + 5] for i in range(195))

    def test_proportional_order_leaves_no_domain_out(self):
        sizes = {'day': {'labeled': 5000}, 'night': {'labeled': 1}}
        sampler = make_sampler(sizes, unlabeled=0, order='proportional')
        assert set(sampler.order) == {'day', 'night'}
