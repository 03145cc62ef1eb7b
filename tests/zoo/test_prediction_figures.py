"""The book's figures on prediction: against reference values, exact theory and what the book says about them."""

import warnings
from functools import cache

import numpy as np
import pytest

from sb3_ext.envs.textbook.random_walk import random_walk_values
from sb3_ext.tabular.planning import look_ahead, policy_evaluation
from sb3_ext.zoo.book import prediction_figures as book


@cache
def measured(name, **how):
    """A figure's numbers, made once, with the runs of the book."""
    return book.FIGURES[name][0](**how)


def is_near(mean, standard_error, reference, rounding=0.0005):
    """Within five standard errors and the rounding of the reference."""
    return abs(mean - reference) <= 5 * standard_error + rounding


def better_by(worse, better):
    """Paired difference of two methods on the same episodes, in standard errors."""
    difference = worse - better
    return difference.mean() / (difference.std(ddof=1) / np.sqrt(len(difference)))


@pytest.mark.parametrize(("label", "reference"), [("TD 0.05", 0.038), ("MC 0.02", 0.083)])
def test_example_6_2_errors_are_those_of_the_reference(label, reference):
    curves = measured("example-6.2-errors", n_threads=1)
    assert is_near(curves.mean(label)[100], curves.standard_error(label)[100], reference)
    assert curves.standard_error(label)[100] < 0.005
    initial = np.sqrt(np.mean((np.arange(1, 6) / 6 - 0.5) ** 2))
    np.testing.assert_allclose(curves.runs[label][:, 0], initial)


def test_in_example_6_2_td_beats_monte_carlo():
    """As the book says: TD was consistently better than Monte Carlo on this task; its best beats the best of those."""
    runs = measured("example-6.2-errors", n_threads=1).runs
    best_of_mc = np.min([runs[f"MC {alpha:g}"].mean() for alpha in book.MONTE_CARLO_STEP_SIZES])
    worst_of_td = np.max([runs[f"TD {alpha:g}"].mean() for alpha in book.TD_STEP_SIZES])
    assert worst_of_td < best_of_mc
    assert better_by(runs["MC 0.02"][:, 100], runs["TD 0.05"][:, 100]) > 5


def test_example_6_2_values_approach_the_truth():
    curves = measured("example-6.2-values", n_threads=1)
    truth = random_walk_values(5)[1:-1]
    assert (curves.runs["0 episodes"] == 0.5).all()
    assert set(np.unique(curves.runs["1 episodes"]).round(9)) == {0.45, 0.5, 0.55}  # one end state moves, alpha 0.1
    errors = [np.abs(curves.mean(f"{n} episodes") - truth).max() for n in (0, 1, 10, 100)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.06


@pytest.mark.slow
def test_figure_6_2_batch_td_beats_batch_monte_carlo():
    """As the book says: batch TD was consistently better than batch Monte Carlo."""
    runs = measured("figure-6.2").runs
    for n in (10, 25, 50, 100):
        assert better_by(runs["batch MC"][:, n - 1], runs["batch TD"][:, n - 1]) > 5
    assert (runs["batch MC"].mean(axis=0) > runs["batch TD"].mean(axis=0))[2:].all()


def test_figure_6_2_in_few_runs():
    curves = book.figure_6_2(n_runs=5, n_episodes=20)
    assert curves.runs["batch TD"].shape == curves.runs["batch MC"].shape == (5, 20)
    assert curves.mean("batch TD")[-1] < curves.mean("batch TD")[0]
    # after one episode every return is its one reward: Monte Carlo has 0 or 1 wherever it has been, and so has TD
    np.testing.assert_allclose(curves.runs["batch TD"][:, 0], curves.runs["batch MC"][:, 0], atol=1e-4)


@pytest.mark.parametrize(("n", "reference"), [(1, 0.348), (2, 0.277), (4, 0.261), (8, 0.273), (16, 0.320)])
def test_figure_7_2_has_the_reference_values(n, reference):
    _, error, standard_error = measured("figure-7.2", n_threads=1).lowest(f"n = {n}")
    assert is_near(error, standard_error, reference)
    assert standard_error < 0.007


def test_figure_7_2_an_intermediate_n_is_best():
    curves = measured("figure-7.2", n_threads=1)
    best = {label: curves.runs[label][:, curves.mean(label).argmin()] for label in curves.runs}
    assert min(best, key=lambda label: best[label].mean()) == "n = 4"
    for extreme in ("n = 1", "n = 32", "n = 512"):
        assert better_by(best[extreme], best["n = 4"]) > 5


def test_figure_12_6_an_intermediate_lambda_is_best():
    curves = measured("figure-12.6", n_threads=1)
    np.testing.assert_array_equal(curves.runs["λ = 0"], measured("figure-7.2", n_threads=1).runs["n = 1"])
    best = {label: curves.runs[label][:, curves.mean(label).argmin()] for label in curves.runs}
    assert min(best, key=lambda label: best[label].mean()) == "λ = 0.8"
    for extreme in ("λ = 0", "λ = 0.95", "λ = 1"):
        assert better_by(best[extreme], best["λ = 0.8"]) > 5


def test_the_blackjack_state_has_the_books_value():
    """-0.27726 is a mean over 1e8 episodes of returns in [-1, 1]: its standard error is at most 1e-4."""
    mdp, policy, state = book.blackjack_task()
    assert is_near(policy_evaluation(mdp, policy, 1.0).values[state], 1e-4, -0.27726, rounding=5e-6)


def test_figure_5_3_has_the_exact_mean_squared_error():
    """Ordinary importance sampling is without bias: its error after n episodes is Var(rho G) / n, found by dynamic
    programming (rewards come at the end only, so the second moment obeys a Bellman equation with weights pi^2 / b)."""
    mdp, policy, state = book.blackjack_task()
    curves = measured("figure-5.3", n_threads=1)
    value, moment = policy_evaluation(mdp, policy, 1.0).values[state], np.zeros(mdp.n_states)
    rewards = mdp.expected_reward
    end = np.einsum("sak,sak->sa", mdp.probability, mdp.reward.astype(float) ** 2)
    weights = np.eye(2)[policy] ** 2 / 0.5
    for _ in range(50):  # no hand has more cards
        moment = (weights * (look_ahead(mdp, moment, 1.0) - rewards + end)).sum(axis=1)
    for n in (1, 10, 100, 1000, 10_000):
        exact = (moment[state] - value**2) / n
        assert is_near(curves.mean("ordinary")[n - 1], curves.standard_error("ordinary")[n - 1], exact, rounding=0.0)


def test_figure_5_3_weighted_errs_less_at_first_and_both_approach_zero():
    curves = measured("figure-5.3", n_threads=1)
    assert curves.mean("weighted")[:10].mean() < curves.mean("ordinary")[:10].mean() / 2
    for label in ("ordinary", "weighted"):
        assert curves.mean(label)[-1] < 0.003


@pytest.mark.parametrize("name", book.FIGURES)
def test_drawings(name, tmp_path):
    measure, draw = book.FIGURES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves = measure(n_runs=3)
        figure = draw(curves)
        figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [label for label in labels if label != "true values"] == list(curves.runs)
    assert name.split("-")[1] in axes.get_title()


def test_curves():
    curves = book.Curves(np.array([1.0, 2.0]), {"a": np.array([[3.0, 1.0], [5.0, 3.0]])})
    assert curves.mean("a").tolist() == [4.0, 2.0]
    assert curves.standard_error("a").tolist() == [1.0, 1.0]
    assert curves.lowest("a") == (2.0, 2.0, 1.0)
    assert book.rms_error([np.inf, 1.0], [0.0, 0.0]) == np.inf
    assert book.rms_error([np.nan, 1.0], [0.0, 0.0]) == np.inf
