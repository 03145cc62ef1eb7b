"""Whole episodes from parallel environments, against lists that are kept the slow way."""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.common import EpisodeBuffer, discounted_returns

FEW = settings(max_examples=60, deadline=None)


class Script(NamedTuple):
    """What each environment will do: the length of each episode and whether a time limit ends it."""

    lengths: list[list[int]]  # [n_envs][quota]
    truncated: list[list[bool]]  # [n_envs][quota]


@st.composite
def scripts(draw):
    n_envs, quota = draw(st.integers(1, 4)), draw(st.integers(1, 3))

    def table(elements):
        row = st.lists(elements, min_size=quota, max_size=quota)
        return draw(st.lists(row, min_size=n_envs, max_size=n_envs))

    return Script(table(st.integers(1, 5)), table(st.booleans()))


def number(env, episode, time):
    """A number that tells where a step comes from; time = -1 for the state after the last step."""
    return float(env * 10_000 + episode * 100 + time + 1)


def play(script, as_dict=False, extra_steps=2):
    """Play a script into a buffer, through arrays that are overwritten after every step."""
    n_envs, quota = len(script.lengths), len(script.lengths[0])
    buffer = EpisodeBuffer(n_envs, quota)
    episode, time = np.zeros(n_envs, dtype=int), np.zeros(n_envs, dtype=int)
    left = extra_steps  # steps added after every quota is played
    while not buffer.full or left > 0:
        left -= buffer.full
        rewards = np.array([number(*place) for place in zip(range(n_envs), episode, time, strict=True)])
        observations, actions = np.stack([rewards, -rewards], axis=1), rewards[:, None].astype(np.int64)
        given_observations = {"a": observations, "b": rewards.copy()} if as_dict else observations
        lengths = [script.lengths[env][e] if e < quota else 2 for env, e in enumerate(episode)]
        ends = time + 1 == lengths
        for env in np.flatnonzero(ends):
            if episode[env] >= quota or script.truncated[env][episode[env]]:
                last = np.full(2, number(env, episode[env], -1))
                buffer.mark_truncated(env, {"a": last, "b": last[0]} if as_dict else last)
                last[:] = np.nan
        buffer.add(given_observations, actions, rewards, ends)
        episode, time = episode + ends, np.where(ends, 0, time + 1)
        for array in (rewards, actions, ends, *(given_observations.values() if as_dict else [observations])):
            array[...] = -1
    return buffer


@FEW
@given(scripts())
def test_every_environment_plays_its_quota(script):
    batch = play(script).episodes()
    n_envs, quota = len(script.lengths), len(script.lengths[0])
    assert batch.n_episodes == n_envs * quota
    rewards = batch.pad(batch.rewards)
    assert len(rewards) == max(itertools.chain(*script.lengths))

    for episode, env in itertools.product(range(quota), range(n_envs)):
        column, length = episode * n_envs + env, script.lengths[env][episode]
        assert batch.lengths[column] == length
        assert batch.terminated[column] != script.truncated[env][episode]
        expected = [number(env, episode, time) for time in range(length)]
        np.testing.assert_array_equal(rewards[:length, column], expected)
        np.testing.assert_array_equal(rewards[length:, column], 0.0)
        np.testing.assert_array_equal(batch.mask()[:, column], np.arange(len(rewards)) < length)
        np.testing.assert_array_equal(np.flatnonzero(batch.ends()[:, column]), [length - 1])
        discounts = [0.9] * (length - 1) + [0.9 if script.truncated[env][episode] else 0.0]
        np.testing.assert_array_equal(batch.discounts(0.9)[:, column], discounts + [0.0] * (len(rewards) - length))


@FEW
@given(scripts(), st.booleans())
def test_flat_arrays_belong_together(script, as_dict):
    """Observation, action and reward of a step stay side by side, and steps beyond a quota are gone."""
    batch = play(script, as_dict).episodes()
    assert len(batch.rewards) == sum(itertools.chain(*script.lengths))
    n_envs = len(script.lengths)
    episode, env = np.divmod(batch.episode, n_envs)
    np.testing.assert_array_equal(batch.rewards, env * 10_000 + episode * 100 + batch.time + 1)
    np.testing.assert_array_equal(batch.actions, batch.rewards[:, None])
    vectors = batch.observations["a"] if as_dict else batch.observations
    np.testing.assert_array_equal(vectors, np.stack([batch.rewards, -batch.rewards], axis=1))
    if as_dict:
        np.testing.assert_array_equal(batch.observations["b"], batch.rewards)


@FEW
@given(scripts(), st.booleans())
def test_last_observations_are_in_the_order_of_the_truncated_columns(script, as_dict):
    batch = play(script, as_dict).episodes()
    columns = np.flatnonzero(~batch.terminated)
    if not len(columns):
        assert batch.last_observations is None
        return
    expected = [number(column % len(script.lengths), column // len(script.lengths), -1) for column in columns]
    vectors = batch.last_observations["a"] if as_dict else batch.last_observations
    np.testing.assert_array_equal(vectors, np.stack([expected, expected], axis=1))
    if as_dict:
        np.testing.assert_array_equal(batch.last_observations["b"], expected)


@FEW
@given(scripts())
def test_flatten_is_the_inverse_of_pad(script):
    batch = play(script).episodes()
    for values in (batch.rewards, np.arange(len(batch.rewards)), batch.rewards.astype(np.float32), batch.time > 0):
        padded = batch.pad(values)
        assert padded.dtype == values.dtype
        np.testing.assert_array_equal(batch.flatten(padded), values)
        np.testing.assert_array_equal(padded[~batch.mask()], 0)
    padded = np.where(batch.mask(), np.arange(batch.mask().size).reshape(batch.mask().shape), 0)
    np.testing.assert_array_equal(batch.pad(batch.flatten(padded)), padded)


@FEW
@given(scripts())
def test_returns_of_a_batch_are_those_of_its_episodes(script):
    """Padding does not change a return, and a truncated episode counts on from the state that it reached."""
    batch = play(script).episodes()
    last_values = np.zeros(batch.mask().shape)
    columns = np.flatnonzero(~batch.terminated)
    last_values[batch.lengths[columns] - 1, columns] = 1000.0
    returns = discounted_returns(batch.pad(batch.rewards), batch.discounts(0.9), batch.ends(), last_values)
    for column, length in enumerate(batch.lengths):
        rewards = batch.pad(batch.rewards)[:length, column]
        tail = 0.0 if batch.terminated[column] else 1000.0
        slow = [sum(0.9**k * r for k, r in enumerate(rewards[t:])) + 0.9 ** (length - t) * tail for t in range(length)]
        np.testing.assert_allclose(returns[:length, column], slow)
        np.testing.assert_array_equal(returns[length:, column], 0.0)


def step(buffer, ends, rewards=None):
    ones = np.ones(buffer.n_envs)
    buffer.add(ones[:, None], ones, ones if rewards is None else np.asarray(rewards), np.array(ends))


def test_progress_is_visible_and_reset_forgets():
    buffer = EpisodeBuffer(n_envs=2, episodes_per_env=1)
    for _ in range(2):
        np.testing.assert_array_equal(buffer.active, [True, True])
        np.testing.assert_array_equal(buffer.time, [0, 0])
        step(buffer, [False, False])
        np.testing.assert_array_equal(buffer.time, [1, 1])
        buffer.mark_truncated(1, np.zeros(1))
        step(buffer, [False, True])
        np.testing.assert_array_equal(buffer.active, [True, False])
        step(buffer, [False, False])
        np.testing.assert_array_equal(buffer.time, [3, 1])
        assert not buffer.full
        step(buffer, [True, False])
        assert buffer.full
        batch = buffer.episodes()
        np.testing.assert_array_equal(batch.lengths, [4, 2])
        np.testing.assert_array_equal(batch.terminated, [True, False])
        buffer.reset()
        assert not buffer.full
    step(buffer, [True, True])
    assert buffer.episodes().terminated.all()
    np.testing.assert_array_equal(batch.lengths, [4, 2])  # a finished batch outlives the reset
    np.testing.assert_array_equal(batch.terminated, [True, False])


def test_a_time_limit_beyond_the_quota_changes_nothing():
    buffer = EpisodeBuffer(n_envs=2)
    step(buffer, [True, False])
    buffer.mark_truncated(0, np.zeros(1))
    step(buffer, [True, True])
    assert buffer.episodes().terminated.all()
    assert buffer.episodes().last_observations is None


def test_shapes_and_types_of_observations_are_kept():
    buffer = EpisodeBuffer(n_envs=2)
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    buffer.mark_truncated(1, images[1])
    buffer.add(images, np.zeros((2, 2), np.float32), np.zeros(2, np.float32), np.array([True, True]))
    batch = buffer.episodes()
    assert (batch.observations.shape, batch.observations.dtype) == ((2, 3, 4, 4), np.uint8)
    assert (batch.last_observations.shape, batch.last_observations.dtype) == ((1, 3, 4, 4), np.uint8)
    assert (batch.actions.dtype, batch.rewards.dtype) == (np.float32, np.float32)

    numbered = EpisodeBuffer(n_envs=1)  # a Discrete observation space has plain numbers for observations
    numbered.mark_truncated(0, np.int64(7))
    numbered.add(np.array([3]), np.array([1]), np.ones(1), np.array([True]))
    np.testing.assert_array_equal(numbered.episodes().last_observations, [7])


@pytest.mark.parametrize(("n_envs", "quota"), [(0, 1), (1, 0), (-2, 1)])
def test_nothing_to_collect_is_refused(n_envs, quota):
    with pytest.raises(ValueError, match=rf"at least one episode of one environment.*n_envs={n_envs}"):
        EpisodeBuffer(n_envs, quota)


def test_an_unfinished_batch_is_refused():
    buffer = EpisodeBuffer(n_envs=3, episodes_per_env=2)
    step(buffer, [True, False, True])
    step(buffer, [True, False, False])
    with pytest.raises(RuntimeError, match=r"environments \[1, 2\] have not played their 2 episodes"):
        buffer.episodes()


@pytest.mark.parametrize("rewards_shape", [(3,), (2, 1), (1,)])
def test_steps_of_another_shape_are_refused(rewards_shape):
    buffer = EpisodeBuffer(n_envs=2)
    with pytest.raises(ValueError, match=r"must be \[2\]; got the shapes"):
        step(buffer, [True, True], rewards=np.ones(rewards_shape))
    with pytest.raises(ValueError, match=r"must be \[2\]; got the shapes \(2,\), \(1,\)"):
        step(buffer, [True])


def test_the_first_that_finish_are_short_and_the_quota_is_fair():
    """Episodes of 1 or 9 steps, a fair coin each: the mean length is 5. Taking the first 8 that finish says less."""
    rng, n_envs, n_batches = np.random.default_rng(0), 8, 300
    quota_lengths, first_lengths = [], []
    for _ in range(n_batches):
        buffer, first = EpisodeBuffer(n_envs), []
        time, lengths = np.zeros(n_envs, dtype=int), rng.choice([1, 9], size=n_envs)
        while not buffer.full:
            time += 1
            ends = time == lengths
            first += time[ends].tolist()
            step(buffer, ends)
            time, lengths = np.where(ends, 0, time), np.where(ends, rng.choice([1, 9], size=n_envs), lengths)
        quota_lengths.append(buffer.episodes().lengths.mean())
        first_lengths.append(np.mean(first[:n_envs]))

    error = np.std(quota_lengths) / np.sqrt(n_batches)
    assert abs(np.mean(quota_lengths) - 5.0) < 5 * error
    assert np.mean(first_lengths) < 5.0 - 20 * error


# ---- Rounds ---------------------------------------------------------------------


def test_in_rounds_whoever_has_finished_waits_for_the_others():
    buffer = EpisodeBuffer(2, episodes_per_env=2, in_rounds=True)
    lengths = [[1, 3], [2, 1]]  # [round][environment]
    played = []
    for round_, (first, second) in enumerate(lengths):
        for time in range(3):
            if not buffer.active.any():
                break
            assert buffer.active.tolist() == [time < first, time < second]
            step = np.array([number(env, round_, time) for env in range(2)])
            # the first to finish goes on with episodes of one step, which its environment resets by itself
            ends = np.array([time + 1 >= first, time + 1 >= second])
            played += [value for value, active in zip(step, buffer.active, strict=True) if active]
            buffer.add(step[:, None], np.zeros(2), step, ends)
        assert buffer.n_played == round_ + 1
        assert buffer.full == (round_ == 1)
        if not buffer.full:
            buffer.begin_round()

    episodes = buffer.episodes()
    assert episodes.lengths.tolist() == [1, 3, 2, 1]
    assert episodes.rewards.tolist() == played
    np.testing.assert_array_equal(episodes.pad(episodes.rewards)[0], [number(e, r, 0) for r in (0, 1) for e in (0, 1)])
    assert episodes.time.tolist() == [0, 0, 1, 2, 0, 0, 1]


def test_a_round_has_to_be_begun():
    buffer = EpisodeBuffer(1, episodes_per_env=2, in_rounds=True)
    for _ in range(3):
        buffer.add(np.zeros((1, 1)), np.zeros(1), np.zeros(1), np.ones(1, bool))
    assert (buffer.n_played, buffer.full) == (1, False)
    with pytest.raises(RuntimeError, match=r"environments \[0\] have not played their 2 episodes"):
        buffer.episodes()
