"""The page: valid, whole without a network, and safe from the names that it shows."""

import json
import shutil

import pytest
from html_check import Page
from made_up_runs import make_evaluation, write_grid_run, write_run

from cct_mm.lab.report import write_report
from cct_mm.lab.report.page import render
from cct_mm.lab.report.runs import Group, Run
from cct_mm.lab.report.tables import MATRIX_CLASSES, Measured

ODD = '<b>"x"&\'{{ 1 }}$y_'
LIMIT = 5_000_000


@pytest.fixture
def measure(tmp_path):
    """Make a measured group of one run."""

    def measure(title, **options):
        evaluation = make_evaluation(**options)
        folder = write_run(tmp_path / str(len(list(tmp_path.iterdir()))))
        return Measured(Group(title, title, (Run(folder),)), {0: evaluation.metrics}, evaluation)

    return measure


def page_of(*measured, notes=()):
    return Page(render(measured, 'val', notes, 'python tools/report.py'))


def test_of_a_comparison_is_valid_and_whole(measure):
    page = page_of(measure('supervised'), measure('cct', seed=1))
    assert page.problems == []
    assert 'Differences between the configs' in page.text


def test_of_one_run_compares_nothing(measure):
    page = page_of(measure('supervised'))
    assert page.problems == []
    assert 'Differences' not in page.text
    assert 'corrected' not in page.text


def test_names_are_text_wherever_they_stand(measure):
    odd = measure(ODD, classes=('sky', ODD), domain=ODD)
    page = page_of(measure('supervised'), odd, notes=[f'{ODD} is missing'])
    assert page.problems == []
    assert not any(tag == 'b' for tag, _ in page.elements)
    # As heading, card, legend, column, class, caption, ...
    assert page.text.count(ODD) > 10
    assert f'{ODD} is missing' in page.text


def test_says_what_is_missing(measure):
    assert 'What is missing' not in page_of(measure('a')).text
    assert 'no whole checkpoint' in page_of(measure('a'), notes=['no whole checkpoint']).text


def test_of_many_classes_and_large_pictures_is_bounded(measure):
    classes = [f'class {i}' for i in range(MATRIX_CLASSES)]
    groups = [measure(f'run {i}', classes=classes, images=4, side=320) for i in range(4)]
    assert len(render(groups, 'val', [], '')) < LIMIT


def test_too_many_classes_have_no_matrix_but_their_largest_confusions(measure):
    classes = [f'class {i}' for i in range(MATRIX_CLASSES + 1)]
    page = page_of(measure('a', classes=classes))
    assert page.problems == []
    assert 'too many for a matrix' in page.text
    assert 'taken for' in page.text


@pytest.mark.parametrize(
    ('others', 'kind'), [((43.0, 45.0), 'gain'), ((37.0, 42.0), 'loss'), ((39.0, 46.0), 'quiet')]
)
def test_a_difference_within_its_spread_is_neither_gain_nor_loss(tmp_path, others, kind):
    # Of the baseline's 40 and 44: +3 and +1, -3 and -2, -1 and +2.
    for seed, (baseline, other) in enumerate(zip((40.0, 44.0), others, strict=True)):
        write_grid_run(tmp_path / 'grid', 'supervised', seed, baseline)
        write_grid_run(tmp_path / 'grid', 'cct', seed, other)
    page = Page(write_report([tmp_path / 'grid'], tmp_path / 'report.html').read_text())
    kinds = {attributes.get('class') for tag, attributes in page.elements if tag == 'span'}
    assert kinds & {'gain', 'loss', 'quiet'} == {kind}


class TestWithoutCheckpoints:
    """What there is of a run is shown, and what is missing is said."""

    def test_a_run(self, tmp_path):
        folder = write_run(tmp_path / 'run', miou=42.0)
        out = write_report([folder], tmp_path / 'report.html')
        page = Page(out.read_text())
        assert page.problems == []
        assert 'run has no whole checkpoint' in page.text
        # The last validation is known from the log.
        assert '42.00' in page.text

    def test_a_grid_has_mean_spread_and_paired_differences_of_what_it_was_evaluated_on(
        self, tmp_path
    ):
        for seed, (baseline, other) in enumerate([(40.0, 43.0), (44.0, 45.0)]):
            write_grid_run(tmp_path / 'grid', 'supervised', seed, baseline)
            write_grid_run(tmp_path / 'grid', 'cct', seed, other)
        out = write_report([tmp_path / 'grid'], tmp_path / 'report.html')
        page = Page(out.read_text())
        assert page.problems == []
        for part in ('42.00 ± 2.83', '44.00 ± 1.41', '+2.00 ± 1.41', '0: +3.00, 1: +1.00'):
            assert part in page.text
        assert 'Scores on the test images' in page.text

    def test_a_grid_evaluated_over_scales_is_shown_without_and_says_so(self, tmp_path):
        write_grid_run(tmp_path / 'grid', 'supervised', 0, 40.0, split='test+tta')
        page = Page(write_report([tmp_path / 'grid'], tmp_path / 'report.html').read_text())
        assert page.problems == []
        assert 'Scores on the test images' in page.text
        assert 'evaluated as test+tta' in page.text

    def test_a_mean_over_other_domains_is_not_compared(self, tmp_path):
        for method, miou in (('supervised', 40.0), ('cct', 33.0)):
            folder = write_grid_run(tmp_path / 'grid', method, 0, miou)
        path = folder / 'evaluation_test/metrics.json'
        both = {'day/IoU.sky': 41.0, 'day/mIoU': 41.0, 'night/IoU.sky': 25.0, 'night/mIoU': 25.0}
        path.write_text(json.dumps({**both, 'mIoU': miou}))
        text = Page(write_report([tmp_path / 'grid'], tmp_path / 'report.html').read_text()).text
        assert '+1.00' in text
        assert '-7.00' not in text and '−7.00' not in text

    def test_the_seeds_of_a_mean_are_those_that_have_it(self, tmp_path):
        for seed in range(3):
            folder = write_grid_run(tmp_path / 'grid', 'cct', seed, 40.0 + seed)
        # Of the last there is neither a score nor a checkpoint.
        shutil.rmtree(folder / 'evaluation_test')
        text = Page(write_report([tmp_path / 'grid'], tmp_path / 'report.html').read_text()).text
        assert '2 seeds' in text and '3 seeds' not in text

    def test_a_run_without_anything_but_its_log(self, tmp_path):
        folder = write_run(tmp_path / 'run')
        for path in folder.glob('*/vis_data/config.py'):
            path.unlink()
        page = Page(write_report([folder], tmp_path / 'report.html', split='test').read_text())
        assert page.problems == []
        assert 'No scores on these images are known' in page.text
