"""What work dirs and folders of grids are read as."""

import json

import pytest
from made_up_runs import write_grid_run, write_run

from cct_mm.lab.report import ReportError
from cct_mm.lab.report.runs import Run, baseline_of, read_groups


def titles(groups):
    return [group.title for group in groups]


class TestOneRun:
    def test_sessions_are_joined_and_the_later_line_of_a_step_counts(self, tmp_path):
        write_run(tmp_path, miou=40.0, session='1', steps=(2, 4))
        write_run(tmp_path, miou=60.0, session='2', steps=(4, 6))
        run = Run(tmp_path)
        training, validation = run.scalars
        assert list(training) == [2, 4, 6]
        assert {step: line['mIoU'] for step, line in validation.items()} == {2: 40, 4: 60, 6: 60}
        assert (run.sessions, run.last_iteration) == (2, 6)

    def test_its_config_is_that_of_the_last_session(self, tmp_path):
        write_run(tmp_path, seed=1, session='1')
        write_run(tmp_path, seed=2, session='2')
        assert Run(tmp_path).config.randomness.seed == 2

    def test_its_config_is_not_that_of_a_later_test(self, tmp_path):
        write_run(tmp_path, seed=1, session='1')
        write_run(tmp_path, seed=2, session='2')
        (tmp_path / '2/vis_data/scalars.json').unlink()
        assert Run(tmp_path).config.randomness.seed == 1

    def test_without_config_or_checkpoint_there_is_none(self, tmp_path):
        run = Run(tmp_path)
        assert (run.config_file, run.checkpoint, dict(run.config)) == (None, None, {})
        assert run.scalars == ({}, {})

    def test_a_config_that_is_no_python_is_none(self, tmp_path):
        write_run(tmp_path)
        Run(tmp_path).config_file.write_text('model = dict(')
        assert dict(Run(tmp_path).config) == {}

    def test_the_last_validation_is_known_for_val_alone(self, tmp_path):
        run = Run(write_run(tmp_path, miou=42.0))
        assert run.known_metrics('val')['mIoU'] == 42.0
        assert run.known_metrics('test') == {}

    def test_a_validation_before_the_last_iteration_is_not_that_of_the_last_checkpoint(
        self, tmp_path
    ):
        write_run(tmp_path, steps=(2, 4))
        path = tmp_path / '1' / 'vis_data' / 'scalars.json'
        path.write_text(path.read_text() + '\n' + json.dumps({'iter': 5, 'step': 5, 'loss': 1.0}))
        assert Run(tmp_path).known_metrics('val') == {}


class TestGroups:
    def test_the_first_work_dir_is_the_baseline(self, tmp_path):
        folders = [write_run(tmp_path / name) for name in ('b', 'a')]
        groups = read_groups(folders)
        assert titles(groups) == ['b', 'a']
        assert baseline_of(groups[0], groups) is None
        assert baseline_of(groups[1], groups) is groups[0]

    @pytest.mark.parametrize('as_path', [True, False])
    def test_another_may_be_named_by_name_or_path(self, tmp_path, as_path):
        folders = [write_run(tmp_path / name) for name in ('b', 'a')]
        groups = read_groups(folders, str(folders[1]) if as_path else 'a')
        assert titles(groups) == ['a', 'b']

    def test_folders_of_one_name_are_told_apart_by_their_parents(self, tmp_path):
        folders = [write_run(tmp_path / name / 'run') for name in ('b', 'a')]
        assert titles(read_groups(folders)) == ['b/run', 'a/run']

    def test_a_grid_is_a_group_for_each_method_with_its_seeds_in_order(self, tmp_path):
        for seed in (10, 2):
            write_grid_run(tmp_path, 'cct', seed, 50.0)
            write_grid_run(tmp_path, 'supervised', seed, 40.0)
        groups = read_groups([tmp_path])
        assert titles(groups) == ['supervised', 'cct']
        assert [run.seed for run in groups[0].runs] == [2, 10]
        assert groups[1].first.known_metrics('test')['mIoU'] == 50.0

    def test_methods_are_compared_at_their_point_of_the_axes(self, tmp_path):
        for n in (20, 50):
            write_grid_run(tmp_path, 'supervised', 0, 40.0, n=n)
            for weight in (1, 2):
                write_grid_run(tmp_path, 'cct', 0, 50.0, n=n, weight=weight)
        groups = read_groups([tmp_path])
        compared = {group.title: baseline_of(group, groups) for group in groups}
        assert compared['supervised (n=50)'] is None
        assert compared['cct (n=50, weight=2)'].title == 'supervised (n=50)'
        assert compared['cct (n=20, weight=1)'].title == 'supervised (n=20)'

    def test_a_grid_evaluated_over_scales_has_its_methods_and_axes(self, tmp_path):
        for method in ('cct', 'supervised'):
            write_grid_run(tmp_path, method, 0, 40.0, split='test+tta', n=20)
        groups = read_groups([tmp_path])
        assert titles(groups) == ['supervised (n=20)', 'cct (n=20)']

    def test_a_run_that_is_not_finished_belongs_to_its_method(self, tmp_path):
        for seed in (0, 1):
            folder = write_grid_run(tmp_path, 'cct', seed, 50.0, n=20)
        (folder / 'result.json').unlink()
        (group,) = read_groups([tmp_path])
        assert (group.title, len(group.runs)) == ('cct (n=20)', 2)

    def test_methods_of_two_grids_are_told_apart(self, tmp_path):
        for grid in 'ab':
            write_grid_run(tmp_path / grid, 'cct', 0, 50.0)
        assert titles(read_groups([tmp_path / 'a', tmp_path / 'b'])) == ['a/cct', 'b/cct']

    def test_a_run_of_a_grid_may_be_named_alone(self, tmp_path):
        folder = write_grid_run(tmp_path, 'cct', 0, 50.0)
        (group,) = read_groups([folder])
        assert group.title == 'cct_seed0'
        assert group.first.known_metrics('test')['mIoU'] == 50.0

    def test_what_is_moved_aside_is_no_part_of_a_grid(self, tmp_path):
        write_grid_run(tmp_path, 'cct', 0, 50.0)
        write_grid_run(tmp_path / 'stale-1234', 'old', 0, 50.0)
        assert titles(read_groups([tmp_path])) == ['cct']


class TestErrors:
    def test_a_folder_that_is_no_run_and_no_grid(self, tmp_path):
        with pytest.raises(ReportError) as error:
            read_groups([tmp_path])
        for part in (str(tmp_path), 'expected the work dir', 'tools/train.py', 'check the path'):
            assert part in str(error.value)

    def test_no_folder(self, tmp_path):
        with pytest.raises(ReportError, match='nowhere holds no training'):
            read_groups([tmp_path / 'nowhere'])

    def test_an_unknown_baseline_names_those_there_are(self, tmp_path):
        folders = [write_run(tmp_path / name) for name in ('a', 'b')]
        with pytest.raises(ReportError, match=r'--baseline c: .*expected one of a, b'):
            read_groups(folders, 'c')

    def test_a_folder_named_twice(self, tmp_path):
        with pytest.raises(ReportError, match='twice'):
            read_groups([write_run(tmp_path / 'a')] * 2)
