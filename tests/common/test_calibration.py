"""Calibration: bins by hand, and no error where what is predicted comes true."""

import numpy as np
import pytest

from sb3_ext.common import calibration


def test_bins_by_hand():
    found = calibration([0.05, 0.15, 0.95, 1.0], [0, 1, 1, 0], n_bins=10)
    assert found.predicted.tolist() == pytest.approx([0.05, 0.15, 0.975])
    assert found.observed.tolist() == [0, 1, 0.5]
    assert found.counts.tolist() == [1, 1, 2]
    assert found.error == pytest.approx((0.05 + 0.85 + 2 * 0.475) / 4)


def test_what_comes_true_has_no_error():
    generator = np.random.default_rng(0)
    p = generator.random(200_000)
    assert calibration(p, generator.random(200_000) < p).error < 0.01
    assert calibration(p, p).error == pytest.approx(0, abs=1e-9)
    assert calibration(p, generator.random(200_000) < p**2).error > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5], [1, 0]), "must be \\[n\\]"),
        (([], []), "must be \\[n\\]"),
        (([1.5], [1]), "probabilities must lie in \\[0, 1\\], got 1.5 to 1.5"),
        (([np.nan], [1]), "probabilities must lie in"),
        (([0.5], [1], 0), "n_bins must be at least 1, got 0"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        calibration(*arguments)
