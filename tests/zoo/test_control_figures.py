"""The book's figures on control: against reference values, exact answers and independent simulations."""

import random
import warnings
from functools import cache
from statistics import fmean, stdev

import numpy as np
import pytest

from sb3_ext.envs import GridWorld, TabularEnv
from sb3_ext.envs.textbook.blackjack import Blackjack
from sb3_ext.envs.textbook.maximization_bias import END, B, apparent_value
from sb3_ext.tabular import DynaQ
from sb3_ext.tabular.planning import expected_return, value_iteration
from sb3_ext.zoo.book import control_figures, exact_figures, planning_figures, soft_policies
from sb3_ext.zoo.book.control_figures import EPSILON
from sb3_ext.zoo.book.curves import Curves, Row, row_of
from sb3_ext.zoo.book.references import all_figures

FIGURES = all_figures()
CONTROL = {**control_figures.FIGURES, **planning_figures.FIGURES, **exact_figures.FIGURES}
FEW = {"figure-6.3": {"n_runs": 4, "n_episodes": 200}, "figure-5.2": {"n_runs": 3, "n_episodes": 5000}}


@cache
def measured(name, **how):
    """A figure's numbers, made once."""
    return CONTROL[name][0](**how)


def rows(name, **how):
    """Its rows by what they say."""
    return {row.what: row for row in CONTROL[name][2](measured(name, **how))}


def z(mean, standard_error, reference, its_standard_error=0.0):
    """How far a mean is from its reference, in standard errors of both."""
    return abs(mean - reference) / np.hypot(standard_error, its_standard_error)


# ---- Chapter 6 ------------------------------------------------------------------------------------------------------


def windy_by_hand(seed):
    """Example 6.5 in plain Python, from the book's text: episodes in 8000 steps."""
    rng, table, wind, n_finished, clock = random.Random(seed), {}, [0, 0, 0, 1, 1, 1, 2, 2, 1, 0], 0, 0

    def choose(cell):
        values = table.setdefault(cell, [0.0] * 4)
        if rng.random() < 0.1:
            return rng.randrange(4)
        return rng.choice([action for action in range(4) if values[action] == max(values)])

    while True:
        cell, action = (3, 0), choose((3, 0))
        while cell != (3, 7):
            if clock == 8000:
                return n_finished
            down, right = [(-1, 0), (0, 1), (1, 0), (0, -1)][action]
            after = min(6, max(0, cell[0] + down - wind[cell[1]])), min(9, max(0, cell[1] + right))
            next_action, clock = choose(after), clock + 1
            follows = 0.0 if after == (3, 7) else table[after][next_action]
            table[cell][action] += 0.5 * (-1 + follows - table[cell][action])
            cell, action = after, next_action
        n_finished += 1


def test_example_6_5_is_what_a_plain_loop_gives():
    by_hand = [windy_by_hand(seed) for seed in range(30)]
    curves = measured("example-6.5", n_threads=1)
    assert z(curves.mean("SARSA")[-1], curves.standard_error("SARSA")[-1], fmean(by_hand), stdev(by_hand) / 30**0.5) < 5
    assert curves.standard_error("SARSA")[-1] < 1.5
    assert (np.diff(curves.runs["SARSA"], axis=1) >= 0).all()


def test_example_6_5_ways():
    found = rows("example-6.5", n_threads=1)
    assert found["shortest way, by dynamic programming"].measured == 15
    best = found["the same, against the best that ε = 0.1 allows"]
    assert best.reference == pytest.approx(17.0, abs=0.1)  # the book's "about 17 steps"
    assert best.measured > best.reference  # SARSA with a constant alpha of 0.5 stays above it


@pytest.mark.parametrize(("method", "reference"), [("SARSA", -26.9), ("Q-learning", -50.7), ("Expected SARSA", -21.3)])
def test_example_6_6_has_the_reference_values(method, reference):
    row = rows("example-6.6", n_threads=1)[f"{method}, return in the last 100 episodes"]
    # of the reference no error is known; it is taken to be that of a hundred runs
    assert z(row.measured, row.standard_error, reference, row.standard_error * np.sqrt(row.n_runs / 100)) < 5
    assert row.standard_error < 0.5


def test_on_the_cliff_each_method_heads_for_its_exact_return():
    mdp = GridWorld("CliffWalking").mdp
    best, greedy = (limit(mdp, EPSILON) for limit in (soft_policies.best_soft_return,
                                                      soft_policies.return_while_exploring))  # fmt: skip
    curves = measured("figure-6.3", n_runs=100, n_episodes=6000, n_long_runs=20, n_threads=1)
    for name, limit in (("Q-learning, late", greedy), ("Expected SARSA, late", best)):
        for place in (4, 9):
            assert z(curves.mean(name)[place], curves.standard_error(name)[place], limit) < 5, name
            assert curves.standard_error(name)[place] < 0.6
    late = curves.mean("SARSA, late")
    assert (late < best).all()
    assert (np.diff(late[2:]) < 0).all()  # the larger alpha, the worse


def test_figure_6_3_expected_sarsa_is_best_at_every_alpha():
    curves = measured("figure-6.3", n_runs=100, n_episodes=6000, n_long_runs=20, n_threads=1)
    for when in ("early", "late"):
        expected = curves.runs[f"Expected SARSA, {when}"]
        for other in ("SARSA", "Q-learning"):
            assert (expected.mean(axis=0) > curves.mean(f"{other}, {when}"))[1:].all()
    early = {name: curves.mean(f"{name}, early") for name in control_figures.METHODS}
    assert (early["SARSA"] > early["Q-learning"]).all()


def test_the_soft_world_is_the_world_with_random_actions():
    mdp = GridWorld("CliffWalking").mdp
    soft = soft_policies.soft_mdp(mdp, 0.3)
    policy = np.random.default_rng(0).dirichlet(np.ones(4), size=mdp.n_states)
    mixed = 0.7 * policy + 0.3 / 4
    np.testing.assert_allclose(expected_return(soft, policy, 0.9), expected_return(mdp, mixed, 0.9))
    assert soft_policies.best_soft_return(mdp, 0.0) == pytest.approx(-13)
    assert soft_policies.return_while_exploring(mdp, 0.0) == pytest.approx(-13)


def left_by_hand(n_runs, n_episodes, double, seed=0):
    """Figure 6.5's two learners in the project's world, with normal rewards: whether left, [n_episodes, n_runs]."""
    rng, each = np.random.default_rng(seed), np.arange(n_runs)
    tables = np.zeros((2 if double else 1, n_runs, 2, 10))

    def choose(state):
        values = tables.mean(axis=0)[:, state]
        best = np.argmax(rng.random(values.shape) + 2 * (values == values.max(axis=1, keepdims=True)), axis=1)
        return np.where(rng.random(n_runs) < 0.1, rng.integers(10, size=n_runs), best)

    lefts = []
    for _ in range(n_episodes):
        action = choose(0)
        left = action % 2 == 0
        table = rng.integers(len(tables), size=n_runs)
        own = tables[table, each, 1]
        chosen = np.argmax(rng.random(own.shape) + 2 * (own == own.max(axis=1, keepdims=True)), axis=1)
        target = np.where(left, tables[1 - table if double else table, each, 1, chosen], 0.0)
        tables[table, each, 0, action] += 0.1 * (target - tables[table, each, 0, action])
        action, table = choose(1), rng.integers(len(tables), size=n_runs)
        error = rng.normal(-0.1, 1.0, n_runs) - tables[table, each, 1, action]
        tables[table, each, 1, action] += 0.1 * left * error
        lefts.append(left)
    return np.array(lefts)


@pytest.mark.parametrize("method", ["Q-learning", "double Q-learning"])
def test_figure_6_5_is_what_arrays_with_normal_rewards_give(method):
    by_hand = 100.0 * left_by_hand(1000, 300, method.startswith("double")).T
    curves = measured("figure-6.5", n_threads=1)
    for part in (slice(0, 1), slice(20, 30), slice(95, 105), slice(290, 300)):
        here, there = (row_of("", runs[:, part].mean(axis=1)) for runs in (curves.runs[method], by_hand))
        assert z(here.measured, here.standard_error, there.measured, there.standard_error) < 5, part


def test_figure_6_5_double_q_learning_is_hardly_fooled():
    curves = measured("figure-6.5", n_threads=1)
    assert curves.mean("Q-learning").max() > 90
    assert curves.mean("double Q-learning").max() < 70
    assert 5 < curves.mean("double Q-learning")[-50:].mean() < curves.mean("Q-learning")[-50:].mean()


def test_the_rewards_of_figure_6_5_are_nearly_normal():
    rewards = np.sort(control_figures.noisy_mdp().reward[B, 0])
    assert rewards.mean() == pytest.approx(-0.1)
    assert rewards.std() == pytest.approx(1.0)
    powers = (np.arange(len(rewards) + 1) / len(rewards)) ** 10
    assert np.diff(powers) @ rewards == pytest.approx(apparent_value(), abs=0.0003)
    env = TabularEnv(control_figures.noisy_mdp())
    env.reset(seed=0)
    assert env.step(1)[0:3] == (END, 0.0, True)


# ---- Chapter 8 ------------------------------------------------------------------------------------------------------


def test_figure_8_2_has_the_reference_values():
    found = rows("figure-8.2", n_threads=1)
    assert found.pop("shortest way, by dynamic programming").measured == 14
    assert len(found) == 6
    for what, row in found.items():
        # of the reference no error is known; it is taken to be that of the book's thirty runs, and rounded to 1
        error = np.hypot(row.standard_error * np.sqrt(row.n_runs / 30), 0.3)
        assert z(row.measured, row.standard_error, row.reference, error) < 5, what


def test_figure_8_2_planning_saves_episodes():
    curves = measured("figure-8.2", n_threads=1)
    none, some, much = (curves.mean(f"n = {n}") for n in (0, 5, 50))
    assert none[2] > 4 * some[2] > 8 * much[2]
    assert max(none[-1], some[-1], much[-1]) < 20


@pytest.mark.parametrize(
    ("layout", "n_steps", "seed", "kappa", "planning_steps"),
    [
        ("BlockingMaze", 1500, 0, 0.0, 10),
        ("BlockingMaze", 1500, 1, 1e-4, 10),
        ("BlockingMaze", 700, 2, 1e-4, 10),
        ("ShortcutMaze", 3500, 3, 1e-3, 5),
    ],
)
def test_a_changing_maze_is_played_as_by_the_step_engine(layout, n_steps, seed, kappa, planning_steps):
    """Step for step: the same rewards, from the very environment that the compiled engine refuses."""
    parameters = {**planning_figures.CHANGING, "planning_steps": planning_steps, "kappa": kappa}
    rewards = []

    class Listening(GridWorld):
        def step(self, action):
            result = super().step(action)
            rewards.append(result[1])
            return result

    DynaQ("TabularPolicy", Listening(layout), seed=seed, engine="step", **parameters).learn(n_steps)
    played = planning_figures.play_changing_maze(layout, n_steps, seed, **parameters)
    np.testing.assert_array_equal(played, np.cumsum([0, *rewards]))


def test_a_maze_changes_only_when_the_agent_is_not_in_the_way(monkeypatch):
    """The wall is to come at every step at which the agent stands in that very cell, on the right of the fourth row."""
    parameters, gap, visited = {**planning_figures.CHANGING, "planning_steps": 10, "kappa": 1e-4}, 3 * 9 + 8, []
    layout = dict(planning_figures.LAYOUTS["BlockingMaze"])
    monkeypatch.setitem(planning_figures.LAYOUTS, "BlockingMaze", layout)

    class Listening(GridWorld):
        def step(self, action):
            result = super().step(action)
            visited.append(result[0])
            return result

    def learn(after):
        layout["change"] = {**layout["change"], "after": after}
        visited.clear()
        model = DynaQ("TabularPolicy", Listening("BlockingMaze"), seed=3, engine="step", stats_window_size=1000,
                      **parameters).learn(2500)  # fmt: skip
        return np.cumsum([episode["l"] for episode in model.ep_info_buffer])

    learn(after=2000)
    in_the_way = [step for step, state in enumerate(visited, start=1) if state == gap][:5]
    assert len(in_the_way) == 5
    for after in in_the_way:
        ends = learn(after)
        assert visited[after - 1] == gap
        assert ends[-1] > after  # it has found the other way, and so would show any difference
        played = planning_figures.play_changing_maze("BlockingMaze", 2500, 3, **parameters)
        np.testing.assert_array_equal(np.flatnonzero(np.diff(played)) + 1, ends)


def test_figure_8_4_dyna_q_plus_finds_the_new_way_sooner():
    curves = measured("figure-8.4", n_runs=40)
    gain = curves.runs["Dyna-Q+"][:, -1] - curves.runs["Dyna-Q"][:, -1]
    row = row_of("gain", gain)
    assert row.measured > 5 * row.standard_error
    for row in rows("figure-8.4", n_runs=40).values():
        assert 0 < row.measured < row.reference


def test_figure_8_5_only_dyna_q_plus_takes_the_shortcut():
    found = rows("figure-8.5", n_runs=20)
    assert found["Dyna-Q, % of runs that take the shortcut at last"].measured < 25
    assert found["Dyna-Q+, % of runs that take the shortcut at last"].measured > 90
    old = 1000 / planning_figures.shortest_way("ShortcutMaze")
    assert found["Dyna-Q, reward in steps 5000 to 6000"].measured < old
    assert old < found["Dyna-Q+, reward in steps 5000 to 6000"].measured < 100


# ---- Beside dynamic programming -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["figure-4.3", "example-13.1"])
def test_what_is_exact_is_exact(name):
    for what, row in rows(name).items():
        assert row.standard_error == 0
        assert row.measured == pytest.approx(row.reference, abs=0.5 if "book" in row.kind else 0.0005), what
    assert len(rows(name)) == 4


def test_example_13_1_has_the_closed_form():
    from sb3_ext.envs.textbook.short_corridor import policy_value

    curves = measured("example-13.1")
    np.testing.assert_allclose(curves.runs["value"][0], policy_value(curves.x), rtol=1e-9)


def test_figure_5_2_learns_nearly_the_best_policy():
    found = rows("figure-5.2", n_runs=3, n_episodes=300_000, n_threads=1)
    value, right = found["value of the learned policy"], found["% of 200 hands with the best action"]
    mdp = Blackjack().mdp
    assert value.reference == pytest.approx(float(mdp.start @ value_iteration(mdp, 1.0).values))
    assert value.reference - 0.01 < value.measured <= value.reference
    assert right.measured > 90


# ---- All ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTROL)
def test_drawings(name, tmp_path):
    measure, draw, rows_of = CONTROL[name]
    few = FEW.get(name, {} if name in ("figure-4.3", "example-13.1") else {"n_runs": 3})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves = measure(**few)
        figure = draw(curves)
        figure.savefig(tmp_path / "figure.png")
        assert all(isinstance(row, Row) for row in rows_of(curves))
    assert (tmp_path / "figure.png").stat().st_size > 5000
    titles = [axes.get_title() for axes in figure.axes] + [figure.get_suptitle()]
    assert any(name.replace("-", " ") in title.lower() for title in titles)


@pytest.mark.parametrize("name", ["example-6.5", "example-6.6", "figure-6.5", "figure-8.2"])
def test_the_same_runs_whatever_the_threads(name):
    first, second = (CONTROL[name][0](n_runs=3, n_threads=n) for n in (1, 2))
    for label, runs in first.runs.items():
        np.testing.assert_array_equal(runs, second.runs[label])


def test_rows_of_curves():
    curves = Curves(np.array([1.0, 2.0]), {"a": np.array([[3.0, 1.0], [5.0, 3.0]])})
    assert curves.row("a", 0, "first", 4.5, "book") == ("first", 4.0, 1.0, 4.5, "book", 2)
    assert curves.row("a", slice(None), "all") == ("all", 3.0, 1.0, None, "", 2)
    assert np.isnan(row_of("one run", [1.0]).standard_error)
    assert np.isnan(Curves(curves.x, {"a": np.ones((1, 2))}).standard_error("a")).all()
