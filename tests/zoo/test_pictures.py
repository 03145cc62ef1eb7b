"""Pictures of tabular learning: what is measured is right, and what is drawn is what was measured."""

import warnings
from functools import cache

import gymnasium as gym
import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CheckpointCallback

from sb3_ext.envs.grid.figures import greedy_strengths
from sb3_ext.tabular import SARSA, DoubleQLearning, QLearning, TabularMDP, policy_evaluation, value_iteration
from sb3_ext.tabular.planning import expected_return
from sb3_ext.zoo import pictures
from sb3_ext.zoo.pictures import TableSnapshots


@cache
def frozen_lake():
    return TabularMDP.from_env(gym.make("FrozenLake-v1"))


# ---- Snapshots ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [QLearning, SARSA, DoubleQLearning])
@pytest.mark.parametrize("engine", ["compiled", "step"])
def test_snapshots_are_those_of_shorter_trainings_and_change_nothing(algorithm, engine):
    def make():
        return algorithm("TabularPolicy", "FrozenLake-v1", learning_rate=0.1, exploration=0.1, seed=3, engine=engine)

    plain, snapshots = make().learn(2000), TableSnapshots([2000, 0, 700, 700])
    watched = make().learn(2000, snapshots)
    np.testing.assert_array_equal(watched.policy.q_table, plain.policy.q_table)
    assert list(snapshots.tables) == [0, 700, 2000]
    np.testing.assert_array_equal(snapshots.tables[0], 1.0)
    np.testing.assert_array_equal(snapshots.tables[700], make().learn(700).policy.q_table)
    np.testing.assert_array_equal(snapshots.tables[2000], plain.policy.q_table)


def test_snapshots_let_the_compiled_engine_play_on(recwarn, tmp_path):
    snapshots = TableSnapshots([10, 50_000])
    calls = []
    snapshots._on_step = lambda: calls.append(snapshots.num_timesteps) or TableSnapshots._on_step(snapshots)
    beside = CheckpointCallback(20_000, tmp_path)  # which wakes it up, too
    QLearning("TabularPolicy", "FrozenLake-v1", seed=0, engine="compiled").learn(60_000, [snapshots, beside])
    QLearning("TabularPolicy", "FrozenLake-v1", seed=0, engine="auto").learn(100, snapshots)
    assert not [warning for warning in recwarn if "step engine" in str(warning.message)]
    assert {10, 50_000} <= set(calls)
    assert len(calls) < 100


def test_snapshots_with_several_environments_are_taken_at_the_first_step_at_or_after():
    from stable_baselines3.common.env_util import make_vec_env

    snapshots = TableSnapshots([1, 9, 10, 12])
    QLearning("TabularPolicy", make_vec_env("FrozenLake-v1", 4, seed=0), seed=0).learn(20, snapshots)
    assert list(snapshots.tables) == [4, 12]


def test_snapshots_go_on_with_a_training_that_goes_on_and_begin_anew_with_a_new_one():
    snapshots = TableSnapshots([0, 50, 150])
    model = QLearning("TabularPolicy", "FrozenLake-v1", seed=0).learn(100, snapshots)
    assert list(snapshots.tables) == [0, 50]
    model.learn(100, snapshots, reset_num_timesteps=False)
    assert list(snapshots.tables) == [0, 50, 150]
    model.learn(60, snapshots)
    assert list(snapshots.tables) == [0, 50]


@pytest.mark.parametrize(("at", "reason"), [([], "at least one"), ([-1], "got -1"), ([0.5], "got 0.5")])
def test_snapshots_of_nothing_are_refused(at, reason):
    with pytest.raises(ValueError, match=reason):
        TableSnapshots(at)


def test_snapshots_of_a_network_are_refused():
    with pytest.raises(ValueError, match="PPO has no table"):
        PPO("MlpPolicy", "FrozenLake-v1", n_steps=8, batch_size=8).learn(8, TableSnapshots([0]))


# ---- Measuring ------------------------------------------------------------------------------------------------------


def test_success_rates_are_those_of_the_reference():
    """reference_values.md: 0.7402 (greedy for gamma 0.99), 0.7298 (gamma 0.95 or less), 0.7442 (the bound)."""
    mdp = frozen_lake()
    assert round(float(pictures.return_within(mdp, 100)), 4) == 0.7442
    assert round(pictures.planned_rate(mdp, 0.99), 4) == 0.7402
    assert round(pictures.planned_rate(mdp, 0.95), 4) == 0.7298


def test_return_within_is_the_limit_of_policy_evaluation_and_what_a_slow_loop_says():
    mdp, policies = frozen_lake(), np.random.default_rng(0).dirichlet(np.ones(4), size=(3, 2, 16))
    found = pictures.return_within(mdp, 5000, policies)
    assert found.shape == (3, 2)
    exact = [[policy_evaluation(mdp, policy, 1.0).values[0] for policy in row] for row in policies]
    np.testing.assert_allclose(found, exact, atol=1e-9)

    outcomes_of = mdp.to_P()

    def after(state, steps):  # the expectation by recursion over all outcomes
        if steps == 0:
            return 0.0
        return sum(
            policies[0, 0, state, action] * p * (reward + (0.0 if ended else after(following, steps - 1)))
            for action, outcomes in outcomes_of[state].items()
            for p, following, reward, ended in outcomes
        )

    state = 14  # next to the goal
    near = TabularMDP.from_P(outcomes_of, np.eye(16)[state])
    assert pictures.return_within(near, 4, policies[0, 0]) == pytest.approx(after(state, 4))
    assert pictures.return_within(near, 0, policies[0, 0]) == 0


def test_an_end_has_no_future_wherever_it_leads():
    """Half of the episodes end at the first step, and are then back at the start, where others go on."""
    mdp = TabularMDP.from_arrays([[[0, 0]]], 1.0, [[[True, False]]], [[[0.5, 0.5]]])
    assert pictures.return_within(mdp, 3) == 1.75
    assert pictures.return_within(mdp, 3, [[1.0]]) == 1.75


def test_return_within_refuses_policies_of_another_world():
    with pytest.raises(ValueError, match=r"policies must be \[..., 16, 4\], got \[9, 4\]"):
        pictures.return_within(frozen_lake(), 100, np.ones((9, 4)))


def test_the_cliff_has_the_returns_of_the_reference():
    """reference_values.md: SARSA -26.9, Q-learning -50.7 in the last 100 of 500 episodes; the paths are the book's."""
    runs = pictures.cliff_runs(n_threads=1)
    for name, reference in (("SARSA", -26.9), ("Q-learning", -50.7)):
        of_seeds = runs[name].returns[0, :, -100:].mean(axis=1)
        assert abs(of_seeds.mean() - reference) < 5 * of_seeds.std(ddof=1) / np.sqrt(len(of_seeds))
    mdp = TabularMDP.from_env(gym.make("CliffWalking-v1"))
    along_the_edge = [36, *range(24, 36), 47]
    paths = [pictures.greedy_path(mdp, table) for table in runs["Q-learning"].q_tables[0]]
    assert sum(path == along_the_edge for path in paths) > 90
    safe = [pictures.greedy_path(mdp, table) for table in runs["SARSA"].q_tables[0]]
    assert np.mean([min(path) < 12 for path in safe if path is not None]) > 0.7  # through the top row


def test_learning_rates_and_discounts_are_exact_rates_of_what_was_learned():
    compared = pictures.learning_rates_and_discounts(n_seeds=2, total_timesteps=2000, n_threads=1)
    assert compared["gamma"].rates.shape == (len(pictures.measured.DISCOUNTS), 2)
    assert compared["learning_rate"].rates.shape == (len(pictures.measured.LEARNING_RATES), 2)
    model = QLearning("TabularPolicy", "FrozenLake-v1", learning_rate=0.2, seed=1).learn(2000)
    policy = pictures.greedy_policy(model.policy.q_table)
    place = pictures.measured.LEARNING_RATES.index(0.2)
    assert compared["learning_rate"].rates[place, 1] == pictures.return_within(frozen_lake(), 100, policy)


# ---- The table over time --------------------------------------------------------------------------------------------

WORLDS = [
    "FrozenLake-v1",
    "CliffWalking-v1",
    "sb3_ext/FourRooms-v0",
    "sb3_ext/WindyKingsMoves-v0",
    "sb3_ext/KeyDoor-v0",
]


@pytest.mark.parametrize("env_id", WORLDS)
def test_arrows_point_where_actions_lead(env_id):
    """Wherever nothing is in the way (no slipping, no wind), the plan's move leads to the cell that the model names."""
    plan = pictures.read_plan(env_id)
    if env_id == "FrozenLake-v1":
        plan = plan._replace(mdp=TabularMDP.from_env(gym.make(env_id, is_slippery=False)))
    if "Windy" in env_id:
        plan = plan._replace(mdp=TabularMDP.from_env(gym.make(env_id, wind=[0] * 10)))
    rows, columns = plan.letters.shape[0] // plan.n_layers, plan.letters.shape[1]
    moved = 0
    for state in np.flatnonzero(plan.decides.ravel()):
        layer, cell = divmod(int(state), rows * columns)
        for action, (down, right) in enumerate(plan.moves):
            row, column = cell // columns + down, cell % columns + right
            if 0 <= row < rows and 0 <= column < columns and plan.letters[row, column] not in "#CDK":
                after = layer * rows * columns + row * columns + column
                assert plan.mdp.next_state[state, action, 0] == after
                moved += 1
    assert moved >= 20


@pytest.mark.parametrize("env_id", WORLDS)
def test_every_panel_shows_its_table(env_id):
    plan = pictures.read_plan(env_id)
    generator, shape = np.random.default_rng(0), (plan.mdp.n_states, plan.mdp.n_actions)
    tables = {0: np.ones(shape), 1500: generator.normal(size=shape)}
    gamma = 1.0 if "Cliff" in env_id else 0.99
    figure = pictures.draw_q_table_evolution(tables, env_id, gamma, title="a title")
    exact = value_iteration(plan.mdp, gamma)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["at first", "after 1,500 steps", "exact (value iteration)"]
    assert figure.get_suptitle() == "a title"
    decides, limits = plan.decides, set()
    for axes, table in zip(panels, [*tables.values(), exact.q_values], strict=True):
        image = axes.images[0]
        shown = np.ma.filled(image.get_array(), np.nan)
        np.testing.assert_array_equal(shown[decides], table.max(axis=1).reshape(decides.shape)[decides])
        assert np.isnan(shown[~decides]).all()
        limits.add(image.get_clim())
        strengths = greedy_strengths(table)[decides.ravel()]
        arrows = axes.collections[0].get_paths()
        assert len(arrows) == strengths.sum()
        cells = np.repeat(np.argwhere(decides), strengths.sum(axis=1).astype(int), axis=0)
        moves = [plan.moves[action] for row in strengths for action in np.flatnonzero(row)]
        for path, cell, move in zip(arrows, cells, moves, strict=True):
            ahead = path.vertices[:-1].mean(axis=0) - np.array([cell[1], cell[0]])
            assert np.abs(path.vertices - [cell[1], cell[0]]).max() < 0.6
            if strengths.sum() == len(cells) and move[1]:
                assert np.sign(ahead[0]) == np.sign(move[1])
    assert len(limits) == 1  # one scale for all
    best = expected_return(plan.mdp, exact.policy, gamma)
    assert panels[-1].get_xlabel().replace("\N{MINUS SIGN}", "-").startswith(f"J* = {best:.1f}"[:8])


def test_cells_without_a_decision_are_named():
    texts = [
        text.get_text()
        for text in pictures.draw_q_table_evolution({0: np.zeros((16, 4))}, "FrozenLake-v1").axes[0].texts
    ]
    assert (texts.count("hole"), texts.count("goal"), texts.count("S"), texts.count("0.00")) == (4, 1, 1, 11)
    above, *_ = pictures.draw_q_table_evolution({0: np.zeros((48, 4))}, "CliffWalking-v1", gamma=1.0).axes
    texts = [text.get_text() for text in above.texts]
    assert (texts.count("cliff"), texts.count("goal"), texts.count("S")) == (10, 1, 1)
    assert above.get_xlabel().startswith("J = \N{MINUS SIGN}")


def test_a_wide_world_is_stacked_and_a_square_one_stands_in_a_row():
    assert pictures.table._arrange(6, (4, 4))[0] == 6
    assert pictures.table._arrange(6, (4, 12))[0] == 2


def test_a_world_that_is_no_grid_and_tables_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="only FrozenLake, CliffWalking and GridWorld"):
        pictures.draw_q_table_evolution({0: np.zeros((500, 6))}, "Taxi-v4")
    with pytest.raises(ValueError, match=r"after 7 steps has the shape \[16, 3\], the world \[16, 4\]"):
        pictures.draw_q_table_evolution({7: np.zeros((16, 3))}, "FrozenLake-v1")
    with pytest.raises(ValueError, match="at least one table"):
        pictures.draw_q_table_evolution({}, "FrozenLake-v1")


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "sb3_ext/WindyKingsMoves-v0"])
def test_the_film_has_a_frame_for_each_table(env_id, tmp_path):
    plan = pictures.read_plan(env_id)
    generator, shape = np.random.default_rng(0), (plan.mdp.n_states, plan.mdp.n_actions)
    tables = {step: generator.normal(size=shape) for step in (0, 10, 20)}
    with Image.open(pictures.animate_q_table(tmp_path / "film.gif", tables, env_id)) as film:
        assert film.n_frames == 3


def test_the_film_has_the_worlds_own_actions(tmp_path, monkeypatch):
    """FrozenLake's actions are left, down, right, up; the film's are up, right, down, left."""
    seen = {}
    monkeypatch.setattr(pictures.table, "animate_learning", lambda path, grid, **given: seen.update(given, grid=grid))
    pictures.animate_q_table(tmp_path / "film.gif", {0: np.tile([1.0, 2.0, 3.0, 4.0], (16, 1))}, "FrozenLake-v1")
    assert seen["q_table"][0][0].tolist() == [4.0, 3.0, 2.0, 1.0]
    assert np.isnan(seen["q_table"][0][5]).all()  # a hole
    assert seen["grid"].cells("H") == [(1, 1), (1, 3), (2, 3), (3, 0)]


# ---- Learning curves ------------------------------------------------------------------------------------------------


def test_a_band_smooths_backwards_only_and_ends_with_the_shortest_run():
    returns = np.array([[0.0, 2.0, 4.0, 6.0], [2.0, 4.0, 6.0, np.nan]])
    band = pictures.confidence_band(returns, window=2)
    assert band.episodes.tolist() == [1, 2, 3]
    assert band.middle.tolist() == [1.0, 2.0, 4.0]
    assert band.low.tolist() == [0.0, 1.0, 3.0]
    assert band.high.tolist() == [2.0, 3.0, 5.0]


def test_a_median_is_not_drawn_away_by_one_run():
    returns = np.zeros((21, 5))
    returns[0] = 1e6
    assert (pictures.confidence_band(returns, center="median").high == 0).all()
    assert (pictures.confidence_band(returns).middle > 1e4).all()


@pytest.mark.slow
def test_bands_cover_the_truth_as_often_as_they_say():
    """Of 400 bands over 30 normal runs, 95 % are to hold the true mean 0; a little fewer do, as is known."""
    generator = np.random.default_rng(0)
    bands = [pictures.confidence_band(generator.normal(size=(30, 1)), window=1) for _ in range(400)]
    covered = np.mean([band.low[0] <= 0 <= band.high[0] for band in bands])
    assert 0.90 < covered < 0.97


def test_long_curves_are_thinned_not_averaged():
    returns = np.random.default_rng(0).normal(size=(3, 10_000))
    band = pictures.confidence_band(returns, window=100)
    assert len(band.episodes) == pictures.curves.CURVE_POINTS
    assert (band.episodes[0], band.episodes[-1]) == (1, 10_000)
    place = band.episodes[150]
    assert band.middle[150] == pytest.approx(returns[:, place - 100 : place].mean())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"returns": [1.0]}, r"must be \[n_runs, n_episodes\], got \[1\]"),
        ({"returns": [[np.nan, 1.0]]}, "no episode that every run has finished"),
        ({"returns": [[1.0]], "window": 0}, "window must be a whole number, at least 1, got 0"),
        ({"returns": [[1.0]], "confidence": 95}, "got 95"),
        ({"returns": [[1.0]], "center": "mode"}, "got 'mode'"),
    ],
)
def test_bands_of_nothing_are_refused(given, reason):
    with pytest.raises(ValueError, match=reason):
        pictures.confidence_band(**given)


def test_learning_curves_show_band_window_and_references():
    generator = np.random.default_rng(0)
    returns = {"one": generator.normal(size=(5, 40)), "two": generator.normal(3, size=(5, 30))}
    figure = pictures.draw_learning_curves(
        returns, window=7, title="a title", label="success rate", references={"asked": 0.7}, confidence=0.9
    )
    (axes,) = figure.axes
    for name, line, area, color in zip(returns, axes.lines, axes.collections, pictures.curves.COLORS, strict=False):
        band = pictures.confidence_band(returns[name], 7, confidence=0.9)
        assert line.get_label() == name
        assert line.get_color() == color
        np.testing.assert_array_equal(line.get_ydata(), band.middle)
        vertices = area.get_paths()[0].vertices
        assert set(band.low) | set(band.high) <= set(vertices[:, 1])
    assert axes.lines[2].get_ydata() == [0.7, 0.7]
    assert "asked" in [text.get_text() for text in axes.texts]
    assert axes.get_ylabel() == "success rate\nmean of the last 7 episodes"
    assert axes.get_legend().get_title().get_text() == "mean of 5 runs, and its 90% bootstrap interval"
    assert axes.get_title() == "a title"
    with pytest.raises(ValueError, match="at least one curve"):
        pictures.draw_learning_curves({})


# ---- The cliff, learning rates and discounts ------------------------------------------------------------------------


def test_the_cliffs_paths_and_returns_are_those_measured():
    runs = pictures.cliff_runs(n_runs=10, n_episodes=300, n_threads=1)
    above, below = pictures.draw_cliff_paths(runs).axes
    mdp, paths = TabularMDP.from_env(gym.make("CliffWalking-v1")), {}
    for (name, result), line, shift in zip(runs.items(), above.lines, (-0.08, 0.08), strict=True):
        found = [pictures.greedy_path(mdp, table) for table in result.q_tables[0]]
        arrived = [path for path in found if path is not None]
        cells = [round(float(y - shift)) * 12 + round(float(x - shift)) for x, y in line.get_xydata()]
        paths[name] = [*cells, 47]
        assert paths[name] in arrived
        count = arrived.count(paths[name])
        assert count == max(map(arrived.count, arrived))
        assert f"{name}: {len(cells)} steps, the path of {count} of 10 seeds" in line.get_label()
        assert ("circles" in line.get_label()) == (len(arrived) < 10)
    assert paths["Q-learning"] == [36, *range(24, 36), 47]
    assert max(paths["SARSA"][2:-2]) < 24  # it keeps away from the edge
    for result, line in zip(runs.values(), below.lines, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), pictures.confidence_band(result.returns[0], 10).middle)
        assert f"{result.returns[0][:, -100:].mean():.1f}"[1:] in line.get_label()


def test_a_cliff_that_nobody_crosses_is_drawn_as_well():
    runs = pictures.cliff_runs(n_runs=2, n_episodes=1, n_threads=1)
    above, _ = pictures.draw_cliff_paths(runs).axes
    assert "no seed's greedy policy arrives" in above.lines[0].get_label()


def test_learning_rates_and_discounts_are_drawn_seed_by_seed():
    generator = np.random.default_rng(0)
    compared = {
        "learning_rate": pictures.measured.Comparison([0.1, "lin_1/N^0.5"], generator.random((2, 5))),
        "gamma": pictures.measured.Comparison([0.9, 0.95, 0.99], generator.random((3, 5))),
    }
    panels = pictures.draw_learning_rates_and_discounts(compared).axes
    for axes, comparison in zip(panels, compared.values(), strict=True):
        dots = next(c for c in axes.collections if isinstance(c, matplotlib.collections.PathCollection))
        places = dots.get_offsets()
        np.testing.assert_array_equal(places[:, 1], comparison.rates.ravel())
        np.testing.assert_array_equal(places[:, 0].round(), np.repeat(np.arange(len(comparison.values)), 5))
        lines = [c for c in axes.collections if c.get_label() == "mean of the seeds"]
        heights = [path.vertices[0, 1] for path in lines[0].get_paths()]
        np.testing.assert_array_equal(heights, comparison.rates.mean(axis=1))
        assert [round(line.get_ydata()[0], 4) for line in axes.lines] == [0.7442, 0.7]
    planned = [c for c in panels[1].collections if c.get_label().startswith("planned")]
    assert [round(path.vertices[0, 1], 4) for path in planned[0].get_paths()] == [0.7298, 0.7298, 0.7402]
    assert [text.get_text() for text in panels[0].get_xticklabels()] == ["0.1", "falling 1/√N\n(default)"]
    assert panels[1].get_xticklabels()[2].get_text() == "0.99\n(default)"


def test_figures_are_written_without_a_warning(tmp_path):
    """A letter that the font lacks, or a layout that does not fit, is a warning of Matplotlib's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = {
            "table": pictures.draw_q_table_evolution({0: np.ones((16, 4)), 10: np.zeros((16, 4))}, "FrozenLake-v1"),
            "curves": pictures.draw_learning_curves({"one run": np.ones((1, 3))}),
            "cliff": pictures.draw_cliff_paths(pictures.cliff_runs(2, 20, n_threads=1)),
            "rates": pictures.draw_learning_rates_and_discounts(
                pictures.learning_rates_and_discounts(1, 500, n_threads=1)
            ),
        }
        for name, figure in figures.items():
            figure.savefig(tmp_path / f"{name}.png")
            assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_colors_are_distinct():
    assert len({to_rgba(color) for color in pictures.curves.COLORS}) == len(pictures.curves.COLORS)
