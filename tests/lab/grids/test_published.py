import pytest

from cct_mm.lab.grids import make_summary
from cct_mm.lab.grids.jobs import read_jobs
from cct_mm.lab.grids.published import changes, run_of

TRAINING = 'train_cfg = dict(max_iters=6, val_interval=2)\n'


@pytest.fixture
def record(lab):
    """The record of a grid whose methods have dumps."""
    for name in ('configs_cct', 'other_cct_toy', 'other_supervised_toy'):
        lab.write(f'tests/dumps/{name}.json', '[1.0]')
    lab.change('configs/cct.py', 'train_cfg = dict(max_iters=6)\n', TRAINING)
    return lab.summary()


def found(record, **options):
    """What has changed since, by method."""
    return {row['method']: changes(record, row, '.', **options) for row in record['rows']}


def test_nothing_has_changed_at_first(lab, record):
    assert found(record) == found(record, exactly=True) == {'supervised': [], 'cct': []}


@pytest.mark.parametrize(
    ('path', 'old', 'new'),
    [
        ('configs/cct.py', 'model =', '# a comment\nmodel   ='),
        ('configs/cct.py', 'val_interval=2', 'val_interval=3'),
        ('configs/cct.py', 'dataset=', 'num_workers=2, dataset='),
        ('cct_mm/models/net.py', 'width = 1', 'width = 1  # of a layer'),
        ('cct_mm/models/net.py', 'width = 1', 'width = 3'),
        ('data/toy/train.txt', 'a.png labels', 'b.png labels'),
    ],
)
def test_what_does_not_change_results_marks_no_row(lab, record, path, old, new):
    lab.change(path, old, new)
    assert found(record) == {'supervised': [], 'cct': []}


def test_what_watches_every_run_marks_no_row(lab, record):
    hook = "custom_hooks = [dict(type='NewCheckHook')]\n"
    lab.write('configs/_base_/default_runtime.py', hook)
    lab.change('configs/cct.py', 'quality', f'{hook}quality')
    assert found(record)['cct'] == []
    lab.change('configs/cct.py', 'NewCheckHook', 'EMAHook')
    assert found(record)['cct'] == ['its config']


@pytest.mark.parametrize(
    ('path', 'old', 'new', 'what'),
    [
        ('configs/cct.py', 'channels=8', 'channels=9', 'its config'),
        ('configs/cct.py', 'max_iters=6', 'max_iters=7', 'its config'),
        ('grid.yaml', 'seeds', 'cfg_options: {model.channels: 9}\nseeds', 'its config'),
        ('grid.yaml', 'cct: configs/cct.py', 'ours: configs/cct.py', 'not there anymore'),
        ('tests/dumps/configs_cct.json', '1.0', '1.1', 'what the code computes'),
    ],
)
def test_what_changes_results_marks_the_row(lab, record, path, old, new, what):
    lab.change(path, old, new)
    assert what in found(record)['cct'][0]


def test_scales_and_flips_count_where_they_are_evaluated(lab):
    lab.change('configs/cct.py', 'quality', 'tta_pipeline = [0.5]\nquality')
    once = lab.summary()
    lab.change('grid.yaml', 'seeds', 'split: test+tta\nseeds')
    several = lab.summary()
    lab.change('configs/cct.py', 'tta_pipeline = [0.5]', 'tta_pipeline = [0.75]')
    assert found(once)['cct'] == [] and found(several)['cct'] == ['its config']


def test_a_config_without_a_dump_has_those_of_its_method(lab, record):
    lab.change('tests/dumps/other_supervised_toy.json', '1.0', '1.1')
    assert found(record) == {'supervised': ['what the code computes'], 'cct': []}


def test_a_dump_that_comes_later_says_nothing(lab, record):
    lab.write('tests/dumps/configs_supervised.json', '[2.0]')
    lab.write('tests/dumps/third_supervised_toy.json', '[3.0]')
    assert found(record)['supervised'] == []


def test_to_be_exactly_the_same_source_files_and_data_count(lab, record):
    lab.change('cct_mm/models/net.py', '1', '2')
    lab.change('data/toy/images/a.png', 'pixels', 'more pixels')
    assert found(record, exactly=True)['cct'] == ['source files', 'its data']


def test_another_data_folder_is_the_same_config(lab, record, monkeypatch):
    monkeypatch.setenv('CCT_MM_DATA', 'somewhere')
    lab.change('configs/cct.py', "'data/toy'", "'{{$CCT_MM_DATA:data}}/toy'")
    assert found(record)['cct'] == []


def test_rows_without_hashes_are_not_known(record):
    record['rows'][0].pop('hashes')
    assert found(record) == {'supervised': None, 'cct': []}
    record['changed'] = 'the weather'
    assert found(record) == {'supervised': ['the weather'], 'cct': ['the weather']}


def test_runs_of_another_config_get_no_hashes(lab):
    lab.run(lab.grid())
    lab.change('configs/cct.py', 'channels=8', 'channels=9')
    summary = make_summary(lab.grid(), read_jobs(lab.grid(), 'work', '.'), 'a command', '.')
    assert ['hashes' in row for row in summary['rows']] == [True, False]


def test_a_row_may_name_fewer_axes_than_its_grid_does_by_now(lab, record):
    lab.change('grid.yaml', 'seeds', 'axes: {n: [8]}\ncfg_options: {model.channels: "{n}"}\nseeds')
    run = run_of(record, record['rows'][1], seed=7)
    assert (run.name, run.options) == ('cct_n=8_seed7', ('model.channels=8',))
    assert found(record)['cct'] == []


def test_environment_is_what_machines_agree_on(record):
    environment = record['environment']
    assert environment['threads'] == 1 and environment['torch']
    assert 'host' not in environment and 'runs_at_a_time' not in environment
