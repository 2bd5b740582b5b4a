"""Find what is wrong with an installation before it breaks a training.

Every check takes what it looks at as arguments and returns sentences that name the thing, the
value found, what was expected and the fix; :func:`problems` runs them all on this interpreter.

Only the standard library and packaging are imported here, and torch, torchvision and OpenCV only
where they are tried, so the file works where the rest of the package cannot be imported::

    python cct_mm/environment.py
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

Run = Callable[[], object]
Versions = Mapping[str, str]
Distributions = Iterable[metadata.Distribution]

PIP = 'pip install -c constraints.txt'

try:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.specifiers import Specifier, SpecifierSet
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version
except ImportError as error:
    PACKAGING_PROBLEM = (
        f'packaging cannot be imported ({error}), expected it for comparing versions; '
        f'run {PIP} -e . and check again.'
    )
else:
    PACKAGING_PROBLEM = None

# Import names of which more than one distribution exists, with the one that setup.py asks for.
CONTESTED = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmseg': 'onedl-mmsegmentation',
}

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

# System libraries that the OpenCV wheel expects, and the Debian packages that hold them.
SYSTEM_LIBRARIES = ('libGL', 'libgthread', 'libglib')
SYSTEM_PACKAGES = 'libgl1 libglib2.0-0'


def parse_requirement(line: str) -> Requirement:
    """Read a line of ``Requires-Dist``; raise a ValueError that quotes one that cannot be read."""
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        raise ValueError(
            f'requirement {line!r}: expected a distribution name at its start, then version '
            'clauses such as >=2.1, ==2.4.0 or ==2.*'
        ) from error


def holds(requirement: Requirement, extra: str = '') -> bool:
    """Tell whether the requirement's marker, if it has one, is true here under this extra."""
    return requirement.marker is None or requirement.marker.evaluate({'extra': extra})


def release(version: str) -> Version:
    """Return the release that a version leads to: 2.11.0 for ``2.11.0.dev2026+cu130``.

    A version that packaging cannot read counts by the numbers at its start, or else as 0.
    """
    try:
        return Version(Version(version).base_version)
    except InvalidVersion:
        return Version((re.match(r'\d+(\.\d+)*', version) or ['0'])[0])


def satisfies(version: str, wanted: SpecifierSet) -> bool:
    """Tell whether a version lies in a range, where nightly builds count as releases."""
    for clause in wanted:
        is_prefix = clause.version.endswith('.*')
        bound = clause.version if is_prefix else release(clause.version)
        if not Specifier(f'{clause.operator}{bound}').contains(release(version)):
            return False
    return True


def _named(distributions: Distributions | None) -> Iterator[tuple[str, metadata.Distribution]]:
    for distribution in metadata.distributions() if distributions is None else distributions:
        # An interrupted uninstallation leaves folders without a name behind.
        if name := distribution.metadata['Name']:
            yield canonicalize_name(name), distribution


def installed_versions(distributions: Distributions | None = None) -> dict[str, str]:
    """Return canonical name -> version of the distributions, by default all on ``sys.path``."""
    versions: dict[str, str] = {}
    for name, distribution in _named(distributions):
        # Of two on the path the first counts, as it does for an import.
        versions.setdefault(name, distribution.version or 'unknown')
    return versions


def package_owners(
    packages: Iterable[str] = tuple(CONTESTED), distributions: Distributions | None = None
) -> dict[str, list[str]]:
    """Return import name -> sorted names of the distributions that install its folder.

    ``importlib.metadata.packages_distributions`` would do, but on Python 3.10 it knows only
    distributions with a ``top_level.txt``, and onedl-mmengine has none.
    """
    owners: dict[str, set[str]] = {package: set() for package in packages}
    for name, distribution in _named(distributions):
        # An editable installation lists no files of its package, only its top level.
        top_level = (distribution.read_text('top_level.txt') or '').split()
        record = '\n' + (distribution.read_text('RECORD') or '')
        for package, names in owners.items():
            if package in top_level or f'\n{package}/__init__.py,' in record:
                names.add(name)
    return {package: sorted(names) for package, names in owners.items()}


def requirements_of(name: str) -> list[str]:
    """Return the ``Requires-Dist`` lines of a distribution; none where it is not installed."""
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def answers(requirements: Iterable[str], installed: Versions) -> Iterator[tuple[str, SpecifierSet]]:
    """Yield the distribution that answers each requirement, with the range it has to lie in.

    It is the one asked for or, where that is missing, an installed stand-in. A line whose marker
    is false here is left out, unless an extra makes it true and its distribution is installed.

    Args:
        requirements: Lines of ``Requires-Dist``.
        installed: Canonical name -> version.
    """
    for requirement in map(parse_requirement, requirements):
        asked = canonicalize_name(requirement.name)
        stand_ins = STAND_INS.get(asked, {})
        name = next((name for name in (asked, *stand_ins) if name in installed), asked)
        # The name of an extra is among the values that the marker quotes.
        extras = re.findall('"([^"]*)"', str(requirement.marker)) if name in installed else []
        if any(holds(requirement, extra) for extra in ('', *extras)):
            yield name, SpecifierSet(stand_ins.get(name, '')) or requirement.specifier


def version_problems(requirements: Iterable[str], installed: Versions) -> list[str]:
    """Name the :func:`answers` that are missing or outside their range."""
    found = []
    for name, wanted in answers(requirements, installed):
        if name not in installed:
            found.append(
                f'{name} is not installed, expected {wanted or "any version"}; run {PIP} -e .'
            )
        elif not satisfies(installed[name], wanted):
            found.append(
                f"{name} is {installed[name]}, expected {wanted}; run {PIP} '{name}{wanted}'."
            )
    return found


def duplicate_problems(owners: Mapping[str, Sequence[str]]) -> list[str]:
    """Name the packages that several distributions write into one folder, mixing their files."""
    found = []
    for package, names in owners.items():
        distinct = sorted(set(names))
        if len(distinct) > 1:
            # Removing one of them removes files of the other, so both have to go.
            found.append(
                f'{package}/ belongs to {len(distinct)} distributions, {" and ".join(distinct)}, '
                f'expected one; run pip uninstall -y {" ".join(distinct)}, then '
                f'{PIP} {CONTESTED.get(package, distinct[0])}.'
            )
    return found


def torch_mismatch(installed: Versions, torchvision_requires: Iterable[str]) -> str | None:
    """Compare torch with the version that torchvision's ``Requires-Dist`` lines ask for."""
    if not {'torch', 'torchvision'} <= installed.keys():
        return None
    # Other lines of old releases may be unreadable, and do not matter here.
    lines = [line for line in torchvision_requires if re.match(r'torch(?![\w.-])', line)]
    for requirement in map(parse_requirement, lines):
        if holds(requirement) and not satisfies(installed['torch'], requirement.specifier):
            return (
                f'torch is {installed["torch"]}, but torchvision {installed["torchvision"]} '
                f'expects torch{requirement.specifier}; install the two together: '
                f'{PIP} torch torchvision.'
            )
    return None


def _describe(error: Exception) -> str:
    # Errors of torchvision run over a paragraph.
    first_line = str(error).strip().partition('\n')[0]
    return ': '.join(filter(None, (type(error).__name__, first_line)))


def _trial(
    thing: str, needs: Sequence[str], expected: str, installed: Versions, run: Run
) -> str | None:
    """Return a sentence with the error and versions where run fails and what it needs is there."""
    if not set(needs) <= installed.keys():
        return None
    try:
        run()
    except Exception as error:  # a broken build raises anything from OSError to AttributeError
        versions = ' and '.join(f'{name} {installed[name]}' for name in needs)
        return f'{thing} fails with {versions} ({_describe(error)}), expected {expected}.'
    return None


def _run_nms() -> None:
    import torch
    import torchvision

    torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)


def operator_problem(installed: Versions, run: Run = _run_nms) -> str | None:
    """Try a compiled operator of torchvision, which matching versions alone do not vouch for.

    A CPU-only torch beside a torchvision built for CUDA has matching versions and no operators,
    and then every mmengine Runner fails as it starts.
    """
    expected = (
        'builds of one release and one kind (a CPU-only torch needs the CPU-only torchvision); '
        f'run pip uninstall -y torch torchvision, then {PIP} torch torchvision'
    )
    return _trial('torchvision.ops.nms', ('torch', 'torchvision'), expected, installed, run)


def _run_numpy() -> None:
    import torch

    torch.zeros(1).numpy()


def numpy_problem(installed: Versions, run: Run = _run_numpy) -> str | None:
    """Try the bridge from torch to numpy, which torch before 2.3 lacks for numpy 2."""
    expected = f'a torch built for this numpy; run {PIP} torch torchvision numpy'
    return _trial('torch.Tensor.numpy', ('torch', 'numpy'), expected, installed, run)


def _run_cv2() -> None:
    import cv2

    # Removing one of two distributions that own cv2/ may leave a folder, which imports, empty.
    cv2.getVersionString()


def opencv_problem(load: Run = _run_cv2, installed: Iterable[str] = ()) -> str | None:
    """Try OpenCV, whose wheel wants system libraries that a bare Debian lacks.

    Args:
        load: Imports OpenCV; raises where that fails.
        installed: Names of what is installed. Where OpenCV is not among them and not found,
            :func:`version_problems` says so.
    """
    builds = [name for name in ('opencv-python', *STAND_INS['opencv-python']) if name in installed]
    try:
        load()
    except Exception as error:  # a wheel for another numpy raises AttributeError and others
        if not builds and isinstance(error, ModuleNotFoundError) and error.name == 'cv2':
            return None
        if any(library in str(error) for library in SYSTEM_LIBRARIES):
            # The loader names only the first library it misses, so all are installed at once.
            expected = (
                f'the system libraries of opencv-python; run apt-get install {SYSTEM_PACKAGES}, or '
                'without root: pip uninstall -y opencv-python, then pip install '
                'opencv-python-headless'
            )
        else:
            names = ' '.join(builds or ['opencv-python'])
            expected = f'it to work; run {PIP} --force-reinstall {names} numpy'
        return f'import cv2 fails ({_describe(error)}), expected {expected}.'
    return None


def problems(
    installed: Versions | None = None,
    requirements: Sequence[str] | None = None,
    torchvision_requires: Sequence[str] | None = None,
    owners: Mapping[str, Sequence[str]] | None = None,
    run_operator: Run = _run_nms,
    run_numpy: Run = _run_numpy,
    load_opencv: Run = _run_cv2,
) -> list[str]:
    """Run every check; without arguments, on this interpreter.

    Args:
        installed: From :func:`installed_versions`.
        requirements: From :func:`requirements_of` cct_mm or, where it is not installed, REQUIRED.
        torchvision_requires: From :func:`requirements_of` torchvision.
        owners: From :func:`package_owners`.
        run_operator: Runs an operator of torchvision; raises where it does not work.
        run_numpy: Hands a tensor to numpy; raises where that does not work.
        load_opencv: Imports OpenCV; raises where that fails.

    Returns:
        One sentence for each problem; none where all is well.
    """
    if PACKAGING_PROBLEM:
        return [PACKAGING_PROBLEM]
    installed = installed_versions() if installed is None else installed
    if requirements is None:
        requirements = requirements_of('cct_mm') or REQUIRED
    owners = package_owners() if owners is None else owners
    if torchvision_requires is None:
        torchvision_requires = requirements_of('torchvision')
    mismatch = torch_mismatch(installed, torchvision_requires)
    found = [
        *version_problems(requirements, installed),
        *duplicate_problems(owners),
        # Versions that do not match explain a failing operator: one cause, one sentence.
        mismatch or operator_problem(installed, run_operator),
        numpy_problem(installed, run_numpy),
        opencv_problem(load_opencv, installed),
    ]
    return [sentence for sentence in found if sentence]


def version_table(requirements: Iterable[str], installed: Versions) -> str:
    """Return lines of name, version and range of the :func:`answers`."""
    rows = [('python', platform.python_version(), '')]
    rows.append(('cct-mm', installed.get('cct-mm', 'not installed'), ''))
    for name, wanted in answers(requirements, installed):
        rows.append((name, installed.get(name, 'not installed'), str(wanted)))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return '\n'.join(
        f'{name:{widths[0]}}  {version:{widths[1]}}  {wanted}'.rstrip()
        for name, version, wanted in rows
    )


def main() -> int:
    """Print the versions and the problems of this interpreter; return 1 if there are any, or 0."""
    if not PACKAGING_PROBLEM:
        requirements = requirements_of('cct_mm') or REQUIRED
        print(version_table(requirements, installed_versions()), flush=True)
    found = problems()
    for sentence in found:
        print(f'Problem: {sentence}', file=sys.stderr)
    if not found:
        print('No problem found.')
    return 1 if found else 0


if __name__ == '__main__':
    # Run by path, this folder leads sys.path, and a module of the package could pass for one of
    # the standard library's while torch is imported.
    if sys.path and Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
        del sys.path[0]
    sys.exit(main())
