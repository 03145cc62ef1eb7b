"""Learned tables beside exact solutions."""

from functools import partial

import numpy as np
import pytest

from sb3_ext.envs.multi.carry import Carry
from sb3_ext.envs.multi.shapley import markov_game_values
from sb3_ext.envs.multi.tag import Tag
from sb3_ext.tabular.planning import value_iteration
from sb3_ext.zoo.multi_agent.examples import EXAMPLES
from sb3_ext.zoo.multi_agent.grid_game import Looks, measure_carry, measure_tag, softmax
from sb3_ext.zoo.multi_agent.training import train, with_options


def test_best_tables_of_both_carriers_reach_the_optimum():
    env = Carry()
    solution = value_iteration(env.mdp, 0.99)
    tables = [np.eye(5)[solution.policy // 5], np.eye(5)[solution.policy % 5]]
    assert measure_carry(env, 0.99, tables) == {"greedy": pytest.approx(env.mdp.start @ solution.values)}
    assert measure_carry(env, 0.99, tables[::-1])["greedy"] < 0


def test_the_value_of_tag_lies_between_what_best_responses_leave():
    env, rng = Tag(), np.random.default_rng(0)
    solution = markov_game_values(env.mdp, 5, 0.9)
    value = float(env.mdp.start @ solution.values)
    for tables in ([rng.random((env.mdp.n_states, 5)) for _ in range(2)] for _ in range(3)):
        found = measure_tag(env, 0.9, 0.1, tables)
        for kind in ("greedy", "softmax"):
            assert found[f"{kind} chaser, best runner"] < value < found[f"{kind} runner, best chaser"]
    tables = [np.log(np.maximum(policy, 1e-12)) for policy in (solution.row_policy, solution.column_policy)]
    found = measure_tag(env, 0.9, 1.0, tables)  # softmax makes these the equilibrium
    assert found["softmax chaser, best runner"] == pytest.approx(value, abs=1e-4)
    assert found["softmax runner, best chaser"] == pytest.approx(value, abs=1e-4)


def test_softmax_of_large_numbers():
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0, 0.0]]), 0.1), [[0.5, 0.5, 0.0]])


def test_looks_come_at_equal_intervals_and_see_all_tables():
    shapes = []
    looks = Looks(100, lambda tables: {"n": float(len(shapes.append([table.shape for table in tables]) or shapes))})
    example = EXAMPLES["tag"]
    train(example, "independent", with_options(example.ways["independent"], 400, 4), 0, callbacks={"chaser_0": looks})
    assert looks.steps == [100, 200, 300, 400]
    assert looks.found == {"n": [1, 2, 3, 4]}
    assert shapes == [[(81, 5), (81, 5)]] * 4


@pytest.mark.slow
def test_independent_carriers_come_within_five_percent_of_the_optimum():
    env, example = Carry(), EXAMPLES["carry"]
    looks = Looks(10_000, partial(measure_carry, env, 0.99))
    train(example, "independent", example.ways["independent"], 1, callbacks={"carrier_0": looks})
    assert looks.found["greedy"][-1] > 0.95 * value_iteration(env.mdp, 0.99).values @ env.mdp.start
