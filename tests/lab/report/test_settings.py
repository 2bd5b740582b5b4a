"""What differs between configs, and their overview."""

from made_up_runs import write_run
from mmengine.config import Config

from cct_mm.lab.report.runs import Group, Run
from cct_mm.lab.report.settings import Difference, differences, overview


def test_differences_are_the_smallest_entries_that_are_not_the_same():
    first = Config(dict(model=dict(type='A', k=1), train_cfg=dict(max_iters=2)))
    second = Config(dict(model=dict(type='B', k=1, more=dict(x=1)), train_cfg=dict(max_iters=2)))
    assert differences([first, second]) == [
        Difference('model.type', ("'A'", "'B'")),
        Difference('model.more', (None, "{'x': 1}")),
    ]


def test_same_configs_have_none():
    config = Config(dict(model=dict(k=[1, 2])))
    assert differences([config, config]) == []


def test_where_a_run_was_started_and_what_only_the_file_knows_is_no_difference():
    model = dict(type='A')
    first = Config(dict(work_dir='a', resume=True, load_from='x', helper=1, model=model))
    # mmengine's note on an entry from a config of mmseg.
    noted = dict(model, _scope_='mmseg')
    second = Config(dict(work_dir='b', resume=False, helper=2, model=noted))
    assert differences([first, second]) == []


def test_an_overview_says_what_is_known(tmp_path):
    run = Run(write_run(tmp_path, method='CCT', seed=3))
    rows = overview(Group('cct', 'cct', (run,)))
    assert rows['Method'] == 'CCT'
    assert rows['Encoder'] == 'TinyNet 18'
    assert rows['Domains'] == 'day: sky, ground'
    assert (rows['Iterations'], rows['Seeds']) == ('4', '3')
    assert 'Auxiliary decoders' not in rows


def test_an_overview_of_a_run_without_config_has_its_folder(tmp_path):
    assert overview(Group('a', 'a', (Run(tmp_path),)))['Work dir'] == str(tmp_path)
