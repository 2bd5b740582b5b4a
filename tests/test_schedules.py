"""Ramp-up shapes at points computed by hand, and the paper's two schedules."""

import math

import pytest

from cct_mm.schedules import SHAPES, Progress, RampUp

E5, E1 = 0.006737946999085467, 0.36787944117144233  # e^-5, e^-1


class TestShapes:
    @pytest.mark.parametrize(
        ('shape', 'x', 'value'),
        [
            ('exp', 0, E5),
            ('exp', 0.5, 0.0820849986238988),  # e^-2.5
            ('exp', 0.8, E1),
            ('exp', 1, 1),
            ('exp', 7, 1),
            ('exp', 1000, 1),  # the end of a run whose ramp is a thousandth of it
            ('gaussian', 0, E5),
            ('gaussian', 0.5, 0.2865047968601901),  # e^-1.25
            ('gaussian', 1, 1),
            ('gaussian', 7, 1),
            ('linear', 0, 0),
            ('linear', 0.25, 0.25),
            ('linear', 1, 1),
            ('linear', 7, 1),
            ('cosine', 0, 0),
            ('cosine', 1 / 3, 0.25),  # cos 60 degrees = 1/2
            ('cosine', 0.5, 0.5),
            ('cosine', 1, 1),
            ('cosine', 7, 1),
            ('log', 0, 0),
            ('log', 0.2, 1 - E1),
            ('log', 1, 1 - E5),
            ('log', 2, 1 - E5**2),
            ('log-held', 0.2, 1 - E1),
            ('log-held', 1, 1 - E5),
            ('log-held', 7, 1 - E5),
        ],
    )
    def test_value(self, shape, x, value):
        assert SHAPES[shape](x) == pytest.approx(value, rel=1e-14, abs=1e-15)

    @pytest.mark.parametrize('shape', SHAPES)
    def test_rises_within_0_and_1(self, shape):
        values = [SHAPES[shape](i / 50) for i in range(151)]
        assert values == sorted(values)
        assert 0 <= values[0] < 0.01 and 0.99 < values[50] <= values[-1] <= 1

    def test_gaussian_is_steeper_at_first_and_flat_at_the_end(self):
        step = 1e-6
        at_end = (SHAPES['gaussian'](1) - SHAPES['gaussian'](1 - step)) / step
        assert at_end == pytest.approx(0, abs=1e-4)
        assert (SHAPES['exp'](1) - SHAPES['exp'](1 - step)) / step == pytest.approx(5, rel=1e-4)


class TestRampUp:
    @pytest.mark.parametrize(
        ('iteration', 'value'),
        [(0, 30 * E5), (80, 30 * E1), (100, 30), (101, 30), (999, 30)],
    )
    def test_unsupervised_weight_of_equation_16(self, iteration, value):
        ramp = RampUp(final=30, shape='exp', length=0.1)
        assert ramp(Progress(iteration, 1000, 0)) == pytest.approx(value, rel=1e-14)

    @pytest.mark.parametrize(
        ('iteration', 'value'),
        [
            (0, 0.25),
            (8, 0.25 + 0.65 * (1 - E1)),
            (40, 0.25 + 0.65 * (1 - E5)),
            (80, 0.25 + 0.65 * (1 - E5**2)),
        ],
    )
    def test_threshold_of_equation_17_rises_beyond_the_ramp(self, iteration, value):
        ramp = RampUp(final=0.9, shape='log', length=0.4, start=1 / 4)
        assert ramp(Progress(iteration, 100, 0)) == pytest.approx(value, rel=1e-14)

    def test_minimum_of_equation_17_holds_at_all_times(self):
        ramp = RampUp(final=0.9, shape='log', length=0.01, start=1 / 11)
        values = [ramp(Progress(i, 1000, 0)) for i in range(1000)]
        assert max(values) <= 0.9
        assert values[-1] == pytest.approx(0.9, abs=1e-15)

    @pytest.mark.parametrize('shape', SHAPES)
    @pytest.mark.parametrize('iteration', [0, 1, 99])
    def test_length_0_is_no_ramp(self, shape, iteration):
        ramp = RampUp(final=30, shape=shape, length=0, start=3)
        assert ramp(Progress(iteration, 100, 0)) == 30

    def test_length_1_ends_with_training(self):
        ramp = RampUp(final=2, shape='linear', length=1)
        assert [ramp(Progress(i, 4, 0)) for i in range(5)] == [0, 0.5, 1, 1.5, 2]

    def test_value_may_fall(self):
        ramp = RampUp(final=1, shape='linear', length=0.5, start=3)
        assert [ramp(Progress(i, 8, 0)) for i in range(6)] == [3, 2.5, 2, 1.5, 1, 1]

    def test_depends_on_progress_through_the_share_of_training_only(self):
        ramp = RampUp(final=30, length=0.3)
        short, long = ramp(Progress(10, 100, 0)), ramp(Progress(1000, 10000, 5))
        assert math.isclose(short, long, rel_tol=1e-14)

    def test_unknown_shape(self):
        message = "RampUp: .*shape 'sigmoid'.*exp, gaussian, linear, cosine, log"
        with pytest.raises(ValueError, match=message):
            RampUp(1.0, shape='sigmoid')

    @pytest.mark.parametrize('length', [-0.1, 1.5, 4000, float('nan')])
    def test_length_outside_0_and_1(self, length):
        message = rf'RampUp: length is {length}, .*share of the training run in \[0, 1\]'
        with pytest.raises(ValueError, match=message):
            RampUp(1.0, length=length)
