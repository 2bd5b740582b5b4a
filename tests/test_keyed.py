"""Keyed random numbers: a function of their key, never of a stream."""

import random
from itertools import product

import numpy as np
import pytest
import torch

from cct_mm import keyed


def draw_from_globals():
    # The globals are what the context under test is for.
    return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002


class TestKey:
    def test_is_the_same_on_every_machine_and_in_every_run(self):
        assert keyed.key(0, 'F-Drop', 3) == 2592286421430142533

    def test_fits_63_bits(self):
        keys = [keyed.key(i) for i in range(2000)]
        assert all(0 <= key < 2**63 for key in keys)
        assert max(keys) > 2**62

    def test_different_parts_give_different_keys(self):
        parts = ['', 'a', 'b', 'ab', '1', 0, 1, 10, -1, '-1', '01']
        tuples = [t for length in range(4) for t in product(parts, repeat=length)]
        assert len({keyed.key(*t) for t in tuples}) == len(tuples)

    @pytest.mark.parametrize(
        ('one', 'other'),
        [
            ((1, 2), (2, 1)),
            (('a', 'b'), ('b', 'a')),
            ((1,), ('1',)),
            (('ab', 'c'), ('a', 'bc')),
            ((12, 3), (1, 23)),
            ((1,), (1, '')),
        ],
    )
    def test_order_type_and_boundaries_count(self, one, other):
        assert keyed.key(*one) != keyed.key(*other)


class TestGenerator:
    def test_same_key_same_numbers(self):
        first = torch.rand(5, generator=keyed.generator(0, 'F-Noise', 2))
        assert torch.equal(first, torch.rand(5, generator=keyed.generator(0, 'F-Noise', 2)))
        assert not torch.equal(first, torch.rand(5, generator=keyed.generator(0, 'F-Noise', 3)))

    def test_order_does_not_count(self):
        def numbers(order):
            return {k: torch.rand(3, generator=keyed.generator(7, k)).tolist() for k in order}

        assert numbers(['a', 'b', 'c']) == numbers(['c', 'a', 'b'])

    def test_leaves_the_global_generator_alone(self):
        before = torch.get_rng_state()
        torch.rand(3, generator=keyed.generator(1))
        assert torch.equal(torch.get_rng_state(), before)

    def test_numbers_of_neighboring_keys_are_uncorrelated(self):
        numbers = torch.stack([torch.rand(2000, generator=keyed.generator(0, i)) for i in range(8)])
        correlation = torch.corrcoef(numbers) - torch.eye(8)
        assert correlation.abs().max() < 0.1


class TestGlobalGeneratorsSeeded:
    def test_numbers_inside_belong_to_the_key(self):
        with keyed.global_generators_seeded(3, 'flip'):
            first = draw_from_globals()
        draw_from_globals()
        with keyed.global_generators_seeded(3, 'flip'):
            assert draw_from_globals() == first
        with keyed.global_generators_seeded(4, 'flip'):
            other = draw_from_globals()
        assert all(a != b for a, b in zip(first, other, strict=True))

    def test_numbers_outside_go_on_as_if_nothing_had_happened(self):
        with keyed.global_generators_seeded('outer'):
            expected = [draw_from_globals() for _ in range(2)]
        with keyed.global_generators_seeded('outer'):
            found = [draw_from_globals()]
            with keyed.global_generators_seeded('inner'):
                draw_from_globals()
            found.append(draw_from_globals())
        assert found == expected

    def test_globals_are_restored_after_an_exception(self):
        with keyed.global_generators_seeded('outer'):
            expected = draw_from_globals()
        with keyed.global_generators_seeded('outer'):
            with (
                pytest.raises(RuntimeError, match='transform failed'),
                keyed.global_generators_seeded('inner'),
            ):
                draw_from_globals()
                raise RuntimeError('transform failed')
            assert draw_from_globals() == expected
