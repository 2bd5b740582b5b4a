"""Find what is wrong with an installation before it breaks a training.

Each problem is a sentence that names the thing, the value found, what was expected and the fix.

Only the standard library and packaging are imported here, and torch, torchvision and OpenCV only
where they are tried, so the file works where the rest of the package cannot be imported::

    python cct_mm/environment.py
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

Versions = Mapping[str, str]  # by canonical name of the distribution

PIP = 'pip install -c constraints.txt'

try:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.specifiers import Specifier, SpecifierSet
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    PACKAGING_PROBLEM = None
except ImportError as error:
    PACKAGING_PROBLEM = (
        f'packaging cannot be imported ({error}), expected it for comparing versions; '
        f'run {PIP} -e . and check again.'
    )

# Import names of which more than one distribution exists, with the one that setup.py asks for.
CONTESTED = {'mmengine': 'onedl-mmengine', 'mmcv': 'onedl-mmcv', 'mmseg': 'onedl-mmsegmentation'}

# What may stand in for a distribution that setup.py asks for, with the versions that do; an
# empty range means the one that setup.py declares.
STAND_INS = {
    'onedl-mmengine': {'mmengine': '>=0.10,<1'},
    # Not mmcv-lite: mmseg 1.2.2 imports mmcv.ops.
    'onedl-mmcv': {'mmcv': '>=2.1,<2.2'},
    'onedl-mmsegmentation': {'mmsegmentation': '>=1.2.2,<2'},
    'opencv-python': {
        'opencv-python-headless': '',
        'opencv-contrib-python': '',
        'opencv-contrib-python-headless': '',
    },
}

# Asked for where cct_mm itself is not installed, so that its ranges are unknown.
REQUIRED = ('torch', 'torchvision', *CONTESTED.values(), 'numpy', 'opencv-python')


@dataclass
class Installation:
    """What the checks look at; requirements are lines of ``Requires-Dist``."""

    versions: Versions
    requirements: Sequence[str]
    torchvision_requirements: Sequence[str]
    owners: Mapping[str, Set[str]]  # the distributions that install a folder, by its name

    @classmethod
    def read(cls, distributions: Iterable[metadata.Distribution] | None = None) -> Installation:
        """Read the distributions, by default all on ``sys.path``."""
        firsts: dict[str, metadata.Distribution] = {}
        owners: dict[str, set[str]] = {package: set() for package in CONTESTED}
        for distribution in distributions or metadata.distributions():
            # An interrupted uninstallation leaves folders without a name behind.
            if not distribution.metadata['Name']:
                continue
            name = canonicalize_name(distribution.metadata['Name'])
            # Of two on the path the first counts, as it does for an import.
            firsts.setdefault(name, distribution)
            # Some have no top_level.txt, and an editable installation lists no files: so both.
            top_level = (distribution.read_text('top_level.txt') or '').split()
            record = '\n' + (distribution.read_text('RECORD') or '')
            for package, names in owners.items():
                if package in top_level or f'\n{package}/__init__.py,' in record:
                    names.add(name)
        versions = {name: first.version or 'unknown' for name, first in firsts.items()}
        own, torchvisions = (
            firsts[name].requires if name in firsts else None for name in ('cct-mm', 'torchvision')
        )
        return cls(versions, own or REQUIRED, torchvisions or (), owners)


def release(version: str) -> Version:
    """Return the numbers at the start of a version, or else 0: 2.11.0 of 2.11.0.dev2026+cu130."""
    numbers = re.match(r'\s*v?((\d+!)?\d+(\.\d+)*)', version, re.IGNORECASE)
    return Version(numbers[1] if numbers else '0')


def satisfies(version: str, wanted: SpecifierSet) -> bool:
    """Tell whether a version lies in a range, where nightly builds count as releases."""
    for clause in wanted:
        bound = clause.version if clause.version.endswith('.*') else release(clause.version)
        if not Specifier(f'{clause.operator}{bound}').contains(release(version)):
            return False
    return True


def answers(requirements: Iterable[str], versions: Versions) -> Iterator[tuple[str, SpecifierSet]]:
    """Yield the distribution that answers each requirement, with the range it has to lie in.

    It is the one asked for or, where that is missing, an installed stand-in. A line whose marker
    is false here is left out, unless an extra makes it true and its distribution is installed.

    Raises:
        ValueError: A line cannot be read; it is quoted.
    """
    for line in requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise ValueError(
                f'requirement {line!r}: expected a distribution name at its start, then version '
                'clauses such as >=2.1, ==2.4.0 or ==2.*'
            ) from error
        asked = canonicalize_name(requirement.name)
        stand_ins = STAND_INS.get(asked, {})
        name = next((name for name in (asked, *stand_ins) if name in versions), asked)
        marker = requirement.marker
        # The name of an extra is among the values that the marker quotes.
        extras = ['', *re.findall('"([^"]*)"', str(marker))] if name in versions else ['']
        if marker is None or any(marker.evaluate({'extra': extra}) for extra in extras):
            yield name, SpecifierSet(stand_ins.get(name, '')) or requirement.specifier


def version_problems(requirements: Iterable[str], versions: Versions) -> Iterator[str]:
    """Name the :func:`answers` that are missing or outside their range."""
    for name, wanted in answers(requirements, versions):
        if name not in versions:
            yield f'{name} is not installed, expected {wanted or "any version"}; run {PIP} -e .'
        elif not satisfies(versions[name], wanted):
            yield f"{name} is {versions[name]}, expected {wanted}; run {PIP} '{name}{wanted}'."


def duplicate_problems(owners: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Name the packages that several distributions write into one folder, mixing their files."""
    for package, listed in owners.items():
        names = sorted(set(listed))
        if len(names) > 1:
            # Removing one of them removes files of the other, so both have to go.
            yield (
                f'{package}/ belongs to {len(names)} distributions, {" and ".join(names)}, '
                f'expected one; run pip uninstall -y {" ".join(names)}, then '
                f'{PIP} {CONTESTED[package]}.'
            )


def torch_mismatch(versions: Versions, torchvision_requirements: Iterable[str]) -> str | None:
    """Compare torch with the version that torchvision asks for."""
    # Other lines of old releases may be unreadable, and do not matter here; nor do extras.
    lines = [line for line in torchvision_requirements if re.match(r'torch(?![\w.-])', line)]
    for _, wanted in answers(lines, {}) if {'torch', 'torchvision'} <= versions.keys() else ():
        if not satisfies(versions['torch'], wanted):
            return (
                f'torch is {versions["torch"]}, but torchvision {versions["torchvision"]} expects '
                f'torch{wanted}; install the two together: {PIP} torch torchvision.'
            )
    return None


@dataclass
class Trial:
    """Something to run because matching versions do not vouch for it."""

    name: str
    needs: tuple[str, ...]  # not run where one of these distributions is missing
    run: Callable[[], object]
    # What was expected and the fix; None where the error is no problem.
    expected: str | Callable[[Exception, Versions], str | None]

    def problem(self, versions: Versions) -> str | None:
        """Run; return a sentence with the error where that fails."""
        if not set(self.needs) <= versions.keys():
            return None
        try:
            self.run()
        except Exception as error:  # a broken build raises anything from OSError to AttributeError
            expected = self.expected(error, versions) if callable(self.expected) else self.expected
            used = ' and '.join(f'{name} {versions[name]}' for name in self.needs)
            fails = f'{self.name} fails with {used}' if used else f'{self.name} fails'
            # Errors of torchvision run over a paragraph.
            text = str(error).strip().partition('\n')[0]
            described = ': '.join(filter(None, (type(error).__name__, text)))
            return expected and f'{fails} ({described}), expected {expected}.'
        return None


def _run_nms() -> None:
    import torch
    import torchvision

    torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)


def _expected_of_opencv(error: Exception, versions: Versions) -> str | None:
    builds = [name for name in ('opencv-python', *STAND_INS['opencv-python']) if name in versions]
    if not builds and isinstance(error, ModuleNotFoundError) and error.name == 'cv2':
        return None  # version_problems says that it is not installed
    if re.search('libGL|libgthread|libglib', str(error)):
        # The loader names only the first library it misses, so all are installed at once.
        return (
            'the system libraries of opencv-python; run apt-get install libgl1 libglib2.0-0, or '
            'without root: pip uninstall -y opencv-python, then pip install opencv-python-headless'
        )
    return f'it to work; run {PIP} --force-reinstall {" ".join(builds or ["opencv-python"])} numpy'


TRIALS = (
    # A CPU-only torch beside a torchvision built for CUDA has matching versions and no operators,
    # and then every mmengine Runner fails as it starts.
    Trial(
        'torchvision.ops.nms',
        ('torch', 'torchvision'),
        _run_nms,
        'builds of one release and one kind (a CPU-only torch needs the CPU-only torchvision); '
        f'run pip uninstall -y torch torchvision, then {PIP} torch torchvision',
    ),
    # Before 2.3, torch has no bridge to numpy 2.
    Trial(
        'torch.Tensor.numpy',
        ('torch', 'numpy'),
        lambda: import_module('torch').zeros(1).numpy(),
        f'a torch built for this numpy; run {PIP} torch torchvision numpy',
    ),
    # Its wheel wants system libraries that a bare Debian lacks. Removing one of two distributions
    # that own cv2/ may leave a folder, which imports, empty: so it is called.
    Trial('import cv2', (), lambda: import_module('cv2').getVersionString(), _expected_of_opencv),
)


def problems(here: Installation | None = None, trials: Iterable[Trial] = TRIALS) -> list[str]:
    """Return a sentence for each problem of an installation, by default of this interpreter."""
    if PACKAGING_PROBLEM:
        return [PACKAGING_PROBLEM]
    here = here or Installation.read()
    mismatch = torch_mismatch(here.versions, here.torchvision_requirements)
    found = [*version_problems(here.requirements, here.versions), *duplicate_problems(here.owners)]
    found.append(mismatch)
    for trial in trials:
        # Versions that do not match explain a failing operator: one cause, one sentence.
        if not (mismatch and 'torchvision' in trial.needs):
            found.append(trial.problem(here.versions))
    return [sentence for sentence in found if sentence]


def version_table(requirements: Iterable[str], versions: Versions) -> str:
    """Return lines of name, version and range of the :func:`answers`."""
    rows = [('python', platform.python_version(), '')]
    for name, wanted in [('cct-mm', ''), *answers(requirements, versions)]:
        rows.append((name, versions.get(name, 'not installed'), str(wanted)))
    left, middle = (max(len(row[column]) for row in rows) for column in range(2))
    return '\n'.join(f'{row[0]:{left}}  {row[1]:{middle}}  {row[2]}'.rstrip() for row in rows)


def main() -> int:
    """Print the versions and the problems of this interpreter; return 1 if there are any, or 0."""
    here = None if PACKAGING_PROBLEM else Installation.read()
    if here:
        print(version_table(here.requirements, here.versions), flush=True)
    found = problems(here)
    for sentence in found:
        print(f'Problem: {sentence}', file=sys.stderr)
    if not found:
        print('No problem found.')
    return 1 if found else 0


if __name__ == '__main__':
    # Run by path, this folder leads sys.path, and a module of the package could pass for one of
    # the standard library's while torch is imported.
    if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
        del sys.path[0]
    sys.exit(main())
