"""A scope says which domain a network works for; nothing else does, unless it is told to."""

import copy
import pickle
import re

import pytest
import torch

from cct_mm.models.active_domain import ActiveDomain


class TestScope:
    def test_is_left_even_by_an_error(self):
        active = ActiveDomain(['day', 'night'])
        active.default = 'day'
        with pytest.raises(KeyError), active.scope('night'):
            assert active.name == 'night'
            raise KeyError
        assert active.name == 'day'

    def test_inner_one_counts_until_it_ends(self):
        active = ActiveDomain(['day', 'night'])
        with active.scope('day'):
            with active.scope('night'):
                assert active.name == 'night'
            assert active.name == 'day'

    def test_of_a_copy_is_its_own(self):
        active = ActiveDomain(['day', 'night'])
        duplicate = copy.deepcopy(active)
        with active.scope('day'), duplicate.scope('night'):
            assert (active.name, duplicate.name) == ('day', 'night')

    @pytest.mark.parametrize('copied', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_does_not_go_into_a_copy_where_nothing_would_end_it(self, copied):
        active = ActiveDomain(['day', 'night'])
        with active.scope('day'):
            duplicate = copied(active)
            assert active.name == 'day'
        with pytest.raises(RuntimeError, match='no domain is active'):
            duplicate.name  # noqa: B018

    def test_of_an_unknown_domain_names_the_known_ones(self):
        with pytest.raises(ValueError, match=r"'dusk'.*\['day', 'night'\]"):
            ActiveDomain(['day', 'night']).scope('dusk').__enter__()


class TestOutside:
    def test_of_every_scope_the_only_domain_is_active(self):
        assert ActiveDomain(['day']).name == 'day'

    def test_of_every_scope_the_default_is_active(self):
        active = ActiveDomain(['day', 'night'])
        active.default = 'night'
        assert active.name == 'night'

    def test_of_every_scope_several_domains_name_both_ways(self):
        with pytest.raises(RuntimeError) as error:
            ActiveDomain(['day', 'night']).name  # noqa: B018
        assert re.search(r"with model\.active\('day'\)", str(error.value))
        assert re.search(r"model\.default_domain = 'day'", str(error.value))

    def test_default_that_does_not_exist_is_refused(self):
        active = ActiveDomain(['day', 'night'])
        with pytest.raises(ValueError, match='dusk'):
            active.default = 'dusk'
        assert active.default is None


def test_is_unknown_again_after_backward():
    active = ActiveDomain(['day', 'night'])
    with active.scope('night'):
        loss = torch.nn.Linear(2, 1)(torch.ones(1, 2)).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match='no domain is active'):
        active.name  # noqa: B018
