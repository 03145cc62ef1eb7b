"""Learning curves: the right mean, the right band."""

import numpy as np
from matplotlib.figure import Figure

from sb3_ext.zoo import curves


def test_rolling_mean_is_that_of_the_last_episodes_before_each_point(monkeypatch):
    monkeypatch.setattr(curves, "WINDOW", 2)
    means = curves.rolling_mean(([10, 20, 20, 40], [1, 3, 8, 0]), np.array([9, 10, 20, 39, 40]))
    np.testing.assert_array_equal(means, [np.nan, 1, 5.5, 5.5, 4])


def test_runs_are_drawn_as_their_median_up_to_the_shortest():
    axes = Figure().subplots()
    curves.draw_runs(axes, [([10, 100], [1, 1]), ([10, 80], [2, 2]), ([10, 90], [9, 9])], label="three")
    (line,) = axes.get_lines()
    assert line.get_label() == "three"
    assert line.get_xdata()[0] >= 10  # nothing is drawn before an episode has ended
    assert line.get_xdata()[-1] == 80
    np.testing.assert_array_equal(line.get_ydata(), 2)
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert (low, high) == (1, 9)
