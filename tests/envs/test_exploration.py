"""Count bonus and random network distillation: equations, statistics, learning, saving, seeds."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_ext.envs.wrappers.exploration import RND, CountBonus, SimHash, exact_key
from sb3_ext.envs.wrappers.reward_terms import RewardTermsCallback


def lake(env: str = "FrozenLake-v1", **kwargs: Any):
    return make_vec_env(env, seed=0, **kwargs)


def test_count_bonus_counts_every_visit():
    env = CountBonus(gym.make("FrozenLake-v1"), beta=0.5)
    rng = np.random.default_rng(0)
    visits: dict[int, int] = {0: 1}
    env.reset(seed=0)
    for _ in range(300):
        cell, reward, terminated, truncated, info = env.step(int(rng.integers(4)))
        visits[cell] = visits.get(cell, 0) + 1
        assert reward == pytest.approx(info["reward_terms"]["raw"] + 0.5 / np.sqrt(visits[cell]))
        if terminated or truncated:
            visits[env.reset()[0]] += 1
    assert env.counts == visits
    assert len(visits) > 8
    env.reset(seed=0)
    assert env.counts == {0: 1}  # a seed starts anew


def test_exact_keys():
    same = [{"a": np.array([1.0, 2.0]), "b": (1, 2)}, {"b": (1, 2), "a": np.array([1.0, 2.0])}]
    assert exact_key(same[0]) == exact_key(same[1])
    assert exact_key(np.zeros((2, 1))) != exact_key(np.zeros((1, 2)))
    assert exact_key(np.int64(3)) == exact_key(3)


def test_sim_hash_is_the_sign_of_projections_and_near_points_share_codes():
    space = spaces.Box(-1, 1, (4,))
    code = SimHash(space, bits=8, seed=1)
    space.seed(0)
    points = [space.sample() for _ in range(200)]
    assert all(code(point) == code(0.5 * point) != code(-point) for point in points)
    near = np.mean([code(point) == code(point + 0.001) for point in points])
    far = np.mean([code(points[i]) == code(points[i + 1]) for i in range(199)])
    assert near > 0.95
    assert far < 0.3
    assert len({code(point) for point in points}) <= 2**8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CountBonus(gym.make("FrozenLake-v1"), beta=-1.0), "beta must be >= 0, got -1.0"),
        (lambda: SimHash(spaces.Box(0, 1, (2,)), bits=0), "bits must be at least 1, got 0"),
        (lambda: RND(lake(), batch_size=0), "batch_size >= 1, got 1.0, 0.99, 0.001 and 0"),
        (lambda: RND(lake(), gamma=5.0), r"gamma in \[0, 1\].*got 1.0, 5.0"),
        (lambda: RND(lake(), scale=float("nan")), "scale >= 0.*got nan"),
        (lambda: RND(gym.make("FrozenLake-v1")), "RND wraps a VecEnv, got .*FrozenLake.*make_vec_env"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def step_randomly(env, n_steps: int, seed: int = 0, actions: Any = None) -> list[tuple]:
    rng = np.random.default_rng(seed)
    env.reset()
    return [env.step(rng.integers(0, env.action_space.n, env.num_envs)) for _ in range(n_steps)]


def test_rnd_adds_its_term_and_nothing_else():
    env, plain = RND(lake(n_envs=3), scale=0.5), lake(n_envs=3)
    ended = 0
    sums = np.zeros(3)
    for (observations, rewards, dones, infos), raw in zip(
        step_randomly(env, 120), step_randomly(plain, 120), strict=True
    ):
        assert (observations == raw[0]).all()
        assert (dones == raw[2]).all()
        bonuses = [info["reward_terms"]["rnd"] for info in infos]
        assert min(bonuses) >= 0
        np.testing.assert_allclose(rewards, raw[1] + bonuses, rtol=1e-6)
        sums += rewards
        for i in np.flatnonzero(dones):
            assert infos[i]["episode"]["shaped_return"] == pytest.approx(sums[i], rel=1e-5)
            assert infos[i]["episode"]["raw_return"] == infos[i]["episode"]["r"]
            sums[i], ended = 0.0, ended + 1
    assert ended > 10


class Line(gym.Env):
    """Walks to the right, from 0; the last observation of an episode is 4, and no first one ever is."""

    observation_space = spaces.Box(0, 9, (1,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = 0
        return np.array([0.0], np.float32), {}

    def step(self, action):
        self.x += 1
        return np.array([self.x], np.float32), 0.0, self.x == 4, False, {}


def test_rnd_sees_the_last_observation_of_an_episode_not_the_next_first():
    env = RND(make_vec_env(Line, n_envs=2))
    step_randomly(env, 8)
    assert env.observation_statistics.mean[0] == pytest.approx(np.mean([1, 2, 3, 4]), abs=1e-3)
    assert env.observation_statistics.var[0] == pytest.approx(np.var([1, 2, 3, 4]), abs=1e-3)


def test_the_bonus_fades_where_it_has_been_and_stays_high_elsewhere():
    env = RND(lake("CliffWalking-v1", n_envs=4, env_kwargs={"max_episode_steps": 20}), seed=1)
    before = env.novelty(np.arange(48))
    seen = np.unique(np.concatenate([step[0] for step in step_randomly(env, 2000)]))
    after = env.novelty(np.arange(48))
    unseen = np.setdiff1d(np.arange(48), seen)
    assert len(seen) > 5
    assert len(unseen) > 5
    assert np.median(after[seen]) < 0.25 * np.median(after[unseen])
    assert (env.novelty(np.arange(48)) == after).all()  # looking changes nothing
    assert before.shape == (48,)


class Mixed(Line):
    observation_space = spaces.Dict({"where": spaces.Discrete(9), "image": spaces.Box(0, 255, (3, 4, 4), np.uint8)})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._show(), {}

    def step(self, action):
        _, *rest = super().step(action)
        return (self._show(), *rest)

    def _show(self):
        return {"where": self.x, "image": np.full((3, 4, 4), self.x, np.uint8)}


def test_rnd_with_dictionaries_and_images():
    env = RND(make_vec_env(Mixed, n_envs=2))
    steps = step_randomly(env, 40)
    assert env.observation_statistics.mean.shape == (9 + 48,)
    assert all(np.isfinite(rewards).all() and rewards.max() <= 5 for _, rewards, *_ in steps)


def test_rnd_off_adds_and_learns_nothing():
    env = RND(lake(n_envs=2))
    env.training = False
    weights = env.predictor[0].weight.clone()
    steps, plain = step_randomly(env, 100), step_randomly(lake(n_envs=2), 100)
    assert all((ours[1] == raw[1]).all() for ours, raw in zip(steps, plain, strict=True))
    assert (env.predictor[0].weight == weights).all()


def test_rnd_off_reports_the_raw_terms():
    env = RND(lake(n_envs=2))
    env.training = False
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0)
    model.learn(256, callback=RewardTermsCallback())
    assert len(model.ep_info_buffer) > 5
    for episode in model.ep_info_buffer:
        assert episode["r"] == episode["raw_return"] == episode["shaped_return"]


def test_the_scale_of_the_day_is_saved(tmp_path):
    env = RND(lake(n_envs=2), scale=1.0)
    step_randomly(env, 70)
    env.scale = 0.25
    env.save(tmp_path / "rnd.pt")
    loaded = RND.load(tmp_path / "rnd.pt", lake(n_envs=2))
    assert loaded.scale == loaded.settings["scale"] == 0.25
    assert (loaded.novelty(np.arange(16)) == env.novelty(np.arange(16))).all()


def test_the_same_seed_gives_the_same_bonuses_and_another_others():
    runs = [[step[1].tolist() for step in step_randomly(RND(lake(n_envs=2), seed=s), 80)] for s in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_saved_and_loaded_it_goes_on_as_if_nothing_had_happened(tmp_path):
    env = RND(lake(n_envs=2), scale=0.3, hidden=16)
    step_randomly(env, 70)
    env.save(tmp_path / "rnd.pt")
    loaded = RND.load(tmp_path / "rnd.pt", lake(n_envs=2))
    assert (loaded.novelty(np.arange(16)) == env.novelty(np.arange(16))).all()
    again = []
    for one in (env, loaded):
        one.seed(5)
        again.append([step[1].tolist() for step in step_randomly(one, 70, seed=1)])
    assert again[0] == again[1]
    with pytest.raises(ValueError, match=r"16 numbers, Discrete\(64\) has 64"):
        RND.load(tmp_path / "rnd.pt", lake("FrozenLake8x8-v1"))


@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_rnd_trains_with_sb3_and_evaluation_stays_raw(algorithm):
    env = RND(lake(n_envs=2))
    settings = {"n_steps": 64, "batch_size": 64} if algorithm is PPO else {"learning_starts": 50, "buffer_size": 1000}
    model = algorithm("MlpPolicy", env, seed=0, **settings)
    model.learn(400, callback=RewardTermsCallback())
    assert len(model.ep_info_buffer) > 5
    for episode in model.ep_info_buffer:
        assert episode["r"] == episode["raw_return"] < episode["shaped_return"]
    mean, _ = evaluate_policy(model, env, n_eval_episodes=4, deterministic=False)
    assert mean in (0.0, 0.25, 0.5, 0.75, 1.0)
