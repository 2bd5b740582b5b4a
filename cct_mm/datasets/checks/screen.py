"""The report of ``tools/check_data.py`` on the screen."""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmengine.config import Config
from mmseg.utils import register_all_modules
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cct_mm.engine.config_file import read_config
from cct_mm.files import write_atomically
from cct_mm.processes import core_count

from .file_cache import cache_folder
from .findings import Finding
from .report import DataReport, SourceReport, report_data

SHOWN = 5
"""Number of findings of one kind and source on the screen; the JSON file has all."""


def check_data(
    config: str, options: Sequence[str] | None, workers: int | None, json_file: Path | None
) -> int:
    """Check all data of a config and print what is found, as ``tools/check_data.py`` does.

    Args:
        config: Path of the config.
        options: What ``--cfg-options`` overrides.
        workers: Number of processes; None means one for each core.
        json_file: File for all that is found, or None.

    Returns:
        Exit code: 0 without problems, 1 with problems, 2 for wrong input, 130 if interrupted.
    """
    register_all_modules(init_default_scope=True)
    try:
        report = report_data(_load(config, options), workers or core_count())
        if json_file:
            content = {'config': config, **report.to_dict()}
            write_atomically(json_file, json.dumps(content, indent=2) + '\n')
    except (ValueError, OSError, RuntimeError) as error:
        print(f'check_data: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f'\ncheck_data: interrupted; what was found is kept in {cache_folder()}, the same '
            'command goes on from there',
            file=sys.stderr,
        )
        return 130
    show(report)
    if json_file:
        print(f'\nThe whole report: {json_file}')
    return 1 if report.problems else 0


def _load(path: str, options: Sequence[str] | None) -> Config:
    """Read the config, and name it in a ValueError if this fails."""
    try:
        return read_config(path, options)
    # A config is a program, which can raise any error.
    except Exception as error:
        raise ValueError(f'{path}: {type(error).__name__}: {error}') from error


def sources_table(sources: Iterable[SourceReport]) -> Table:
    """Return a table with a line on each source."""
    columns = ('split', 'domain', 'source', 'images', 'sizes', 'files', 'classes', 'no label')
    table = Table(*columns, 'problems')
    for found in sources:
        labels = found.labels
        table.add_row(
            found.source.split,
            found.source.domain,
            found.source.supervision,
            str(found.images),
            _most(Counter({f'{w}x{h}': n for (w, h), n in found.sizes.items()})),
            _most(found.types) + _turned(found.orientations),
            f'{len(labels.present)} of {len(labels.classes)}' if labels else '-',
            _percent(labels.ignored, labels.total) if labels else '-',
            str(found.problems or ''),
        )
    return table


def class_tables(sources: Iterable[SourceReport]) -> Iterable[Table]:
    """Yield for each domain the share of pixels of each class, and how many images show it."""
    domains: dict[str, list[SourceReport]] = defaultdict(list)
    for found in sources:
        if found.labels is not None:
            domains[found.source.domain].append(found)
    for domain, group in domains.items():
        table = Table('class', title=f'{domain}: share of labeled pixels, images with the class')
        for found in group:
            table.add_column(f'{found.source.split} {found.source.supervision}', justify='right')
        for index, name in enumerate(group[0].labels.classes):
            cells = []
            for found in group:
                counts = found.labels
                share = _percent(int(counts.pixels[index]), counts.total - counts.ignored)
                images = int(counts.images[index])
                cells.append(f'{share}  {images:>5}' if images else '[red]absent[/red]')
            table.add_row(escape(f'{index} {name}'), *cells)
        yield table


def lines(findings: Iterable[Finding]) -> Iterable[str]:
    """Yield the first findings of each kind and source."""
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.where, finding.kind].append(finding)
    for (where, kind), group in groups.items():
        yield f'{where} ({kind})'
        for finding in group[:SHOWN]:
            yield f'  {finding.message}'
        if len(group) > SHOWN:
            yield f'  and {len(group) - SHOWN} more (--json FILE lists all)'


def show(report: DataReport) -> None:
    """Print the report."""
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console.width = 140
    console.print(sources_table(report.sources))
    for table in class_tables(report.sources):
        console.print(table)
    for title, findings in (('Notes', report.notes), ('Problems', report.problems)):
        if findings:
            console.print(f'\n[bold]{title}: {len(findings)}[/bold]')
            for line in lines(findings):
                # Paths stay on one line, so that they can be copied.
                console.print(escape(line), soft_wrap=True, highlight=False)
    if not report.problems:
        console.print('\nNo problems were found.')


def _most(counts: Counter) -> str:
    common = counts.most_common(2)
    text = ', '.join(f'{name} ({n})' if len(counts) > 1 else name for name, n in common)
    return text + (f', {len(counts) - 2} more' if len(counts) > 2 else '')


def _turned(orientations: Counter) -> str:
    turned = sum(n for orientation, n in orientations.items() if orientation != 1)
    return f', {turned} with EXIF orientation' if turned else ''


def _percent(part: int, total: int) -> str:
    share = part / total if total else 0.0
    return '<0.01%' if 0 < share < 0.00005 else f'{share:.2%}'
