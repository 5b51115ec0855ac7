"""The report's charts: lines where the numbers are, round ticks, no more points than can be seen."""

import numpy as np
import pytest

from pipeline.report.chart_model import Series
from pipeline.report.charts import binned, line_chart
from pipeline.report.ticks import nice_ticks


def test_a_line_goes_through_its_points_and_outliers_are_held_at_the_edge():
    points = Series("a", "b", np.array([0.0, 0.5, 1.0, 2.0]), np.array([0.0, 1.0, np.nan, -5.0]))
    chart = line_chart("t", "x", "y", [points], (0.0, 1.0), (0.0, 1.0))
    middle = (chart.left + chart.right) / 2
    expected = f"M{chart.left},{chart.bottom} {middle:g},{chart.top} {chart.right},{chart.bottom}"
    assert chart.lines == [("a", "b", expected)]


def test_points_that_fall_on_one_another_are_drawn_once():
    x = np.linspace(0, 1, 10_001)
    chart = line_chart("t", "x", "y", [Series("a", "b", x, x * 0)], (0.0, 1.0), (0.0, 1.0))
    assert len(chart.lines[0][2].split()) < 3_000
    empty = line_chart("t", "x", "y", [Series("a", "b", x[:0], x[:0])], (3.0, 3.0), (0.0, 1.0))
    assert empty.lines == [("a", "b", "")]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 600.0, [0.0, 200.0, 400.0, 600.0]),
        (-6.0, -3.0, [-6.0, -5.0, -4.0, -3.0]),
        (0.37, 0.42, [0.37, 0.38, 0.39, 0.40, 0.41, 0.42]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, ticks: list[float]):
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_binning_keeps_the_mean():
    x, y = binned(np.arange(12.0), np.arange(12.0) ** 2, 3)
    np.testing.assert_allclose(x, [1.5, 5.5, 9.5])
    np.testing.assert_allclose(y, [3.5, 31.5, 91.5])
    assert y.mean() == pytest.approx((np.arange(12.0) ** 2).mean())
