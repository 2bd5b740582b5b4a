"""Write the tables of the pages below, and figures, from docs/records: ``python docs/tables.py``.

A table stands between two comments, ``<!-- table: NAME -->`` and ``<!-- end of table -->``. NAME is
a record (its file in docs/records without suffix, or its path), ``classes of`` one, or ``summary``.
``docs/records/README.md`` explains the records.
"""

import io
import json
import os
import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.logging import MMLogger

from cct_mm.files import write_atomically
from cct_mm.lab.gain.figure import COLORS, QUIET, TITLE, tidy
from cct_mm.lab.grids.published import changes
from cct_mm.lab.grids.table import (
    DAGGER,
    NOTHING,
    is_baseline_of,
    is_tie,
    mean_and_spread,
    paired_difference,
)
from cct_mm.lab.markdown import markdown_table

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    'README.md',
    'docs/results.md',
    'docs/recommended.md',
    'docs/gain.md',
    'docs/cached.md',
)
# Figures of scores over an axis of a record: files by record and axis.
FIGURES = {('recommended_iterations', 'iterations'): 'docs/images/recommended_iterations.svg'}
TABLE = re.compile(r'(<!-- table: (.+?) -->\n).*?(<!-- end of table -->)', re.DOTALL)
# Names of methods and domains as a reader knows them; others are shown as they are.
SHOWN = {
    'cct': 'CCT, 7 auxiliary decoders',
    'cct-k30': 'CCT, 30 auxiliary decoders',
    'cct-adv': 'CCT + L_adv, weight 0.02',
    'cct-weak': 'CCT + image-level labels of 655 images',
    'cct-unperturbed': 'CCT, decoders without perturbation',
    'cct-shared': 'CCT, decoders with shared weights',
    'cct-before-neck': 'CCT, perturbed before the neck',
    'cct-teacher': 'CCT, target of an EMA teacher',
    'cct-true-foreground': 'CCT, true foreground',
    'cct-w0': 'CCT with w_u = 0',
    'recommended': 'recommended: CCT and a strong view',
    'recommended-named': 'recommended, among the classes that 655 images are known to have',
    'recommended-weak': 'recommended + pseudo-labels of 655 images',
    'cityscapes': 'Cityscapes',
    'camvid': 'CamVid',
    'sunrgbd': 'SUN RGB-D',
    'voc': 'VOC',
}
# Rows of the summary: data, labeled images, record, the recipe's method, the axes of its row, and
# the heading of docs/recommended.md that tells of it.
SUMMARY = (
    ('CamVid', '20', 'recommended_camvid', 'recommended', {'n': 20}, 'camvid'),
    ('CamVid', '50', 'recommended_camvid', 'recommended', {'n': 50}, 'camvid'),
    ('CamVid', '100', 'recommended_camvid', 'recommended', {'n': 100}, 'camvid'),
    (
        'Cityscapes + CamVid, one network',
        '20 + 20',
        'recommended_cityscapes-camvid',
        'recommended',
        {},
        'several-data-sets',
    ),
    (
        'Cityscapes + SUN RGB-D, one network',
        '20 + 20',
        'recommended_cityscapes-sunrgbd',
        'recommended',
        {},
        'several-data-sets',
    ),
    (
        'VOC, 9 classes, with image-level labels',
        '100',
        'recommended_voc',
        'recommended-named',
        {},
        'voc',
    ),
)


def read_record(name: str) -> dict:
    """Return a record of ``docs/records``, or one elsewhere by its path from the root."""
    path = ROOT / (name if '/' in name else f'docs/records/{name}.json')
    return json.loads(path.read_text(encoding='utf-8'))


def score(values: dict | None, sign: str = '') -> str:
    """Return ``mean ± spread`` of values by seed, or of a summary of which no seeds are known."""
    if not values:
        return NOTHING
    if 'mean' in values:
        mean, spread = values['mean'], values.get('std')
    else:
        mean, spread = mean_and_spread(values.values())
    return f'{mean:{sign}.2f}' + ('' if spread is None else f' ± {spread:.2f}')


def baseline_of(record: dict, row: dict) -> dict | None:
    """Return the row that this one is compared with; None for the baseline itself."""
    if row['method'] == record['baseline']:
        return None
    for other in record['rows']:
        if other['method'] == record['baseline'] and is_baseline_of(other['axes'], row['axes']):
            return other
    return None


def difference(record: dict, row: dict) -> tuple[dict, dict]:
    """Return the difference to the baseline, for :func:`score`, and by seed; empty if not known."""
    other = baseline_of(record, row)
    if 'difference' in row:
        return row['difference'], row['difference']['seeds']
    if other is None or 'mean' in row['mIoU'] or 'mean' in other['mIoU']:
        return {}, {}
    if row.get('domains', {}).keys() != other.get('domains', {}).keys():
        # Means over different domains.
        return {}, {}
    by_seed = paired_difference(row['mIoU'], other['mIoU'])
    return by_seed, by_seed


def difference_text(record: dict, row: dict, each: bool = True) -> str:
    """Return mean and spread of the difference to the baseline, and whether it is a tie."""
    values, by_seed = difference(record, row)
    text = score(values, '+')
    if is_tie(by_seed.values()):
        text += ', a tie'
    if each and len(by_seed) > 1:
        text += f' ({", ".join(f"{value:+.2f}" for value in by_seed.values())})'
    return text


def mark(record: dict, row: dict) -> str:
    """Return a dagger where something that a row depends on is known to have changed since."""
    return f' {DAGGER}' if changes(record, row, ROOT) else ''


def what_changed(record: dict) -> str:
    """Return what the daggers of a record's table stand for, or that nothing is known of it."""
    found = [changes(record, row, ROOT) for row in record.get('rows', [{}])]
    reasons = dict.fromkeys(reason for one in found for reason in one or [])
    if reasons:
        return f'{DAGGER} Changed since: {"; ".join(reasons)}.'
    if None in found:
        return 'Whether config or code have changed since is not known: no hashes were kept.'
    return ''


def record_table(name: str) -> str:
    """Return a record's table, and below it how it was made."""
    record = read_record(name)
    header, cells = record.get('header'), record.get('cells')
    if header is None:
        header, cells = grid_cells(record)
    elif 'changed' in record:
        cells = [[f'{first} {DAGGER}', *others] for first, *others in cells]
    made = [f'Made by `{record["command"]}`']
    made += [record[key] for key in ('machine', 'date') if record.get(key)]
    made += [f'commit {record["commit"]}'] if record.get('commit') else []
    notes = [record['note']] if 'note' in record else []
    if 'out_of_date' in record:
        notes.append('Some runs are of another config, code or data than that of this commit.')
    sentences = [f'{", ".join(made)}.', *notes, what_changed(record)]
    return f'{markdown_table(header, cells)}\n\n' + ' '.join(filter(None, sentences))


def grid_cells(record: dict) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of methods by seeds."""
    rows = record['rows']
    axes = list(dict.fromkeys(axis for row in rows for axis in row['axes']))
    domains = list(dict.fromkeys(name for row in rows for name in row.get('domains', {})))
    domains = domains if len(domains) > 1 else []
    images, _, averaged = record['split'].partition('+')
    split = {'val': ' (validation', 'test': ' (test'}[images]
    split += ', scales and flips averaged)' if averaged else ')'
    header = ['method', *axes, *(SHOWN.get(name, name) for name in domains)]
    header.append(f'mean{split}' if domains else f'mIoU{split}')
    compared = record['baseline'] is not None
    header += ['difference, seed by seed'] if compared else []
    cells = [
        [
            SHOWN.get(row['method'], row['method']) + mark(record, row),
            *(str(row['axes'].get(axis, NOTHING)) for axis in axes),
            *(score(row.get('domains', {}).get(name, {}).get('mIoU')) for name in domains),
            # Beside other domains, the score of one is no mean.
            NOTHING if domains and len(row['domains']) == 1 else score(row['mIoU']),
            *([difference_text(record, row)] if compared else []),
        ]
        for row in rows
    ]
    return header, cells


def class_table(name: str) -> str:
    """Return the mean IoU of each class, one column for each row, domain by domain."""
    record = read_record(name)
    points = {str(row['axes']) for row in record['rows']}

    def title(row: dict) -> str:
        point = [f'{axis} = {value}' for axis, value in row['axes'].items() if len(points) > 1]
        return ', '.join([SHOWN.get(row['method'], row['method']), *point])

    tables = []
    for domain in dict.fromkeys(name for row in record['rows'] for name in row['domains']):
        rows = [row for row in record['rows'] if row['domains'].get(domain, {}).get('IoU')]
        classes = dict.fromkeys(c for row in rows for c in row['domains'][domain]['IoU'])
        found = [row['domains'][domain]['IoU'] for row in rows]
        cells = [
            [label, *(f'{values[label]:.1f}' if label in values else NOTHING for values in found)]
            for label in classes
        ]
        tables.append(
            markdown_table([f'IoU, {SHOWN.get(domain, domain)}', *map(title, rows)], cells)
        )
    return '\n\n'.join(tables)


def find(record: dict, method: str, axes: dict) -> dict | None:
    """Return the row of a method at a point of the axes, None where it has not been run."""
    for row in record['rows']:
        if row['method'] == method and axes.items() <= row['axes'].items():
            return row
    return None


def summary_table() -> str:
    """Return the table of README.md: what the recommended recipe adds on each data set."""
    cells, marks = [], []
    for data, labels, name, method, axes, heading in SUMMARY:
        record = read_record(name)
        row, cct = find(record, method, axes), find(record, 'cct', axes)
        _, by_seed = difference(record, row)
        marks.append(mark(record, row) or mark(record, baseline_of(record, row)))
        cells.append(
            [
                f'[{data}](docs/recommended.md#{heading}){marks[-1]}',
                labels,
                score(baseline_of(record, row)['mIoU']),
                score(cct and cct['mIoU']),
                score(row['mIoU']),
                difference_text(record, row, each=False),
                f'{sum(gain > 0 for gain in by_seed.values())} of {len(by_seed)}',
            ]
        )
    header = ['data', 'labeled images', 'supervised', 'CCT', 'recommended', 'difference']
    shown = markdown_table([*header, 'seeds with a gain'], cells)
    if any(marks):
        shown += (
            f'\n\n{DAGGER} Config or code have changed since; '
            '[What to use](docs/recommended.md) tells.'
        )
    return shown


def table(name: str) -> str:
    """Return the table that a comment asks for."""
    if name == 'summary':
        return summary_table()
    if name.startswith('classes of '):
        return class_table(name.removeprefix('classes of '))
    return record_table(name)


def drawn_values(record: dict, axis: str) -> str:
    """Return what a figure over an axis shows, for its metadata."""
    return '; '.join(
        f'{row["method"]}, {axis}={row["axes"][axis]}: '
        + ', '.join(f'{value:.2f} (seed {seed})' for seed, value in row['mIoU'].items())
        for row in record['rows']
    )


def figure(name: str, axis: str) -> str:
    """Return an SVG of a record over one axis: scores, and differences to the baseline.

    A thin line is a seed, a thick one goes through the means over the seeds that all points have.
    """
    record = read_record(name)
    # Text as text and ids by a fixed salt: the same file on every machine.
    with mpl.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': name, 'font.size': 8}):
        drawn = Figure(figsize=(7, 2.6), layout='constrained')
        scores, gains = drawn.subplots(1, 2)
        methods = dict.fromkeys(row['method'] for row in record['rows'])
        for method, color in zip(methods, (QUIET, *COLORS), strict=False):
            rows = [row for row in record['rows'] if row['method'] == method]
            rows.sort(key=lambda row: row['axes'][axis])
            style = dict(color=color, label=SHOWN.get(method, method))
            points = [(row['axes'][axis], row['mIoU']) for row in rows]
            _draw_points(scores, points, **style)
            if method != record['baseline']:
                points = [(row['axes'][axis], difference(record, row)[1]) for row in rows]
                _draw_points(gains, points, **style)
        gains.axhline(0, color=QUIET, linewidth=1)
        for axes, title in ((scores, 'mIoU'), (gains, f'difference to {record["baseline"]}')):
            axes.set_title(title, **TITLE)
            axes.set_xscale('log')
            ticks = sorted({row['axes'][axis] for row in record['rows']})
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.minorticks_off()
            axes.set_xlabel(axis)
            tidy(axes)
        drawn.legend(
            *scores.get_legend_handles_labels(), frameon=False, loc='outside lower center', ncols=4
        )
        file = io.StringIO()
        # What it shows, by which a test knows whether it is that of the record.
        metadata = {'Description': drawn_values(record, axis), 'Date': None, 'Creator': None}
        drawn.savefig(file, format='svg', metadata=metadata)
    return file.getvalue()


def _draw_points(axes: Axes, points: list[tuple], color: str, label: str) -> None:
    """Draw values by seed at points of an axis, and the means over the seeds that all have."""
    points = [(x, by_seed) for x, by_seed in points if by_seed]
    for seed in dict.fromkeys(seed for _, by_seed in points for seed in by_seed):
        line = [(x, by_seed[seed]) for x, by_seed in points if seed in by_seed]
        axes.plot(*zip(*line, strict=True), 'o-', color=color, markersize=3, alpha=0.4)
    common = set.intersection(*(set(by_seed) for _, by_seed in points))
    if not common:
        return
    means = [sum(by_seed[seed] for seed in common) / len(common) for _, by_seed in points]
    axes.plot([x for x, _ in points], means, color=color, linewidth=2.4, label=label)


def fill(text: str) -> str:
    """Return a page with every table as its record has it."""
    return TABLE.sub(lambda found: f'{found[1]}\n{table(found[2])}\n\n{found[3]}', text)


if __name__ == '__main__':
    # Records name their grids from the root, and reading these is nothing to report.
    os.chdir(ROOT)
    MMLogger.get_current_instance().setLevel('WARNING')
    for page in PAGES:
        path = ROOT / page
        write_atomically(path, fill(path.read_text(encoding='utf-8')))
        print(f'{page}: {len(TABLE.findall(path.read_text(encoding="utf-8")))} tables')
    for (name, axis), path in FIGURES.items():
        write_atomically(ROOT / path, figure(name, axis))
        print(path)
