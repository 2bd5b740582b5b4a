"""The tables of the pages are those of their records."""

import json
import runpy
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
from doc_runs import check_grid
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
TABLES = runpy.run_path(str(ROOT / 'docs/tables.py'))
RECORDS = sorted((ROOT / 'docs/records').glob('*.json'))


@pytest.mark.parametrize('page', TABLES['PAGES'])
def test_pages_have_the_tables_of_the_records(page, monkeypatch):
    monkeypatch.chdir(ROOT)  # from which records name their grids
    text = (ROOT / page).read_text(encoding='utf-8')
    assert TABLES['TABLE'].search(text)
    assert TABLES['fill'](text) == text, 'run python docs/tables.py'


@pytest.mark.parametrize(('name', 'axis'), TABLES['FIGURES'])
def test_figures_are_those_of_the_records(name, axis):
    text = (ROOT / TABLES['FIGURES'][name, axis]).read_text(encoding='utf-8')
    record = TABLES['read_record'](name)
    assert TABLES['drawn_values'](record, axis) in text, 'run python docs/tables.py'
    # The whole text may be another with another version of matplotlib.
    assert ElementTree.fromstring(TABLES['figure'](name, axis)).tag.endswith('svg')


def test_a_figure_has_a_line_for_each_seed_and_one_of_the_means_over_those_that_all_have():
    axes = Figure().add_subplot()
    points = [(400, {'4': 1.0, '5': 3.0, '6': 8.0}), (1000, {'5': 5.0, '4': 2.0}), (2000, {})]
    TABLES['_draw_points'](axes, points, color='k', label='method')
    lines = [line.get_xydata().tolist() for line in axes.get_lines()]
    assert lines == [
        [[400, 1], [1000, 2]],
        [[400, 3], [1000, 5]],
        [[400, 8]],
        [[400, 2], [1000, 3.5]],
    ]


def test_every_record_has_its_table():
    text = ''.join((ROOT / page).read_text(encoding='utf-8') for page in TABLES['PAGES'])
    assert RECORDS
    assert [path.stem for path in RECORDS if f'<!-- table: {path.stem} -->' not in text] == []


@pytest.mark.parametrize('path', RECORDS, ids=lambda path: path.stem)
def test_the_command_of_a_record_names_what_is_there(path, tmp_path):
    command = json.loads(path.read_text(encoding='utf-8'))['command']
    named = [word for word in shlex.split(command) if word.startswith(('tools/', 'configs/'))]
    assert named and all((ROOT / word).is_file() for word in named)
    if 'run_experiments' in command:
        check_grid(command, tmp_path)


def test_means_and_differences_by_hand(monkeypatch):
    baseline = dict(method='supervised', axes={}, mIoU={'1': 50.0, '2': 52.0})
    ours = dict(method='cct', axes={'n': 20}, mIoU={'1': 53.0, '2': 54.0, '3': 99.0})
    record = dict(
        command='python tools/run_experiments.py g.yaml',
        split='test',
        baseline='supervised',
        rows=[baseline, ours],
    )
    monkeypatch.setitem(TABLES['table'].__globals__, 'read_record', lambda name: record)
    text = TABLES['table']('g')
    # 51 with deviations 1: sqrt(2); differences 3 and 2, the third seed has no partner.
    assert '| supervised | – | 51.00 ± 1.41 | – |' in text
    assert '+2.50 ± 0.71 (+3.00, +2.00) |' in text  # twice the standard error is 1.00
    assert 'Made by `python tools/run_experiments.py g.yaml`.' in text
    assert 'no hashes were kept' in text and '†' not in text


def test_means_over_different_domains_are_not_compared(monkeypatch):
    rows = [
        dict(method=name, axes={}, mIoU={'1': 50.0}, domains=dict.fromkeys(domains, {}))
        for name, domains in dict(supervised='ab', both='ab', alone='a').items()
    ]
    record = dict(command='', split='test+tta', baseline='supervised', rows=rows)
    monkeypatch.setitem(TABLES['table'].__globals__, 'read_record', lambda name: record)
    text = TABLES['table']('g')
    assert '| both | – | – | 50.00 | +0.00 |' in text
    assert '| alone | – | – | – | – |' in text
    assert 'mean (test, scales and flips averaged)' in text


def test_a_difference_below_twice_its_standard_error_is_a_tie(monkeypatch):
    rows = [
        dict(method=name, axes={}, mIoU=dict(zip('123', values, strict=True)))
        for name, values in dict(supervised=[50, 50, 50], cct=[49, 52, 51]).items()
    ]
    record = dict(command='', split='test', baseline='supervised', rows=rows)
    monkeypatch.setitem(TABLES['table'].__globals__, 'read_record', lambda name: record)
    assert '+0.67 ± 1.53, a tie (-1.00, +2.00, +1.00) |' in TABLES['table']('g')


def test_a_row_that_has_changed_since_is_marked_in_every_table(monkeypatch):
    monkeypatch.chdir(ROOT)
    record = TABLES['read_record']('recommended_camvid')
    monkeypatch.setitem(TABLES['table'].__globals__, 'read_record', lambda name: record)
    monkeypatch.setitem(
        TABLES['table'].__globals__,
        'SUMMARY',
        (('CamVid', '20', 'recommended_camvid', 'recommended', {'n': 20}, 'camvid'),),
    )
    (row,) = [r for r in record['rows'] if (r['method'], r['axes']) == ('recommended', {'n': 20})]
    line = '| [CamVid](docs/recommended.md#camvid) |'
    assert line in TABLES['table']('summary')
    row['hashes'] = {**row['hashes'], 'config': 'another'}
    text = TABLES['table']('recommended_camvid')
    assert '| supervised | ' in text and f'| {TABLES["SHOWN"]["recommended"]} † | ' in text
    assert '† Changed since: its config.' in text
    text = TABLES['table']('summary')
    assert line.replace(') |', ') † |') in text and '† Config or code have changed' in text
