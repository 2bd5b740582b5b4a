"""Finds what is wrong with an installation before it breaks a training.

Every check takes what it looks at as arguments and returns sentences that name the thing, the
value found, what was expected and the fix; :func:`problems` runs them all on this interpreter.

Only the standard library is imported here, and torch, torchvision and OpenCV only inside the
checks that try them, so the file works where the rest of the package cannot be imported::

    python cct_mm/environment.py
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

REINSTALL = 'pip install -c constraints.txt -e .'

# Import names of which more than one distribution exists, with the one that setup.py asks for.
CONTESTED = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmseg': 'onedl-mmsegmentation',
}

# What may stand in for a distribution that setup.py asks for, with the versions that do. An
# empty range means the range of the distribution that it stands in for.
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
REQUIRED = (
    'torch',
    'torchvision',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmsegmentation',
    'numpy',
    'opencv-python',
)

# System libraries that the OpenCV wheel expects, with the Debian package of each.
SYSTEM_LIBRARIES = {'libGL': 'libgl1', 'libgthread': 'libglib2.0-0', 'libglib': 'libglib2.0-0'}


class Requirement(NamedTuple):
    """One line of a distribution's declared requirements.

    Args:
        name: Normalized name of the distribution.
        range: Version clauses separated by commas, such as ``>=2.1,<3``; empty for any version.
        optional: Whether the line holds only under a marker (an extra, a Python version).
    """

    name: str
    range: str
    optional: bool


def normalize(name: str) -> str:
    """Spells a distribution's name the one way that makes names comparable.

    Args:
        name: A name as its author spells it, such as ``Typing_Extensions``.

    Returns:
        The name in lower case, with ``-`` for each run of ``-``, ``_`` and ``.``.
    """
    return re.sub(r'[-_.]+', '-', name).lower()


def parse_requirement(line: str) -> Requirement:
    """Reads a line of ``Requires-Dist``.

    Args:
        line: Such as ``torch>=2.1,<3``, ``torch (==2.4.0)`` or ``timm; extra == "efficientnet"``.

    Returns:
        The requirement's parts.

    Raises:
        ValueError: If the line does not start with a distribution's name.
    """
    head, _, marker = line.partition(';')
    match = re.match(r'\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*(.*)$', head, re.DOTALL)
    if match is None:
        raise ValueError(f'requirement {line!r}: expected a distribution name at its start')
    clauses = re.sub(r'[\s()]', '', match[2])
    return Requirement(normalize(match[1]), clauses, bool(marker.strip()))


def release(version: str) -> tuple[int, ...]:
    """Reads the release numbers of a version.

    What follows them (``rc1``, ``.dev2026``, ``.post1``, ``+cpu``) is left out: a nightly build
    counts as the release that it leads to.

    Args:
        version: Such as ``2.14.1+cpu``.

    Returns:
        The numbers without trailing zeros, such as ``(2, 14, 1)``; empty for ``unknown``.
    """
    match = re.match(r'\s*v?(\d+(?:\.\d+)*)', version)
    numbers = [int(number) for number in match[1].split('.')] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def satisfies(version: str, clauses: str) -> bool:
    """Tells whether a version lies in a range; suffixes count as :func:`release` says.

    Args:
        version: Such as ``2.14.1+cpu``.
        clauses: Clauses separated by commas, such as ``>=2.1,<3``; empty for any version.

    Returns:
        Whether the version fulfils every clause.

    Raises:
        ValueError: If a clause is none of ``==``, ``===``, ``!=``, ``~=``, ``<=``, ``>=``, ``<``
            and ``>`` followed by a version.
    """
    return all(_fulfils(version, clause) for clause in clauses.split(',') if clause.strip())


def _fulfils(version: str, clause: str) -> bool:
    match = re.match(r'\s*(===|==|!=|~=|<=|>=|<|>)\s*(v?\d[^\s*]*?)(\.\*)?\s*$', clause)
    if match is None or (match[3] and match[1] not in ('==', '!=')):
        raise ValueError(f'version clause {clause!r}: expected one such as >=2.1, ==2.4.0 or ==2.*')
    operator, bound_text, wildcard = match.groups()
    found, bound = release(version), release(bound_text)
    if wildcard:
        # Trailing zeros count in a prefix: 2.0.* holds 2.0.1 and not 2.1.
        length = bound_text.count('.') + 1
        equal = _pad(found, length) == _pad(bound, length)
    else:
        equal = found == bound
    if operator == '~=':
        prefix = bound_text.count('.')
        return found >= bound and _pad(found, prefix) == _pad(bound, prefix)
    return {
        '==': equal,
        '===': equal,
        '!=': not equal,
        '<=': found <= bound,
        '>=': found >= bound,
        '<': found < bound,
        '>': found > bound,
    }[operator]


def _pad(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return (numbers + (0,) * length)[:length]


def installed_versions(
    distributions: Iterable[metadata.Distribution] | None = None,
) -> dict[str, str]:
    """Lists the distributions that this interpreter finds.

    Args:
        distributions: Where to look; all on ``sys.path`` by default.

    Returns:
        Normalized name -> version. Of two on the path the first counts, as for an import.
    """
    versions: dict[str, str] = {}
    for distribution in metadata.distributions() if distributions is None else distributions:
        # An interrupted uninstallation leaves folders without a name behind.
        name = distribution.metadata['Name']
        if name:
            versions.setdefault(normalize(name), distribution.version or 'unknown')
    return versions


def package_owners(
    packages: Iterable[str] = tuple(CONTESTED),
    distributions: Iterable[metadata.Distribution] | None = None,
) -> dict[str, list[str]]:
    """Finds the distributions that install a package's folder.

    ``importlib.metadata.packages_distributions`` would do, but on Python 3.10 it knows only
    distributions with a ``top_level.txt``, and onedl-mmengine has none.

    Args:
        packages: Import names.
        distributions: Where to look; all on ``sys.path`` by default.

    Returns:
        Import name -> sorted normalized names of its distributions.
    """
    owners: dict[str, set[str]] = {package: set() for package in packages}
    for distribution in metadata.distributions() if distributions is None else distributions:
        name = distribution.metadata['Name']
        if not name:
            continue
        # An editable installation lists no files of its package, only its top level.
        top_level = (distribution.read_text('top_level.txt') or '').split()
        record = '\n' + (distribution.read_text('RECORD') or '')
        for package, names in owners.items():
            if package in top_level or f'\n{package}/__init__.py,' in record:
                names.add(normalize(name))
    return {package: sorted(names) for package, names in owners.items()}


def requirements_of(name: str) -> list[str]:
    """Reads what an installed distribution requires.

    Args:
        name: Name of the distribution.

    Returns:
        Its lines of ``Requires-Dist``; none where it is not installed.
    """
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def version_problems(requirements: Iterable[str], installed: Mapping[str, str]) -> list[str]:
    """Finds distributions that are missing or outside the range that setup.py declares.

    A distribution that :data:`STAND_INS` names for a missing one is taken in its place. A line
    with a marker is optional: it says what an extra must be where it is installed.

    Args:
        requirements: Lines of ``Requires-Dist``.
        installed: Normalized name -> version of what is installed.

    Returns:
        One sentence for each problem.
    """
    found = []
    for requirement in map(parse_requirement, requirements):
        candidates = {requirement.name: requirement.range}
        for name, own_range in STAND_INS.get(requirement.name, {}).items():
            candidates[name] = own_range or requirement.range
        present = [name for name in candidates if name in installed]
        if not present:
            if not requirement.optional:
                found.append(
                    f'{requirement.name} is not installed, expected '
                    f'{requirement.range or "any version"}; run {REINSTALL}.'
                )
            continue
        name = present[0]
        if not satisfies(installed[name], candidates[name]):
            found.append(
                f'{name} is {installed[name]}, expected {candidates[name]}; '
                f"run pip install -c constraints.txt '{name}{candidates[name]}'."
            )
    return found


def duplicate_problems(owners: Mapping[str, Sequence[str]]) -> list[str]:
    """Finds packages that several distributions write into one folder.

    The files of one overwrite the files of the other, and the versions get mixed.

    Args:
        owners: Import name -> names of its distributions, as :func:`package_owners` returns.

    Returns:
        One sentence for each package that has several owners.
    """
    found = []
    for package, names in owners.items():
        distinct = sorted(set(names))
        if len(distinct) > 1:
            wanted = CONTESTED.get(package, distinct[0])
            # Taking away one of them takes files of the other along: both must go.
            found.append(
                f'{package}/ belongs to {len(distinct)} distributions, {" and ".join(distinct)}, '
                f'expected one; run pip uninstall -y {" ".join(distinct)}, then '
                f'pip install -c constraints.txt {wanted}.'
            )
    return found


def torch_mismatch(installed: Mapping[str, str], torchvision_requires: Iterable[str]) -> str | None:
    """Compares torch with the version that torchvision declares to need.

    Args:
        installed: Normalized name -> version of what is installed.
        torchvision_requires: The ``Requires-Dist`` lines of the installed torchvision.

    Returns:
        A sentence where the two do not match, otherwise None.
    """
    if 'torch' not in installed or 'torchvision' not in installed:
        return None
    for requirement in map(parse_requirement, torchvision_requires):
        if requirement.name != 'torch' or requirement.optional:
            continue
        if not satisfies(installed['torch'], requirement.range):
            return (
                f'torch is {installed["torch"]}, but torchvision {installed["torchvision"]} '
                f'expects torch{requirement.range}; install the two together: '
                f'pip install -c constraints.txt torch torchvision.'
            )
    return None


def _run_nms() -> None:
    """Runs an operator of torchvision's compiled part."""
    import torch
    import torchvision

    torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)


def operator_problem(
    installed: Mapping[str, str], run: Callable[[], object] = _run_nms
) -> str | None:
    """Tries an operator of torchvision, which declared versions alone do not vouch for.

    A CPU-only torch beside a torchvision built for CUDA has matching versions and no operators,
    and then every mmengine Runner fails as it starts.

    Args:
        installed: Normalized name -> version of what is installed.
        run: Runs the operator; raises where it does not work.

    Returns:
        A sentence with the error where the operator fails, otherwise None. None too where torch
        or torchvision is missing, which :func:`version_problems` names.
    """
    if 'torch' not in installed or 'torchvision' not in installed:
        return None
    try:
        run()
    except Exception as error:  # a broken build raises anything from OSError to AttributeError
        return (
            f'torchvision.ops.nms fails with torch {installed["torch"]} and torchvision '
            f'{installed["torchvision"]} ({_describe(error)}), expected builds of one release '
            f'and one kind (a CPU-only torch needs the CPU-only torchvision); run pip uninstall '
            f'-y torch torchvision, then pip install -c constraints.txt torch torchvision.'
        )
    return None


def _run_numpy() -> None:
    """Hands a tensor to numpy."""
    import torch

    torch.zeros(1).numpy()


def numpy_problem(
    installed: Mapping[str, str], run: Callable[[], object] = _run_numpy
) -> str | None:
    """Tries the bridge from torch to numpy, which torch before 2.3 lacks for numpy 2.

    Args:
        installed: Normalized name -> version of what is installed.
        run: Hands a tensor to numpy; raises where that does not work.

    Returns:
        A sentence with the error where the bridge fails, otherwise None. None too where torch or
        numpy is missing, which :func:`version_problems` names.
    """
    if 'torch' not in installed or 'numpy' not in installed:
        return None
    try:
        run()
    except Exception as error:  # as above
        return (
            f'torch.Tensor.numpy fails with torch {installed["torch"]} and numpy '
            f'{installed["numpy"]} ({_describe(error)}), expected a torch built for this numpy; '
            f'run pip install -c constraints.txt torch torchvision numpy.'
        )
    return None


def _import_cv2() -> None:
    import cv2  # noqa: F401


def opencv_problem(load: Callable[[], object] = _import_cv2) -> str | None:
    """Tries to import OpenCV, whose wheel wants system libraries that a bare Debian lacks.

    Args:
        load: Imports OpenCV; raises where that fails.

    Returns:
        A sentence with the error where the import fails, otherwise None. None too where there is
        no OpenCV at all, which :func:`version_problems` names.
    """
    try:
        load()
    except ModuleNotFoundError as error:
        if error.name == 'cv2':
            return None
        return f'import cv2 fails ({_describe(error)}), expected it to work; run {REINSTALL}.'
    except Exception as error:  # a wheel for another numpy raises AttributeError and others
        text = str(error)
        packages = {package for name, package in SYSTEM_LIBRARIES.items() if name in text}
        if packages:
            # The loader names the first library it misses: both are installed at once.
            wanted = ' '.join(dict.fromkeys(SYSTEM_LIBRARIES.values()))
            return (
                f'import cv2 fails ({_describe(error)}), expected the system libraries of '
                f'opencv-python; run apt-get install {wanted}, or without root: pip uninstall -y '
                f'opencv-python, then pip install opencv-python-headless.'
            )
        return (
            f'import cv2 fails ({_describe(error)}), expected it to work; run pip install '
            f'--force-reinstall -c constraints.txt opencv-python numpy.'
        )
    return None


def _describe(error: Exception) -> str:
    """Shortens an error to its type and first line: torchvision's run over a paragraph."""
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0]}' if lines else type(error).__name__


def problems(
    installed: Mapping[str, str] | None = None,
    requirements: Sequence[str] | None = None,
    torchvision_requires: Sequence[str] | None = None,
    owners: Mapping[str, Sequence[str]] | None = None,
    run_operator: Callable[[], object] = _run_nms,
    run_numpy: Callable[[], object] = _run_numpy,
    load_opencv: Callable[[], object] = _import_cv2,
) -> list[str]:
    """Runs every check; without arguments, on this interpreter.

    Args:
        installed: Normalized name -> version of what is installed.
        requirements: What cct_mm requires; where it is not installed, its packages in any
            version.
        torchvision_requires: What torchvision requires.
        owners: Import name -> names of its distributions.
        run_operator: Runs an operator of torchvision; raises where it does not work.
        run_numpy: Hands a tensor to numpy; raises where that does not work.
        load_opencv: Imports OpenCV; raises where that fails.

    Returns:
        One sentence for each problem; none where all is well.
    """
    if installed is None:
        installed = installed_versions()
    if requirements is None:
        requirements = requirements_of('cct_mm') or REQUIRED
    if torchvision_requires is None:
        torchvision_requires = requirements_of('torchvision')
    if owners is None:
        owners = package_owners()
    found = [*version_problems(requirements, installed), *duplicate_problems(owners)]
    mismatch = torch_mismatch(installed, torchvision_requires)
    # Versions that do not match explain a failing operator: one cause, one sentence.
    found.append(mismatch or operator_problem(installed, run_operator))
    found.append(numpy_problem(installed, run_numpy))
    found.append(opencv_problem(load_opencv))
    return [sentence for sentence in found if sentence]


def version_table(requirements: Iterable[str], installed: Mapping[str, str]) -> str:
    """Lays out what is installed beside what is expected.

    Args:
        requirements: Lines of ``Requires-Dist``; optional ones show only where installed.
        installed: Normalized name -> version of what is installed.

    Returns:
        Lines of name, version and range.
    """
    rows = [('python', platform.python_version(), '')]
    rows.append(('cct-mm', installed.get('cct-mm', 'not installed'), ''))
    for requirement in map(parse_requirement, requirements):
        names = [requirement.name, *STAND_INS.get(requirement.name, {})]
        name = next((name for name in names if name in installed), requirement.name)
        if name in installed or not requirement.optional:
            own_range = STAND_INS.get(requirement.name, {}).get(name) or requirement.range
            rows.append((name, installed.get(name, 'not installed'), own_range))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return '\n'.join(
        f'{name:{widths[0]}}  {version:{widths[1]}}  {own_range}'.rstrip()
        for name, version, own_range in rows
    )


def main() -> int:
    """Prints the versions and the problems of this interpreter.

    Returns:
        The exit code: 0 where no problem was found, otherwise 1.
    """
    installed = installed_versions()
    requirements = requirements_of('cct_mm') or REQUIRED
    print(version_table(requirements, installed), flush=True)
    found = problems(installed, requirements)
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
