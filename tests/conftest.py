"""What all tests share."""

import json
import os
import random
import subprocess
import sys
import textwrap
from collections import defaultdict

import numpy as np
import pytest

# One thread for each of pytest-xdist's processes, of which there is one per core: with more, they
# mostly wait for each other (97 tests of segmentors on two cores: 141 s with two, 39 s with one).
# PyTorch reads it when it is imported.
if 'PYTEST_XDIST_WORKER' in os.environ:
    os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope

JOIN = """
import os, sys
import torch
from torch import distributed

torch.set_num_threads(1)
rank, meet = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group('gloo', init_method=f'file://{meet}', rank=rank, world_size=2)
"""


@pytest.fixture(autouse=True)
def same_start_in_any_order():
    """Begin each test with the same random numbers, and undo what it sets in mmengine.

    A runner that was built, a default scope and the level of a log stay current in mmengine until
    others replace them, so a test could pass or fail because of the tests before it.
    """
    before = {kind: kind._instance_dict.copy() for kind in (DefaultScope, MMLogger, MessageHub)}
    levels = {logger: logger.level for logger in before[MMLogger].values()}
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    yield
    for kind, instances in before.items():
        kind._instance_dict = instances
    for logger, level in levels.items():
        logger.setLevel(level)


@pytest.fixture
def on_two_processes(tmp_path):
    """Run a script on two processes that gloo joins; it knows its ``rank``.

    Returns what each has printed to its error stream; the script must end well on both.
    """

    def run(script):
        path = tmp_path / 'script.py'
        path.write_text(JOIN + textwrap.dedent(script))
        command = [sys.executable, str(path)]
        environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': ''}
        processes = [
            subprocess.Popen(
                [*command, str(rank), str(tmp_path / 'meet')],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(2)
        ]
        try:
            errors = [process.communicate(timeout=120)[1] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [process.returncode for process in processes] == [0, 0], '\n'.join(
            error[-2000:] for error in errors
        )
        return errors

    return run


@pytest.fixture(scope='session', autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Keep what is found out about files out of the user's home, also in tools that tests start."""
    before = os.environ.get('CCT_MM_CACHE')
    os.environ['CCT_MM_CACHE'] = str(tmp_path_factory.mktemp('cache'))
    yield
    if before is None:
        del os.environ['CCT_MM_CACHE']
    else:
        os.environ['CCT_MM_CACHE'] = before


def pytest_addoption(parser):
    parser.addoption(
        '--counts', metavar='FILE', help='write the counts of reliability to this JSON'
    )


def pytest_collection_modifyitems(items):
    # On the items, so that they reach the reports of other processes, too (pytest-xdist).
    for item in items:
        for mark in item.iter_markers('counted'):
            item.user_properties.append(('counted', [mark.args[0], mark.kwargs.get('cause', '')]))


def counts_of(reporter) -> dict[str, dict]:
    """Return for each group how many tests it has, how many passed, and how many causes."""
    groups: dict[str, dict] = defaultdict(lambda: {'passed': 0, 'failed': 0, 'causes': set()})
    for outcome in ('passed', 'failed', 'error'):
        for report in reporter.stats.get(outcome, []):
            if outcome == 'passed' and report.when != 'call':
                continue
            for name, value in getattr(report, 'user_properties', ()):
                if name == 'counted':
                    group, cause = value
                    groups[group]['passed' if outcome == 'passed' else 'failed'] += 1
                    groups[group]['causes'].add(cause)
    bad = [groups[name] for name in list(groups) if name.startswith('bad inputs')]
    if bad:
        groups['bad inputs'] = {
            'passed': sum(group['passed'] for group in bad),
            'failed': sum(group['failed'] for group in bad),
            'causes': set().union(*(group['causes'] for group in bad)),
        }
    return {
        name: {**group, 'causes': len(group['causes'] - {''})}
        for name, group in sorted(groups.items())
    }


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    counts = counts_of(terminalreporter)
    if not counts:
        return
    terminalreporter.section('counts of docs/reliability.md')
    rows = [('', 'tried', 'as expected', 'causes')]
    rows += [
        (name, c['passed'] + c['failed'], c['passed'], c['causes'] or '')
        for name, c in counts.items()
    ]
    for name, *numbers in rows:
        terminalreporter.write_line(f'{name:32}' + ''.join(f'{number:>13}' for number in numbers))
    if path := config.getoption('--counts'):
        with open(path, 'w') as file:
            json.dump(counts, file, indent=2)
