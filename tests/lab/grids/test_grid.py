import pytest

from cct_mm.engine.config_options import parse_options
from cct_mm.lab.grids import GridError, load_grid

GOOD = """
name: toy
methods: {supervised: configs/supervised.py, cct: configs/cct.py}
baseline: supervised
seeds: [0, 1]
"""


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_grid_without_a_baseline_compares_nothing(lab):
    lab.grid_file(changed('baseline: supervised', ''))
    assert load_grid('grid.yaml').baseline is None


@pytest.mark.parametrize(
    ('text', 'key', 'fix'),
    [
        (GOOD + 'axis: {n: [1]}', "'axis'", 'did you mean axes?'),
        (GOOD + 'seeds: [3]', "'seeds'", 'stands twice'),
        (changed('name: toy', ''), 'name', 'add a line "name: ..."'),
        (changed('name: toy', 'name: a/b'), 'name', 'rename the grid'),
        (changed('baseline: supervised', 'baseline: base'), 'baseline', 'supervised, cct'),
        (changed('[0, 1]', '[0, 1, 0]'), 'seeds', 'remove the repeated one'),
        (changed('[0, 1]', '[]'), 'seeds', 'write "seeds: [0, 1, 2]"'),
        (changed('[0, 1]', '[true]'), 'seeds', 'a list of integers'),
        (changed('[0, 1]', '2'), 'seeds', 'a list of integers'),
        (changed('configs/cct.py', 'configs/cct2.py'), 'methods.cct.config', 'correct the path'),
        (changed('configs/cct.py', '"configs/{n}.py"'), 'methods.cct', 'add "n: [...]" under axes'),
        (changed('configs/cct.py', '"configs/{.py"'), 'methods.cct', 'balanced braces'),
        (changed('configs/cct.py', '{conf: x}'), "'conf'", 'did you mean config?'),
        (changed('configs/cct.py', '3'), 'methods.cct', 'a mapping'),
        (GOOD + 'axes: {n: [1]}', 'axes', 'put {n} into'),
        (GOOD + 'axes: {n: 20}', 'axes.n', 'write "n: [20]"'),
        (GOOD + 'axes: {n: [a/b]}', 'axes.n', 'letters'),
        (GOOD + 'axes: {n: [1, 1]}', 'axes.n', 'remove the repeated one'),
        (GOOD + 'split: train', 'split', 'test, val'),
        (GOOD + 'threads: 0', 'threads', 'an integer from 1'),
        (GOOD + 'cfg_options: [a]', 'cfg_options', 'a mapping'),
        (GOOD + 'cfg_options: {randomness: {seed: 3}}', 'randomness.seed', 'use seeds:'),
        (GOOD + 'cfg_options: {a: "x y"}', 'a is', 'set it in a config file'),
        (GOOD + 'cfg_options: {a: "[1,(2]"}', 'a is', 'set it in a config file'),
        (GOOD + 'cfg_options: {a: {}}', 'a is', 'set it in a config file'),
        ('- 1', 'the content', 'a mapping'),
        ('a: [', 'not YAML', 'correct'),
    ],
)
def test_an_error_is_one_line_with_file_key_and_fix(lab, text, key, fix):
    lab.grid_file(text)
    with pytest.raises(GridError) as error:
        load_grid('grid.yaml')
    message = str(error.value)
    assert message.startswith('grid.yaml: ')
    assert key in message
    assert fix in message
    assert '\n' not in message


def test_a_missing_grid_file_is_named(lab):
    with pytest.raises(GridError, match=r'^other.yaml: .*No such file'):
        load_grid('other.yaml')


def test_seeds_come_outermost_so_that_an_interrupted_grid_has_pairs(lab):
    names = [run.name for run in lab.grid().runs]
    assert names == ['supervised_seed0', 'cct_seed0', 'supervised_seed1', 'cct_seed1']


def test_axes_fill_paths_and_options_and_a_method_runs_for_those_that_it_names(lab):
    for n in (20, 100):
        lab.write(f'configs/n{n}.py', '')
    lab.grid_file(
        """
        name: toy
        methods:
          supervised: configs/n{n}.py
          cct:
            config: configs/n{n}.py
            cfg_options: {model: {weight: '{weight}', channels: 4}}
        baseline: supervised
        axes: {n: [20, 100], weight: [1e-3, 10]}
        seeds: [7]
        cfg_options: {model.channels: 2, lr: 1e-3, sizes: [1, 2], flag: false}
        """
    )
    runs = {run.name: run for run in lab.grid().runs}
    assert list(runs) == [
        'supervised_n=20_seed7',
        'supervised_n=100_seed7',
        'cct_n=20_weight=1e-3_seed7',
        'cct_n=20_weight=10_seed7',
        'cct_n=100_weight=1e-3_seed7',
        'cct_n=100_weight=10_seed7',
    ]
    run = runs['cct_n=100_weight=1e-3_seed7']
    assert run.config == 'configs/n100.py'
    assert parse_options(run.cfg_options) == {
        'randomness.seed': 7,
        'model.channels': 4,
        'lr': 0.001,
        'sizes': [1, 2],
        'flag': False,
        'model.weight': 0.001,
    }
