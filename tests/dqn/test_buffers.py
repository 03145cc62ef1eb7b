"""The replay buffers against plain lists of what happened: n steps, ends, time limits, wrap-around, priorities."""

import warnings
from collections import Counter as Count

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from helpers_dqn import KINDS, Chase, Counter, build, chase
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer as OfSB3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.save_util import load_from_pkl, save_to_pkl
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ext.dqn import (
    PrioritizedDictReplayBuffer,
    PrioritizedDQN,
    PrioritizedReplayBuffer,
    RainbowDQN,
    UniformDictReplayBuffer,
    UniformReplayBuffer,
)

BOX, ACTIONS = spaces.Box(-np.inf, np.inf, (1,), np.float64), spaces.Discrete(2)
DICT = spaces.Dict({"x": BOX})
GAMMA = 0.5


def make(kind=PrioritizedReplayBuffer, size=100, space=BOX, n_envs=1, **kwargs):
    weighted = {"weighted_loss": True} if issubclass(kind, PrioritizedReplayBuffer) else {}
    return kind(size, space, ACTIONS, "cpu", n_envs, **{"gamma": GAMMA, **weighted, **kwargs})


class Story:
    """Plays ``Counter`` environments into a buffer, and remembers each step as a plain tuple."""

    def __init__(self, buffer, as_dict=False, limit=4, seed=0):
        n_envs = buffer.n_envs
        lengths = np.random.default_rng(seed).integers(1, 8, size=(n_envs, 50))
        makes = [lambda i=i: TimeLimit(Counter(1000.0 * i, lengths[i], as_dict), limit) for i in range(n_envs)]
        self.env, self.buffer, self.as_dict = DummyVecEnv(makes), buffer, as_dict
        self.steps = [[] for _ in range(n_envs)]  # (observation, action, reward, next observation, terminated, ended)
        self.last = self.env.reset()
        self.rng = np.random.default_rng(seed)

    def play(self, n):
        for _ in range(n):
            actions = self.rng.integers(2, size=self.buffer.n_envs)
            observations, rewards, dones, infos = self.env.step(actions)
            following = self._copy(observations)
            for i in np.flatnonzero(dones):
                if self.as_dict:
                    following["x"][i] = infos[i]["terminal_observation"]["x"]
                else:
                    following[i] = infos[i]["terminal_observation"]
            self.buffer.add(self._copy(self.last), following, actions, rewards, dones, infos)
            for i, info in enumerate(infos):
                terminated = dones[i] and not info["TimeLimit.truncated"]
                step = (self._number(self.last, i), actions[i], rewards[i], self._number(following, i))
                self.steps[i].append((*step, bool(terminated), bool(dones[i])))
            self.last = observations
        return self

    def _copy(self, observations):
        return {"x": observations["x"].copy()} if self.as_dict else observations.copy()

    def _number(self, observations, i):
        return float((observations["x"] if self.as_dict else observations)[i, 0])

    def expected(self, n_steps, lost_ends=False):
        """Observation -> (action, sum of rewards, discount, state reached, terminated), of what the buffer holds."""
        found = {}
        for steps in self.steps:
            kept = steps[-self.buffer.buffer_size :]
            for t, (observation, action, *_) in enumerate(kept):
                total, k, cut = 0.0, 0, False
                for _, _, reward, reached, terminated, ended in kept[t : t + n_steps]:
                    if lost_ends and ended and not terminated:
                        cut = True
                        break
                    total, k, last = total + GAMMA**k * reward, k + 1, (reached, terminated)
                    if ended:
                        break
                if cut and k == 0:
                    continue  # a step that cannot be learned from
                found[observation] = (action, total, GAMMA**k, *last)
        return found


def read(samples):
    """Observation -> the same, of a batch; observations are unique."""
    first, reached = (part["x"] if isinstance(part, dict) else part
                      for part in (samples.observations, samples.next_observations))  # fmt: skip
    columns = (first, samples.actions, samples.rewards, samples.discounts, reached, samples.dones)
    return {o: (a, r, g, s, bool(d)) for o, a, r, g, s, d in zip(*(c.flatten().tolist() for c in columns), strict=True)}


def assert_holds(buffer, expected, n_samples=4000):
    """A large batch holds every step that is expected, and nothing else."""
    found = read(buffer.sample(n_samples))
    assert found.keys() == expected.keys()
    for observation, row in expected.items():
        terminated = row[-1]  # then the state reached does not matter
        np.testing.assert_allclose(
            found[observation][: 3 if terminated else 4], row[: 3 if terminated else 4], rtol=1e-5
        )
        assert found[observation][-1] == terminated


KINDS_OF_BUFFER = {
    "uniform": (UniformReplayBuffer, BOX),
    "uniform dict": (UniformDictReplayBuffer, DICT),
    "prioritized": (PrioritizedReplayBuffer, BOX),
    "prioritized dict": (PrioritizedDictReplayBuffer, DICT),
}


@pytest.mark.parametrize("n_played", [1, 2, 19, 20, 21, 53])
@pytest.mark.parametrize("n_steps", [1, 3, 6])
@pytest.mark.parametrize("kind", KINDS_OF_BUFFER)
def test_n_steps_across_ends_limits_and_the_buffer_s_own_end(kind, n_steps, n_played):
    """Of 20 rows and 2 environments: before it is full, just full, and after it wrapped around."""
    cls, space = KINDS_OF_BUFFER[kind]
    buffer = make(cls, 40, space, n_envs=2, n_steps=n_steps)
    story = Story(buffer, space is DICT).play(n_played)
    assert_holds(buffer, story.expected(n_steps))


@pytest.mark.parametrize("n_played", [1, 2, 19, 20, 21, 53])
@pytest.mark.parametrize("n_steps", [1, 3, 6])
def test_little_memory_and_time_limits(n_steps, n_played):
    """The observation at a time limit is not kept: that step is not drawn, and windows stop before it."""
    buffer = make(size=40, n_envs=2, n_steps=n_steps, optimize_memory_usage=True)
    assert not hasattr(buffer, "next_observations")
    story = Story(buffer).play(n_played)
    expected = story.expected(n_steps, lost_ends=True)
    if n_played >= 20:  # the oldest row's observation is overwritten
        for steps in story.steps:
            expected.pop(steps[-20][0], None)
    assert_holds(buffer, expected)


@pytest.mark.parametrize("n_played", [5, 20, 53])
def test_what_is_handed_out_is_what_sb3_s_n_step_buffer_hands_out(n_played):
    ours, theirs = make(UniformReplayBuffer, 20, n_steps=3), OfSB3(20, BOX, ACTIONS, "cpu", n_steps=3, gamma=GAMMA)
    for buffer in (ours, theirs):
        Story(buffer).play(n_played)
    rows = np.arange(min(n_played, 20))
    found, expected = read(ours._get_samples(rows)), read(theirs._get_samples(rows))
    assert found.keys() == expected.keys()
    for observation, row in expected.items():
        np.testing.assert_allclose(found[observation], row, rtol=1e-6)


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("n_rows", [8, 100])
def test_a_reset_ends_windows(n_rows, optimized):
    """When training goes on with reset environments, the first new step does not follow from the last old one."""
    buffer = make(size=n_rows, n_steps=3, optimize_memory_usage=optimized)
    story = Story(buffer, limit=100)
    story.env.envs[0].unwrapped.lengths = [1000]
    story.play(6)
    buffer.end_episodes()
    story.last = story.env.reset()
    story.env.envs[0].unwrapped.lengths = [1000]
    *step, _ = story.steps[0][-1]
    story.steps[0][-1] = (*step, True)
    story.play(5)
    expected = story.expected(3, lost_ends=optimized)
    if optimized and n_rows == 8:
        expected.pop(story.steps[0][-8][0], None)
    assert_holds(buffer, expected)


@pytest.mark.parametrize("options", [{"n_steps": 3}, {"n_steps": 3, "prioritized": True}])
def test_the_model_tells_the_buffer_of_a_reset(options):
    model = build(make_vec_env(lambda: TimeLimit(Chase(p_end=0), 1000)), **options)
    model.learn(45)
    newest = model.replay_buffer.pos - 1
    assert model.replay_buffer.dones[newest] == 0  # else the test shows nothing
    model.learn(8, reset_num_timesteps=False)
    assert model.replay_buffer.timeouts[newest] == 0
    newest = model.replay_buffer.pos - 1
    assert model.replay_buffer.dones[newest] == 0
    model.learn(8)
    assert model.replay_buffer.timeouts[newest] == 1


# ---- Priorities


def draws(buffer, n_batches=400, batch_size=50):
    """How often each leaf is drawn, as a share."""
    counts = Count(leaf for _ in range(n_batches) for leaf in buffer.sample(batch_size).leaves.tolist())
    return {leaf: count / (n_batches * batch_size) for leaf, count in counts.items()}


def test_drawn_in_proportion_to_the_power_of_the_error():
    buffer = make(size=8, n_envs=2, alpha=0.5)
    Story(buffer).play(3)
    np.random.seed(0)  # noqa: NPY002
    buffer.update_priorities(np.arange(6), np.array([0.0, 1.0, -4.0, 9.0, 16.0, 25.0]))
    found = draws(buffer)
    for leaf, root in enumerate([0.001, 1.0, 2.0, 3.0, 4.0, 5.0]):
        assert found.get(leaf, 0.0) == pytest.approx(root / 15.001, abs=0.006)


def test_alpha_0_is_uniform_and_its_weights_are_1():
    buffer = make(size=10, alpha=0.0)
    Story(buffer).play(10)
    buffer.update_priorities(np.arange(10), np.linspace(0, 100, 10))
    assert all(share == pytest.approx(0.1, abs=0.02) for share in draws(buffer).values())
    np.testing.assert_array_equal(buffer.sample(5).weights, np.ones(5))


def test_weights_are_those_of_the_paper():
    buffer = make(size=4, alpha=1.0, beta=0.5)
    Story(buffer).play(4)
    buffer.update_priorities(np.arange(4), np.array([1.0, 2.0, 3.0, 4.0]))
    samples = buffer.sample(1000)
    p = np.array([0.1, 0.2, 0.3, 0.4])[samples.leaves]
    weights = (4 * p) ** -0.5
    np.testing.assert_allclose(samples.weights, weights / weights.max(), rtol=1e-4)


def test_a_new_step_gets_the_highest_priority_there_has_been():
    buffer = make(size=50, alpha=1.0)
    story = Story(buffer).play(3)
    buffer.update_priorities(np.arange(3), np.array([0.1, 7.0, 0.1]))
    buffer.update_priorities(np.arange(3), np.array([0.1, 0.1, 0.1]))
    story.play(1)
    assert draws(buffer)[3] == pytest.approx(7 / 7.3, abs=0.01)


def test_an_overwritten_step_has_the_new_one_s_priority():
    buffer = make(size=4, alpha=1.0)
    story = Story(buffer).play(4)
    buffer.update_priorities(np.arange(4), np.full(4, 1e-6))
    story.play(1)
    assert draws(buffer)[0] > 0.99


def test_spread():
    buffer = make(size=50, alpha=1.0)
    assert buffer.priority_spread == 0
    Story(buffer).play(4)
    assert buffer.priority_spread == 0
    buffer.update_priorities(np.arange(4), np.array([1.0, 1.0, 3.0, 3.0]))
    assert buffer.priority_spread == pytest.approx(0.5, rel=1e-5)


def test_rewards_and_observations_are_normalized():
    env = VecNormalize(chase(), gamma=GAMMA)
    model = build(env, PrioritizedDQN, n_steps=2)
    model.learn(60)
    buffer, env.training = model.replay_buffer, False
    rows, envs = np.arange(10), np.zeros(10, int)
    found, plain = buffer.gather(rows, envs, env), buffer.gather(rows, envs)
    np.testing.assert_allclose(found.observations, env.normalize_obs(plain.observations.numpy()), rtol=1e-5)
    scale = np.sqrt(env.ret_rms.var + env.epsilon)
    np.testing.assert_allclose(found.rewards, plain.rewards / scale, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded(kind, tmp_path):
    model = build(cls=PrioritizedDQN, kind=kind, n_steps=2).learn(60)
    model.save_replay_buffer(tmp_path / "buffer")
    other = build(cls=PrioritizedDQN, kind=kind, n_steps=2)
    other.load_replay_buffer(tmp_path / "buffer")
    batches = []
    for each in (model, other):
        each.set_random_seed(7)
        batches.append(each.replay_buffer.sample(20))
    np.testing.assert_array_equal(batches[0].leaves, batches[1].leaves)
    np.testing.assert_array_equal(batches[0].weights, batches[1].weights)
    th.testing.assert_close(batches[0].observations, batches[1].observations)
    assert other.replay_buffer.max_priority == model.replay_buffer.max_priority != 1.0
    other.learn(50)


def test_a_buffer_alone_is_pickled(tmp_path):
    buffer = make(size=10)
    Story(buffer).play(12)
    save_to_pkl(tmp_path / "buffer.pkl", buffer)
    assert_same_draws = [read(each.gather(np.arange(10), np.zeros(10, int)))
                         for each in (buffer, load_from_pkl(tmp_path / "buffer.pkl"))]  # fmt: skip
    assert assert_same_draws[0] == assert_same_draws[1]


def test_a_saved_buffer_of_another_kind_is_refused_and_the_own_one_kept(tmp_path):
    build().save_replay_buffer(tmp_path / "plain")
    model = build(cls=PrioritizedDQN)
    own = model.replay_buffer
    with pytest.raises(ValueError, match="holds a ReplayBuffer, but the model needs a PrioritizedReplayBuffer"):
        model.load_replay_buffer(tmp_path / "plain")
    assert model.replay_buffer is own


def test_a_saved_buffer_gives_the_model_s_n_steps(tmp_path):
    build(cls=PrioritizedDQN, n_steps=2).learn(50).save_replay_buffer(tmp_path / "buffer")
    model = build(cls=PrioritizedDQN, n_steps=3, gamma=0.5)
    model.load_replay_buffer(tmp_path / "buffer")
    assert model.replay_buffer.sample(50).discounts.min().item() == 0.125


def test_uniform_buffers_may_be_asked_for():
    model = build(replay_buffer_class=UniformReplayBuffer, n_steps=3, gamma=0.5).learn(50)
    assert model.replay_buffer.sample(50).discounts.min().item() == 0.125


# ---- Bad input


@pytest.mark.parametrize("algorithm", [DQN, QRDQN])
@pytest.mark.parametrize("kind", ["vector", "dict"])
def test_given_to_sb3_s_algorithms_it_refuses_and_names_ours(algorithm, kind):
    buffer = PrioritizedDictReplayBuffer if kind == "dict" else PrioritizedReplayBuffer
    with pytest.raises(ValueError, match=r"DQN and .*QRDQN do neither: use sb3_ext\.dqn\.Prior.*DQN, or Rainbow"):
        build(chase(kind), algorithm, kind=kind, replay_buffer_class=buffer, replay_buffer_kwargs={"alpha": 0.5})


def test_a_saved_prioritized_model_is_refused_by_sb3_s_dqn(tmp_path):
    build(cls=PrioritizedDQN).save(tmp_path / "model")
    with pytest.raises(ValueError, match="do neither: use sb3_ext"):
        DQN.load(tmp_path / "model")


def test_uniform_buffers_serve_sb3_s_dqn():
    """n steps of Dict observations, which SB3's own n-step buffer refuses."""
    model = build(chase("dict"), DQN, kind="dict", replay_buffer_class=UniformDictReplayBuffer,
                  replay_buffer_kwargs={"n_steps": 3, "gamma": 0.9})  # fmt: skip
    assert model.learn(80)._n_updates > 0


@pytest.mark.parametrize(
    ("kind", "kwargs", "message"),
    [
        (PrioritizedReplayBuffer, {"alpha": 1.5}, r"alpha must lie in \[0, 1\], got 1.5"),
        (PrioritizedReplayBuffer, {"beta": -0.1}, r"beta must lie in \[0, 1\], got -0.1"),
        (PrioritizedReplayBuffer, {"space": DICT}, "not for Dict observations: use PrioritizedDictReplayBuffer"),
        (PrioritizedDictReplayBuffer, {}, "not for Box observations: use PrioritizedReplayBuffer"),
        (UniformReplayBuffer, {"space": DICT}, "not for Dict observations: use UniformDictReplayBuffer"),
        (UniformDictReplayBuffer, {}, "not for Box observations: use UniformReplayBuffer"),
        (UniformReplayBuffer, {"n_steps": 0}, "n_steps must be at least 1, got 0"),
        (UniformReplayBuffer, {"size": 5, "n_envs": 2, "n_steps": 3}, "has 2 rows, fewer than n_steps=3"),
        (UniformReplayBuffer, {"gamma": 1.01}, r"gamma must lie in \[0, 1\]"),
        (UniformReplayBuffer, {"optimize_memory_usage": True}, "does not support optimize_memory_usage=True"),
        (PrioritizedDictReplayBuffer, {"space": DICT, "optimize_memory_usage": True}, "does not support optimize_mem"),
    ],
)
def test_bad_input(kind, kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(kind, **kwargs)


def test_a_network_that_diverged_is_noticed():
    buffer = make()
    Story(buffer).play(3)
    with pytest.raises(ValueError, match="TD errors must be finite, got inf"):
        buffer.update_priorities(np.arange(2), np.array([1.0, np.inf]))


def test_little_memory_where_every_step_ends_at_a_time_limit():
    buffer = make(optimize_memory_usage=True)
    Story(buffer, limit=1).play(1)
    with pytest.raises(ValueError, match="no step to learn from: with optimize_memory_usage=True"):
        buffer.sample(2)


def test_learning_with_little_memory_and_priorities():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = build(cls=RainbowDQN, prioritized=True, optimize_memory_usage=True, n_steps=2).learn(700)
    assert model.replay_buffer.full
    assert not model.replay_buffer.timeouts.all()
    assert np.isfinite(model.replay_buffer._tree.total)
