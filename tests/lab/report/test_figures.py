"""Curves and what is drawn of them."""

import re
import xml.etree.ElementTree as ET

import numpy as np

from cct_mm.lab.report.figures import COLORS, POINTS, Curve, dashes, draw, make_curve


class TestCurve:
    def test_of_several_runs_is_their_mean_and_range_where_all_have_values(self):
        curve = make_curve([{1: 1.0, 2: 4.0, 3: 0.0}, {1: 3.0, 2: 2.0}], series=2)
        assert curve.steps.tolist() == [1, 2]
        assert curve.values.tolist() == [2.0, 3.0]
        assert (curve.low.tolist(), curve.high.tolist()) == ([1.0, 2.0], [3.0, 4.0])
        assert curve.series == 2

    def test_of_one_run_has_no_range(self):
        curve = make_curve([{2: 1.0, 1: 0.0}], series=0)
        assert (curve.steps.tolist(), curve.values.tolist()) == ([1, 2], [0.0, 1.0])
        assert curve.low is curve.high is None

    def test_without_a_common_step_there_is_none(self):
        assert make_curve([{1: 0.0}, {2: 0.0}], series=0) is None
        assert make_curve([], series=0) is None

    def test_a_long_log_keeps_its_ends_and_a_bounded_number_of_points(self):
        curve = make_curve([{step: float(step) for step in range(10_000)}], series=0)
        assert len(curve.steps) <= POINTS
        assert (curve.steps[0], curve.steps[-1]) == (0, 9999)


class TestDrawing:
    CURVES = (
        Curve(np.array([1, 2]), np.array([1.0, 2.0])),
        Curve(np.array([1, 2]), np.array([1.0, 2.0]), np.zeros(2), np.ones(2), series=3),
    )

    def test_takes_its_colors_from_the_page(self):
        svg = draw(self.CURVES, 'a')
        assert 'var(--series-0)' in svg
        assert 'var(--series-3)' in svg
        assert not re.search('#a1b2', svg)

    def test_is_one_element_that_says_what_it_shows_escaped(self):
        svg = draw(self.CURVES, '<b>"x"&')
        assert ET.fromstring(svg).get('aria-label') == '<b>"x"&'

    def test_ids_are_those_that_are_referred_to_and_differ_between_figures(self):
        first, second = (
            set(re.findall(r' id="([^"]+)"', draw(self.CURVES, alternative)))
            for alternative in 'ab'
        )
        assert not first & second
        svg = draw(self.CURVES, 'a')
        assert first == set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))

    def test_is_the_same_each_time(self):
        assert draw(self.CURVES, 'a') == draw(self.CURVES, 'a')


def test_series_of_one_color_differ_in_their_dashes():
    for series in range(2 * COLORS):
        assert dashes(series) != dashes(series + COLORS)
