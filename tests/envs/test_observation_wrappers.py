"""Discretising, flattening and one-hot encoding, against NumPy and against the environments' own numbering."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.envs.wrappers.observation import PRESETS, DiscreteProduct, DiscretizeObservation, FlattenDiscrete, OneHot


class Shows(gym.Env):
    """Shows elements of a space, takes actions of another, and remembers the last action."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space | None = None) -> None:
        self.observation_space = observation_space
        self.action_space = action_space or spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        self.last_action = action
        return self.observation_space.sample(), 0.0, False, False, {}


BOX = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 4.0], np.float32))


def test_uniform_bins_count_as_a_histogram_does():
    env = DiscretizeObservation(Shows(BOX), bins=[5, 3])
    points = np.random.default_rng(0).uniform(BOX.low, BOX.high, (500, 2))
    indices = [env.observation(point) for point in points]
    counted, *_ = np.histogram2d(*points.T, bins=[5, 3], range=[(-1, 1), (0, 4)])
    assert np.bincount(indices, minlength=15).tolist() == counted.ravel().tolist()
    assert env.observation_space == spaces.Discrete(15)


def test_given_edges_are_half_open_and_the_outer_bins_take_the_rest():
    env = DiscretizeObservation(Shows(spaces.Box(-np.inf, np.inf, (1,))), bins=[[-1.0, 0.5]])
    values = [-1e9, -1.001, -1.0, 0.4999, 0.5, 1e9]
    assert [env.observation(np.array([value])) for value in values] == [0, 0, 1, 1, 2, 2]


def test_the_last_dimension_varies_fastest_and_arrays_are_flattened():
    env = DiscretizeObservation(Shows(spaces.Box(0, 1, (2, 2))), bins=[2, 3, 1, 2])
    assert env.observation(np.array([[0.9, 0.9], [0.9, 0.9]])) == 11
    assert env.observation(np.array([[0.9, 0.4], [0.9, 0.1]])) == 6 + 2


@pytest.mark.parametrize("name", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1"])
def test_presets(name):
    env = DiscretizeObservation(gym.make(name))
    assert env.observation_space.n == np.prod(PRESETS[env.spec.name]["bins"])
    env.action_space.seed(0)
    env.reset(seed=0)
    seen = set()
    for _ in range(2000):
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        seen.add(observation)
        if terminated or truncated:
            env.reset()
    assert len(seen) > 20


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiscretizeObservation(gym.make("CartPole-v1"), bins=4), r"dimension 1 .*-inf, inf.*low= and high="),
        (lambda: DiscretizeObservation(gym.make("Taxi-v4")), r"needs Box observations, got Discrete\(500\)"),
        (lambda: DiscretizeObservation(gym.make("Pendulum-v1")), "no preset for Pendulum.*bins=10"),
        (lambda: DiscretizeObservation(Shows(BOX), bins=2.5), "whole number.*got 2.5"),
        (lambda: DiscretizeObservation(Shows(BOX), bins="ab"), "whole number.*got 'ab'"),
        (lambda: DiscretizeObservation(Shows(BOX), bins=3).observation([0.0, np.nan]), "dimension 1 .* is NaN"),
        (lambda: DiscretizeObservation(Shows(BOX), bins=[3]), "2 dimensions; got 1 bins"),
        (lambda: DiscretizeObservation(Shows(BOX), bins=[3, [2.0, 1.0]]), "edges of dimension 1.*increasing"),
        (lambda: DiscretizeObservation(Shows(BOX), bins=[3, 0]), "dimension 1 needs at least one bin, got 0"),
        (lambda: DiscretizeObservation(Shows(BOX), bins=3, low=[0, 9]), r"dimension 1.*\[9.0, 4.0\]"),
        (lambda: DiscretizeObservation(Shows(spaces.Box(0, 1, (30,))), bins=9), "more than an int64"),
        (lambda: FlattenDiscrete(gym.make("Taxi-v4")), "nothing to flatten"),
        (lambda: FlattenDiscrete(Shows(spaces.Tuple([spaces.Discrete(2), BOX]))), r"Box.*is not discrete"),
        (lambda: OneHot(gym.make("CartPole-v1")), "OneHot needs Discrete"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


LEAVES = st.one_of(
    st.builds(spaces.Discrete, st.integers(1, 4), start=st.integers(-3, 3)),
    st.builds(spaces.MultiBinary, st.integers(1, 2)),
    st.lists(st.integers(1, 3), min_size=1, max_size=2).map(spaces.MultiDiscrete),
    st.just(spaces.MultiDiscrete([2, 3], start=[5, -1])),
)
COMPOSITES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.lists(parts, min_size=1, max_size=2).map(spaces.Tuple),
        st.dictionaries(st.sampled_from("abc"), parts, min_size=1, max_size=2).map(spaces.Dict),
    ),
    max_leaves=3,
)


@settings(max_examples=60, deadline=None)
@given(COMPOSITES, st.integers(0, 1000))
def test_numbering_is_a_bijection(space, seed):
    product = DiscreteProduct(space)
    elements = [product.decode(index) for index in range(product.n)]
    assert all(space.contains(element) for element in elements)
    assert [product.encode(element) for element in elements] == list(range(product.n))
    space.seed(seed)
    sample = space.sample()
    assert spaces.utils.flatdim(space) == len(spaces.flatten(space, product.decode(product.encode(sample))))
    np.testing.assert_equal(product.decode(product.encode(sample)), sample)


def test_decode_refuses_what_is_no_element():
    with pytest.raises(ValueError, match=r"6 is not in 0 \.\. 5"):
        DiscreteProduct(spaces.MultiDiscrete([2, 3])).decode(6)


def test_blackjack_becomes_tabular():
    plain, env = gym.make("Blackjack-v1"), FlattenDiscrete(gym.make("Blackjack-v1"))
    for seed in range(30):
        hand, _ = plain.reset(seed=seed)
        index, _ = env.reset(seed=seed)
        assert env.observations.decode(index) == hand
        hand, reward, *_ = plain.step(1)
        assert env.step(1)[:2] == (env.observations.encode(hand), reward)


def test_the_parts_of_taxi_have_taxis_own_number():
    taxi = gym.make("Taxi-v4")
    sizes = spaces.Tuple([spaces.Discrete(n) for n in (5, 5, 5, 4)])
    parts = TransformObservation(taxi, lambda state: tuple(taxi.unwrapped.decode(state)), sizes)
    env = FlattenDiscrete(parts)
    assert env.observation_space == taxi.observation_space
    for seed in range(50):
        assert env.reset(seed=seed)[0] == taxi.unwrapped.s


def test_actions_are_flattened_too():
    inner = Shows(spaces.Discrete(3), spaces.MultiDiscrete([2, 3]))
    env = FlattenDiscrete(inner)
    assert env.action_space == spaces.Discrete(6)
    env.reset(seed=0)
    taken = []
    for action in range(6):
        env.step(action)
        taken.append(tuple(inner.last_action.tolist()))
    assert taken == [(a, b) for a in range(2) for b in range(3)]


def test_discrete_with_another_start():
    env = FlattenDiscrete(Shows(spaces.Discrete(3, start=7), spaces.Discrete(2, start=1)))
    assert (env.observation_space, env.action_space) == (spaces.Discrete(3), spaces.Discrete(2))
    assert env.reset(seed=0)[0] in range(3)
    env.step(0)
    assert env.unwrapped.last_action == 1


def test_one_hot():
    env = OneHot(Shows(spaces.Discrete(4, start=2)))
    index = env.env.reset(seed=3)[0] - 2
    observation, _ = env.reset(seed=3)
    assert observation.tolist() == np.eye(4)[index].tolist()
    assert env.observation_space.contains(observation)
