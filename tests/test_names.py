"""Names that would break weights, metrics or the log are refused, others are not."""

import pytest
from mmengine.model import ModuleDict
from torch import nn

from cct_mm.names import check_class_names, check_domain_name

GOOD = ('camvid', 'city-scapes', 'sun_rgbd', 'voc 2012', 'straße', '3', 'mIoU', 'a+b')


class TestDomainNames:
    @pytest.mark.parametrize('name', GOOD)
    def test_that_torch_takes_are_taken(self, name):
        check_domain_name(name)
        domains = ModuleDict({name: nn.Linear(1, 1)})
        assert list(domains.state_dict()) == [f'{name}.weight', f'{name}.bias']

    @pytest.mark.parametrize('name', ['', 'a.b', 'keys', 'items', 'training', 'pop', 'init_cfg'])
    def test_that_torch_refuses_are_refused_before_it_does(self, name):
        with pytest.raises(KeyError):
            ModuleDict({name: nn.Linear(1, 1)})
        with pytest.raises(ValueError, match=r'choose another name, of letters, digits, _ and -'):
            check_domain_name(name)

    @pytest.mark.parametrize(
        ('name', 'problem'),
        [
            ('', "domain '': it is empty"),
            (' day', 'domain  day: it is empty, or begins or ends with a blank'),
            (
                'day/1',
                "domain day/1: it contains '/', which separates the names of weights or metrics",
            ),
            ('day\\1', r"domain day\\1: it contains '\\\\'"),
            ('day\n', r"domain 'day\\n': it is empty, or begins or ends with a blank"),
            ('d\nay', r"domain 'd\\nay': it contains '\\n'"),
            ('lossy', 'domain lossy: its name contains "loss"'),
            ('keys', 'domain keys: torch and mmengine have attributes of this name'),
            ('weight', 'domain weight: torch and mmengine have attributes of this name'),
            ('bias', 'domain bias: torch and mmengine have attributes of this name'),
            (3, 'domain 3: it is a int'),
        ],
    )
    def test_errors_name_the_domain_and_the_reason(self, name, problem):
        with pytest.raises(ValueError, match=f'^{problem}'):
            check_domain_name(name)


class TestClassNames:
    @pytest.mark.parametrize('classes', [('a', 'b'), ['screen door, screen'], ('N/A', 'v1.2', '-')])
    def test_that_tell_classes_apart_are_taken(self, classes):
        check_class_names(classes, 'domain day')

    @pytest.mark.parametrize(
        ('classes', 'problem'),
        [
            ('road', r"classes is the text 'road', .* write classes=\('road',\)"),
            (('a', 'b', 'a'), r"repeated names in classes \('a', 'b', 'a'\)"),
            (('a', ''), r"'' in classes .* is no name"),
            (('a', 1), '1 in classes .* is no name'),
        ],
    )
    def test_errors_name_their_owner(self, classes, problem):
        with pytest.raises(ValueError, match=f'^domain day: {problem}'):
            check_class_names(classes, 'domain day')
