"""Maximisation bias, exactly: the largest of noisy values is too large on average, the double estimator is too small.

Let Qhat be a noisy table with mean q. Q-learning takes max_a Qhat(s, a) for max_a q(s, a); double Q-learning asks one
table for the action and an independent one for its value (Sutton & Barto, 2nd ed., section 6.7; van Hasselt 2010):

    single:   E[max_a Qhat(s, a)] - max_a q(s, a)                                >= 0  (Jensen)
    double:   sum_a P(a = argmax Qhat(s, .)) q(s, a) - max_a q(s, a)             <= 0  (a mean of q against its largest)

Two kinds of noise: independent Gaussians, by quadrature; and a list of possible tables (those of some seeds, say), by
enumeration. ``target_bias`` then says what that does to the targets r + gamma max Qhat(s', .) of a world. Noise that is
correlated with the transitions, as a table has that learned from them, is not covered.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from sb3_ext.tabular.mdp import TabularMDP
from sb3_ext.tabular.planning import check_gamma

Floats = npt.NDArray[np.float64]
EDGES = np.array([0.0, 1.0, 2.0, 3.0, 4.5, 6.0, 9.0])  # in standard deviations: beyond 9 there is 1e-19
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)  # between two edges: errors of rounding only


class MaximizationBias(NamedTuple):
    """What is wrong on average, of one shape each.

    Attributes:
        single: Of the maximum over one table, at least 0.
        double: Of the double estimator with two independent tables, at most 0.
    """

    single: Floats
    double: Floats


def gaussian_maximization_bias(means: npt.ArrayLike, stds: npt.ArrayLike) -> MaximizationBias:
    """The biases if each value is Gaussian, all independent; by Gauss-Legendre quadrature, to about 1e-13.

    With F(x) = prod_a Phi((x - q_a) / sigma_a) and m = max_a q_a, the single estimator's is
    ``integral_m^inf (1 - F) - integral_-inf^m F``.

    Args:
        means: q [..., A].
        stds: sigma, anything that broadcasts to the shape of means, at least 0.

    Returns:
        Biases [...].

    Raises:
        ValueError: If shapes disagree, a number is not finite, or a standard deviation is negative.

    Example:
        >>> bias = gaussian_maximization_bias([[0.0, 0.0], [0.0, 1.0], [0.0, 9.0]], stds=1.0)
        >>> bias.single.round(3), bias.double.round(3)  # the larger the gap, the smaller
        (array([0.564, 0.2  , 0.   ]), array([ 0.  , -0.24, -0.  ]))
    """
    means, stds = _checked(means, stds)
    points, weights = _quadrature(means, stds)
    below = _cumulative(points, means, stds).prod(axis=-1)
    largest = means.max(axis=-1, keepdims=True)
    single = (weights * np.where(points > largest, 1 - below, -below)).sum(axis=-1)
    return MaximizationBias(single, (greedy_probabilities(means, stds) * (means - largest)).sum(axis=-1))


def greedy_probabilities(means: npt.ArrayLike, stds: npt.ArrayLike) -> Floats:
    """How probably each action looks best, if each value is Gaussian, all independent.

    Args:
        means: q [..., A].
        stds: Anything that broadcasts to the shape of means, at least 0; of equal values without noise, the first
            counts as the largest.

    Returns:
        P(a = argmax_a Qhat_a) [..., A].

    Raises:
        ValueError: As ``gaussian_maximization_bias``.

    Example:
        >>> greedy_probabilities([0.0, 1.0, 1.0], stds=[1.0, 0.0, 0.0]).round(4)
        array([0.1587, 0.8413, 0.    ])
    """
    means, stds = _checked(means, stds)
    points, weights = _quadrature(means, stds)
    below = _cumulative(points, means, stds)
    noisy = stds > 0
    score = (points[..., None] - means[..., None, :]) / np.where(noisy, stds, 1.0)[..., None, :]
    density = np.exp(-(score**2) / 2) / np.sqrt(2 * np.pi) / np.where(noisy, stds, 1.0)[..., None, :]
    actions = range(means.shape[-1])
    others = np.stack([np.delete(below, a, axis=-1).prod(axis=-1) for a in actions], axis=-1)
    probabilities = np.where(noisy, (weights[..., None] * density * others).sum(axis=-2), 0.0)
    return np.where(_best_without_noise(means, noisy), 1 - probabilities.sum(axis=-1, keepdims=True), probabilities)


def table_maximization_bias(tables: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> MaximizationBias:
    """The biases if the table is one of N, by enumeration; q is their mean. The values of a table may be correlated.

    Args:
        tables: [N, ..., A].
        weights: Their probabilities [N]; equal if left out.

    Returns:
        Biases [...]; the double estimator's for two independent draws.

    Raises:
        ValueError: If a number is not finite or weights are no distribution over tables.

    Example:
        >>> table_maximization_bias([[1.0, -1.0], [-1.0, 1.0]])
        MaximizationBias(single=array(1.), double=array(0.))
    """
    array = np.asarray(tables, dtype=np.float64)
    if array.ndim < 2 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"tables must be finite numbers [N, ..., A], got shape {list(array.shape)}")
    chances = np.full(len(array), 1 / len(array)) if weights is None else np.asarray(weights, dtype=np.float64)
    if chances.shape != (len(array),) or not (chances >= 0).all() or abs(chances.sum() - 1) > 1e-8:
        raise ValueError(f"weights must be {len(array)} probabilities that sum to 1, got {chances}")
    means = np.tensordot(chances, array, axes=1)
    is_chosen = array.argmax(axis=-1)[..., None] == np.arange(array.shape[-1])
    chosen = np.tensordot(chances, is_chosen, axes=1)
    largest = means.max(axis=-1)
    single = np.tensordot(chances, array.max(axis=-1), axes=1) - largest
    return MaximizationBias(np.asarray(single), np.asarray((chosen * (means - largest[..., None])).sum(axis=-1)))


def target_bias(mdp: TabularMDP, state_bias: MaximizationBias, gamma: float) -> MaximizationBias:
    """What the bias of the next state's value does to the target: gamma sum_s' p(s' | s, a) bias(s').

    That is E[r + gamma max_a' Qhat(s', a')] - (T* q)(s, a), and likewise for the double estimator.

    Args:
        mdp: The process.
        state_bias: Biases [S], as ``gaussian_maximization_bias`` and ``table_maximization_bias`` give them.
        gamma: Discount in [0, 1].

    Returns:
        Biases [S, A].

    Raises:
        ValueError: If biases are not [S] or gamma is out of range.

    Example:
        >>> mdp = TabularMDP.from_arrays([[0, 0]], [[0.0, 0.0]], [[False, True]])
        >>> target_bias(mdp, gaussian_maximization_bias([[0.0, 0.0]], stds=1.0), gamma=0.5).single.round(3)
        array([[0.282, 0.   ]])
    """
    check_gamma(gamma)
    for bias in state_bias:
        if np.shape(bias) != (mdp.n_states,):
            raise ValueError(f"biases must be [{mdp.n_states}], one for each state, got {list(np.shape(bias))}")
    going_on = mdp.probability * ~mdp.terminated
    return MaximizationBias(*(gamma * np.einsum("sak,sak->sa", going_on, bias[mdp.next_state]) for bias in state_bias))


def _quadrature(means: Floats, stds: Floats) -> tuple[Floats, Floats]:
    """Points and weights [..., n]: Gauss-Legendre between any two neighbours of all actions' means and edges."""
    offsets = np.unique(np.concatenate([-EDGES, EDGES]))
    edges = np.sort((means[..., None] + stds[..., None] * offsets).reshape(*means.shape[:-1], -1), axis=-1)
    half, middle = (edges[..., 1:] - edges[..., :-1]) / 2, (edges[..., 1:] + edges[..., :-1]) / 2
    points = middle[..., None] + half[..., None] * NODES
    weights = half[..., None] * WEIGHTS
    return points.reshape(*means.shape[:-1], -1), weights.reshape(*means.shape[:-1], -1)


def _cumulative(points: Floats, means: Floats, stds: Floats) -> Floats:
    """P(Qhat_a <= x) [..., n, A]; a step where there is no noise."""
    distance, scale = points[..., None] - means[..., None, :], stds[..., None, :]
    return np.where(scale > 0, ndtr(distance / np.where(scale > 0, scale, 1.0)), distance >= 0)


def _best_without_noise(means: Floats, noisy: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The first largest action without noise, True once in each row that has such; [..., A]."""
    masked = np.where(noisy, -np.inf, means)
    return (masked.argmax(axis=-1)[..., None] == np.arange(means.shape[-1])) & ~noisy


def _checked(means: npt.ArrayLike, stds: npt.ArrayLike) -> tuple[Floats, Floats]:
    array, deviation = np.asarray(means, dtype=np.float64), np.asarray(stds, dtype=np.float64)
    if not array.ndim or not array.size or not np.isfinite(array).all():
        raise ValueError(f"means must be finite numbers [..., A], got shape {list(array.shape)}")
    if not (np.isfinite(deviation) & (deviation >= 0)).all():
        raise ValueError("standard deviations must be finite and not negative")
    try:
        return array, np.broadcast_to(deviation, array.shape)
    except ValueError:
        raise ValueError(f"stds of shape {deviation.shape} do not broadcast to means of {array.shape}") from None
