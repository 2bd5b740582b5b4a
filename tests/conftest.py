"""Counts what docs/reliability.md counts: tests with the marker ``counted``, by what they try."""

import json
from collections import defaultdict

import pytest


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
