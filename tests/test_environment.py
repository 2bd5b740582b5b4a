import dataclasses
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from cct_mm import environment
from cct_mm.environment import (
    TRIALS,
    Installation,
    answers,
    duplicate_problems,
    problems,
    release,
    satisfies,
    torch_mismatch,
    version_problems,
    version_table,
)

ROOT = Path(__file__).parent.parent
REQUIREMENTS = [
    'torch<3,>=2.1',
    'torchvision<1,>=0.16',
    'onedl-mmengine<0.11,>=0.10.8',
    'onedl-mmcv<3,>=2.3.3',
    'onedl-mmsegmentation<2,>=1.4',
    'numpy<3,>=1.26',
    'opencv-python<6,>=4.8',
    'timm<2,>=1.0.3; extra == "efficientnet"',
]
INSTALLED = {
    'torch': '2.14.1',
    'torchvision': '0.29.1',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmsegmentation': '1.4.2',
    'numpy': '2.4.6',
    'opencv-python': '5.0.0.93',
}

numbers = st.lists(st.integers(0, 3), min_size=2, max_size=4).map(lambda n: '.'.join(map(str, n)))
versions = st.builds(str.__add__, numbers, st.sampled_from(['', '+cpu', '+cu130']))
clauses = st.one_of(
    st.builds(str.__add__, st.sampled_from(['==', '!=', '<=', '>=', '<', '>', '~=']), numbers),
    st.builds('{}{}.*'.format, st.sampled_from(['==', '!=']), numbers),
)
ranges = st.lists(clauses, max_size=3).map(','.join)


def fails_with(error):
    def run():
        raise error

    return run


def passes():
    pass


def trials(*runs):
    """Return the trials of nms, numpy and OpenCV with these functions in place of theirs."""
    return [dataclasses.replace(old, run=run) for old, run in zip(TRIALS, runs, strict=True)]


def operator_problem(installed, run):
    return trials(run, passes, passes)[0].problem(installed)


def numpy_problem(installed, run):
    return trials(passes, run, passes)[1].problem(installed)


def opencv_problem(run, installed=None):
    return trials(passes, passes, run)[2].problem(installed or {})


class FakeDistribution:
    """What the checks read of ``importlib.metadata.Distribution``."""

    def __init__(self, name, version='1.0', requires=None, **files):
        self.metadata = {'Name': name}
        self.version = version
        self.requires = requires
        self.files_by_name = {key.replace('_txt', '.txt'): text for key, text in files.items()}

    def read_text(self, filename):
        return self.files_by_name.get(filename)


@given(versions, ranges)
def test_ranges_mean_what_packaging_says(version, clauses):
    assert satisfies(version, SpecifierSet(clauses)) == SpecifierSet(clauses).contains(version)


@pytest.mark.parametrize('version', ['2.15.0.dev20260101+cu130', '2.15.0rc1', '2.15', 'v2.15.0'])
def test_suffixes_and_trailing_zeros_do_not_count(version):
    assert release(version) == Version('2.15')


@pytest.mark.parametrize(
    ('version', 'wanted'),
    [
        ('2.11.0.dev2026', '>=2.5'),
        ('2.11.0.dev2026', '>=2.11'),
        ('2.11.0rc1+cu130', '==2.11.0'),
        ('2.11.0.post1', '==2.11.0'),
        ('2.11.0', '==2.11.0.dev20260115'),
        ('2.11.0.dev20260116+cu130', '==2.11.0.dev20260115'),
        ('2.1.0a0+41361538.nv23.06', '>=2.1,<3'),
        ('4.8.0-dirty', '>=4.8,<6'),
        ('2.0.1', '==2.0.*'),
    ],
)
def test_a_nightly_build_counts_as_its_release(version, wanted):
    assert satisfies(version, SpecifierSet(wanted))
    assert not satisfies(f'0{version[1:]}', SpecifierSet(wanted))


@pytest.mark.parametrize(
    ('version', 'wanted'),
    [('3.0.0.dev2026', '<3'), ('2.11.0.dev2026', '!=2.11'), ('2.1', '==2.0.*')],
)
def test_a_nightly_build_of_an_excluded_release_is_excluded(version, wanted):
    assert not satisfies(version, SpecifierSet(wanted))


def test_an_unreadable_version_lies_in_no_range_with_a_lower_bound():
    assert not satisfies('unknown', SpecifierSet('>=2.1'))


@pytest.mark.parametrize('clause', ['2.1', '=>2.1', '>=', '>=2.*', '~=2.*', '>=latest'])
def test_a_clause_that_is_none_is_refused_by_name(clause):
    with pytest.raises(ValueError, match='expected .*version clauses such as') as error:
        list(answers([f'torch {clause}'], {}))
    assert repr(f'torch {clause}') in str(error.value)


@pytest.mark.parametrize(
    ('line', 'name', 'wanted', 'required', 'optional'),
    [
        ('torch', 'torch', '', True, True),
        ('torch==2.10.0', 'torch', '==2.10.0', True, True),
        ('torch (>=2.14.0)', 'torch', '>=2.14.0', True, True),
        ('pillow (!=8.3.*,>=5.3.0)', 'pillow', '>=5.3.0,!=8.3.*', True, True),
        ('Typing_Extensions >= 4.10.0', 'typing-extensions', '>=4.10.0', True, True),
        (
            f'cuda-toolkit[cublas,cudart]==13.0.3; sys_platform == "{sys.platform}"',
            'cuda-toolkit',
            '==13.0.3',
            True,
            True,
        ),
        ("scipy ; extra == 'scipy'", 'scipy', '', False, True),
        ('timm>=1; python_version > "3" and extra == "Efficient_Net"', 'timm', '>=1', False, True),
        ('timm>=1; python_version < "3" and extra == "efficientnet"', 'timm', '', False, False),
        ('numpy<2; python_version < "3.10"', 'numpy', '', False, False),
        ('numpy>=2; python_version >= "3.10"', 'numpy', '>=2', True, True),
        ('pywin32; sys_platform == "nowhere"', 'pywin32', '', False, False),
    ],
)
def test_requirements_mean_what_packaging_says(line, name, wanted, required, optional):
    theirs = Requirement(line)
    assert canonicalize_name(theirs.name) == name
    absent, present = list(answers([line], {})), list(answers([line], {name: '1'}))
    assert absent == ([(name, SpecifierSet(wanted))] if required else [])
    assert present == ([(name, SpecifierSet(wanted))] if optional else [])
    if optional:
        assert theirs.specifier == SpecifierSet(wanted)


def test_of_two_lines_by_python_version_the_one_that_holds_here_counts():
    lines = ['numpy<1; python_version < "3.10"', 'numpy>=2; python_version >= "3.10"']
    assert not list(version_problems(lines, {'numpy': '2.4.6'}))
    (sentence,) = version_problems(lines, {'numpy': '0.9'})
    assert sentence.startswith('numpy is 0.9, expected >=2;')
    (sentence,) = version_problems(lines, {})
    assert sentence.startswith('numpy is not installed, expected >=2;')


def test_a_requirement_without_a_name_is_refused():
    with pytest.raises(ValueError, match='expected a distribution name'):
        list(answers(['>=2.1'], {}))


def test_the_tested_set_has_no_problem():
    assert not list(version_problems(REQUIREMENTS, INSTALLED))


@pytest.mark.parametrize('name', INSTALLED)
def test_each_missing_distribution_is_named_with_its_range(name):
    rest = {key: version for key, version in INSTALLED.items() if key != name}
    (sentence,) = version_problems(REQUIREMENTS, rest)
    assert sentence.startswith(f'{name} is not installed, expected <')
    assert 'pip install -c constraints.txt' in sentence


@pytest.mark.parametrize('name', INSTALLED)
def test_each_version_outside_its_range_is_named_with_value_and_range(name):
    (sentence,) = version_problems(REQUIREMENTS, {**INSTALLED, name: '0.0.1'})
    (wanted,) = (line for line in REQUIREMENTS if line.startswith(f'{name}<'))
    assert sentence.startswith(f'{name} is 0.0.1, expected {wanted.removeprefix(name)};')
    assert f"'{wanted}'" in sentence


def test_an_extra_is_judged_only_where_it_is_installed():
    assert not list(version_problems(REQUIREMENTS, {**INSTALLED, 'timm': '1.0.31'}))
    (sentence,) = version_problems(REQUIREMENTS, {**INSTALLED, 'timm': '0.6.13'})
    assert sentence.startswith('timm is 0.6.13')


@pytest.mark.parametrize(
    ('asked', 'stand_in', 'good', 'bad'),
    [
        ('onedl-mmengine', 'mmengine', '0.10.7', '0.7.4'),
        ('onedl-mmcv', 'mmcv', '2.1.0', '2.2.0'),
        ('onedl-mmsegmentation', 'mmsegmentation', '1.2.2', '0.30.0'),
        ('opencv-python', 'opencv-python-headless', '4.13.0.92', '3.4.18.65'),
    ],
)
def test_a_stand_in_is_taken_in_its_own_range(asked, stand_in, good, bad):
    rest = {key: version for key, version in INSTALLED.items() if key != asked}
    assert not list(version_problems(REQUIREMENTS, {**rest, stand_in: good}))
    (sentence,) = version_problems(REQUIREMENTS, {**rest, stand_in: bad})
    assert sentence.startswith(f'{stand_in} is {bad}, expected ')


def test_two_owners_of_a_package_are_both_named_and_both_uninstalled():
    owners = {'mmseg': ['onedl-mmsegmentation', 'mmsegmentation'], 'mmcv': ['onedl-mmcv']}
    (sentence,) = duplicate_problems(owners)
    assert sentence.startswith('mmseg/ belongs to 2 distributions')
    assert 'pip uninstall -y mmsegmentation onedl-mmsegmentation' in sentence
    assert sentence.endswith('pip install -c constraints.txt onedl-mmsegmentation.')


def test_one_owner_listed_twice_is_one_owner():
    assert not list(duplicate_problems({'mmcv': ['onedl-mmcv', 'onedl-mmcv'], 'mmseg': []}))


def test_owners_are_found_by_top_level_and_by_files():
    distributions = [
        FakeDistribution('onedl-mmsegmentation', top_level_txt='docs\nmmseg\n'),
        FakeDistribution('MMSegmentation', RECORD='mmseg/__init__.py,sha256=x,1\n'),
        FakeDistribution('other', RECORD='other/mmseg/__init__.py,sha256=x,1\n'),
        FakeDistribution(None, top_level_txt='mmseg'),
    ]
    assert Installation.read(distributions).owners == {
        'mmseg': {'mmsegmentation', 'onedl-mmsegmentation'},
        'mmcv': set(),
        'mmengine': set(),
    }


def test_the_first_of_two_versions_on_the_path_counts():
    distributions = [
        FakeDistribution('Typing_Extensions', '4.16.0'),
        FakeDistribution('typing-extensions', '4.1.0'),
        FakeDistribution(None),
    ]
    assert Installation.read(distributions).versions == {'typing-extensions': '4.16.0'}


@pytest.mark.parametrize('requirement', ['torch==2.14.0', 'torch (==2.14.0)', 'torch (>=2.15.0)'])
def test_a_torch_that_torchvision_does_not_expect_is_named(requirement):
    sentence = torch_mismatch(INSTALLED, ['numpy', requirement])
    wanted = Requirement(requirement).specifier
    assert sentence.startswith(f'torch is 2.14.1, but torchvision 0.29.1 expects torch{wanted};')


@pytest.mark.parametrize('requires', [['torch==2.14.1'], ['torch (>=2.14.0)'], ['numpy'], []])
def test_a_torch_that_torchvision_expects_is_no_problem(requires):
    assert torch_mismatch({**INSTALLED, 'torch': '2.14.1+cu130'}, requires) is None


def test_a_failing_operator_is_reported_with_its_error_on_one_line():
    error = RuntimeError('operator torchvision::nms does not exist\nmore')
    sentence = operator_problem({**INSTALLED, 'torch': '2.14.1+cpu'}, fails_with(error))
    assert 'RuntimeError: operator torchvision::nms does not exist)' in sentence
    assert '2.14.1+cpu' in sentence
    assert '0.29.1' in sentence
    assert '\n' not in sentence


def test_an_operator_that_works_is_no_problem():
    assert operator_problem(INSTALLED, passes) is None


def test_the_operator_is_not_tried_where_its_packages_are_missing():
    assert operator_problem({'torch': '2.14.1'}, fails_with(AssertionError('tried'))) is None


def test_a_torch_built_for_another_numpy_is_reported_with_both_versions():
    installed = {**INSTALLED, 'torch': '2.1.0', 'numpy': '2.0.1'}
    sentence = numpy_problem(installed, fails_with(RuntimeError('Numpy is not available')))
    assert 'torch 2.1.0 and numpy 2.0.1 (RuntimeError: Numpy is not available)' in sentence
    assert numpy_problem(installed, passes) is None
    assert numpy_problem({'numpy': '2.0.1'}, fails_with(AssertionError('tried'))) is None


@pytest.mark.parametrize('library', ['libGL.so.1', 'libgthread-2.0.so.0'])
def test_a_missing_system_library_is_named_with_its_debian_package(library):
    text = f'{library}: cannot open shared object file: No such file or directory'
    sentence = opencv_problem(fails_with(ImportError(text)))
    assert library in sentence
    assert 'apt-get install libgl1 libglib2.0-0' in sentence
    assert 'opencv-python-headless' in sentence


def test_another_import_error_of_opencv_keeps_its_text():
    sentence = opencv_problem(fails_with(ImportError('numpy.core.multiarray failed to import')))
    assert 'numpy.core.multiarray failed to import' in sentence
    assert 'apt-get' not in sentence


def test_a_missing_opencv_is_left_to_the_version_check():
    assert opencv_problem(fails_with(ModuleNotFoundError('No module', name='cv2'))) is None
    sentence = opencv_problem(fails_with(ModuleNotFoundError('No module', name='numpy')))
    assert sentence is not None


def test_an_opencv_whose_files_are_gone_is_named_with_every_build_that_is_installed():
    # What is left after the removal of one of two distributions that share the folder.
    gone = fails_with(ModuleNotFoundError("No module named 'cv2'", name='cv2'))
    rest = {key: version for key, version in INSTALLED.items() if key != 'opencv-python'}
    assert opencv_problem(gone, rest) is None
    sentence = opencv_problem(gone, {**INSTALLED, 'opencv-python-headless': '4.13.0.92'})
    assert "No module named 'cv2'" in sentence
    assert '--force-reinstall opencv-python opencv-python-headless' in sentence


def test_the_requirements_are_those_of_this_package_and_of_torchvision():
    distributions = [
        FakeDistribution('cct_mm', requires=['torch>=2.1']),
        FakeDistribution('cct-mm', requires=['torch>=9']),
        FakeDistribution('torchvision', requires=['torch==2.14.1']),
        FakeDistribution('other', requires=['torch<1']),
    ]
    installation = Installation.read(distributions)
    assert installation.requirements == ['torch>=2.1']
    assert installation.torchvision_requirements == ['torch==2.14.1']
    assert Installation.read(distributions[3:]).requirements == environment.REQUIRED


@pytest.fixture
def healthy():
    return Installation(
        versions=INSTALLED,
        requirements=REQUIREMENTS,
        torchvision_requirements=['torch (>=2.14.0)'],
        owners={'mmseg': {'onedl-mmsegmentation'}},
    )


HEALTHY_TRIALS = trials(passes, passes, passes)


def test_a_healthy_environment_has_no_problem(healthy):
    assert problems(healthy, HEALTHY_TRIALS) == []


def test_every_kind_of_problem_is_reported_once_and_as_a_sentence(healthy):
    broken = dataclasses.replace(
        healthy,
        versions={**INSTALLED, 'numpy': '1.21.0'},
        owners={'mmseg': {'mmsegmentation', 'onedl-mmsegmentation'}},
    )
    failing = trials(
        fails_with(RuntimeError('operator torchvision::nms does not exist')),
        fails_with(RuntimeError('Numpy is not available')),
        fails_with(ImportError('libGL.so.1: cannot open')),
    )
    found = problems(broken, failing)
    things = ['numpy', 'mmseg/', 'torchvision', 'torch.Tensor.numpy', 'import cv2']
    for sentence, thing in zip(found, things, strict=True):
        assert sentence.startswith(thing)
        assert 'expected' in sentence
        assert 'run ' in sentence
        assert sentence.endswith('.')


def test_a_mismatch_and_the_operator_it_breaks_are_one_problem(healthy):
    broken = dataclasses.replace(healthy, torchvision_requirements=['torch==2.10.0'])
    run = fails_with(RuntimeError('operator torchvision::nms does not exist'))
    (sentence,) = problems(broken, trials(run, passes, passes))
    assert sentence.startswith('torch is 2.14.1, but torchvision')


def test_lines_of_torchvision_that_nobody_can_read_do_not_matter(healthy):
    lines = ['pillow (>=5.3.*)', 'torch (>=2.14.0)', 'torch-extra (>=9.*)']
    installation = dataclasses.replace(healthy, torchvision_requirements=lines)
    assert problems(installation, HEALTHY_TRIALS) == []


def test_an_empty_environment_names_every_package(healthy):
    empty = dataclasses.replace(healthy, versions={}, requirements=environment.REQUIRED, owners={})
    found = problems(empty, HEALTHY_TRIALS)
    assert [sentence.split()[0] for sentence in found] == list(environment.REQUIRED)


def test_the_table_shows_the_stand_in_and_leaves_absent_extras_out():
    rest = {key: version for key, version in INSTALLED.items() if key != 'opencv-python'}
    table = version_table(REQUIREMENTS, {**rest, 'opencv-python-headless': '4.13.0.92'})
    assert 'opencv-python-headless  4.13.0.92' in table
    assert 'timm' not in table
    assert all(name in table for name in rest)


def test_this_environment_has_no_problem():
    assert problems() == []


def test_the_check_runs_by_path_without_importing_the_package():
    # -X importtime lists what was imported: the package would pull mmseg in.
    run = subprocess.run(
        [sys.executable, '-X', 'importtime', str(ROOT / 'cct_mm' / 'environment.py')],
        capture_output=True,
        text=True,
        check=False,
    )
    imported = {line.rpartition('|')[2].strip() for line in run.stderr.splitlines()}
    assert run.returncode == 0, run.stderr[-2000:]
    assert 'torchvision' in imported
    assert not imported & {'cct_mm', 'mmengine', 'mmcv', 'mmseg'}
    assert run.stdout.startswith('python')


def test_without_packaging_a_sentence_says_so():
    hide = 'import runpy, sys; sys.modules["packaging"] = None; '
    script = str(ROOT / 'cct_mm' / 'environment.py')
    run = subprocess.run(
        [sys.executable, '-c', f'{hide}runpy.run_path({script!r}, run_name="__main__")'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stdout == ''
    (sentence,) = run.stderr.splitlines()
    assert re.match(r'Problem: packaging .*expected .*; run pip install ', sentence)


def test_without_packaging_the_problems_are_that_one(monkeypatch):
    monkeypatch.setitem(sys.modules, 'packaging', None)
    for name in [name for name in sys.modules if name.startswith('packaging.')]:
        monkeypatch.delitem(sys.modules, name)
    (sentence,) = runpy.run_path(str(ROOT / 'cct_mm' / 'environment.py'))['problems']()
    assert sentence.startswith('packaging ')
