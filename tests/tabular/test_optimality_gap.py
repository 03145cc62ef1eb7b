"""OptimalityGapCallback: the gap is that of the policy which the agent really has, in every kind of training."""

import gymnasium as gym
import numpy as np
import pytest
from sb3_contrib import QRDQN, TRPO, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.callbacks import ConvertCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecNormalize

from sb3_ext import REINFORCE
from sb3_ext.envs import GridWorld, GridWorldVecEnv
from sb3_ext.tabular import TabularMDP, policy_evaluation, value_iteration
from sb3_ext.tabular.optimality_gap import OptimalityGapCallback, action_probabilities
from sb3_ext.vec_env import make_vec_env

LAKE = TabularMDP.from_env(gym.make("FrozenLake-v1"))
SMALL_PPO = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "seed": 0}
SMALL_DQN = {"learning_starts": 10, "buffer_size": 500, "seed": 0}


def small_world(**kwargs):
    return gym.wrappers.TimeLimit(GridWorld(["S.#", "..G"], slip=0.2, **kwargs), 30)


def asked(model, observations, deterministic=False):
    """What the policy does in each state, asked one by one."""
    rows = []
    for observation in observations:
        observation = observation if isinstance(observation, dict) else np.asarray(observation)
        if deterministic or not hasattr(model.policy, "get_distribution"):
            action = int(model.policy.predict(observation, deterministic=True)[0])
            rows.append(np.eye(model.action_space.n)[action])
        else:
            tensor, _ = model.policy.obs_to_tensor(observation)
            rows.append(model.policy.get_distribution(tensor).distribution.probs.detach().numpy()[0])
    return np.array(rows, dtype=np.float64)


class Entries(KVWriter):
    """Keeps what a logger writes."""

    def __init__(self):
        self.rows = []

    def write(self, key_values, key_excluded, step=0):
        self.rows.append(dict(key_values))

    def close(self):
        pass


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize(
    ("algorithm", "kwargs"),
    [(PPO, SMALL_PPO), (A2C, {"seed": 0}), (TRPO, {"n_steps": 32, "batch_size": 32, "seed": 0}),
     (REINFORCE, {"n_episodes": 2, "seed": 0}), (DQN, SMALL_DQN), (QRDQN, SMALL_DQN)],
)  # fmt: skip
def test_the_gap_on_frozen_lake_is_that_of_the_policy(algorithm, kwargs, deterministic):
    model = algorithm("MlpPolicy", "FrozenLake-v1", gamma=0.95, **kwargs)
    callback = OptimalityGapCallback(eval_freq=20, deterministic=deterministic)
    seen = []

    def look(_locals, _globals):
        if model.num_timesteps % 20 == 0:
            seen.append(asked(model, range(16), deterministic))
        return True

    model.learn(70, callback=[callback, ConvertCallback(look)])
    assert callback.timesteps == [20 * number for number in range(1, len(seen) + 1)]
    best = value_iteration(LAKE, 0.95).values[0]
    assert callback.optimal == pytest.approx(best, abs=1e-8)
    exact = [best - policy_evaluation(LAKE, policy, 0.95).values[0] for policy in seen]
    np.testing.assert_allclose(callback.gaps, exact, atol=1e-6)
    assert all(-1e-6 <= gap <= best + 1e-6 for gap in callback.gaps)


@pytest.mark.parametrize("algorithm", [PPO, DQN])
@pytest.mark.parametrize("mode", ["index", "coordinates", "one_hot", "goal"])
def test_the_gap_on_a_grid_world_for_every_observation(algorithm, mode):
    env = small_world(observation=mode)
    kwargs = SMALL_PPO if algorithm is PPO else SMALL_DQN
    model = algorithm("MultiInputPolicy" if mode == "goal" else "MlpPolicy", env, gamma=0.9, **kwargs)
    callback = OptimalityGapCallback(eval_freq=40)
    model.learn(80, callback=callback)
    world = env.unwrapped
    if algorithm is DQN:  # PPO has gone on learning since
        policy = asked(model, [world._observation.one(state) for state in range(6)])
        best = value_iteration(world.mdp, 0.9).values[0]
        assert callback.gaps[-1] == pytest.approx(best - policy_evaluation(world.mdp, policy, 0.9).values[0], abs=1e-6)
    assert len(callback.gaps) == len(callback.timesteps) >= 2


def test_a_network_of_images_is_asked_as_well():
    env = gym.wrappers.TimeLimit(GridWorld(["SG"], observation="image"), 10)
    callback = OptimalityGapCallback(gamma=0.9, eval_freq=4)
    PPO("CnnPolicy", env, n_steps=8, batch_size=8, n_epochs=1, seed=0).learn(8, callback=callback)
    assert callback.timesteps == [4, 8]
    assert 0 <= callback.gaps[0] < 1


def test_the_return_agrees_with_episodes_that_are_really_played():
    model = PPO("MlpPolicy", "FrozenLake-v1", gamma=0.99, **SMALL_PPO)
    callback = OptimalityGapCallback(gamma=1.0, eval_freq=64)
    model.learn(64, callback=callback)
    policy = action_probabilities(model, np.arange(16), 16, deterministic=False)
    exact = policy_evaluation(LAKE, policy, 1.0).values[0]
    returns, _ = evaluate_policy(model, model.get_env(), 1000, deterministic=False, return_episode_rewards=True)
    assert abs(np.mean(returns) - exact) < 5 * np.sqrt(exact * (1 - exact) / 1000)
    assert callback.optimal == pytest.approx(14 / 17)


@pytest.mark.slow
def test_learning_closes_the_gap():
    callback = OptimalityGapCallback(gamma=0.9, eval_freq=256)
    model = PPO("MlpPolicy", small_world(), n_steps=256, n_epochs=10, learning_rate=3e-3, seed=1)
    model.learn(4096, callback=callback)
    assert callback.gaps[-1] < 0.1 * callback.gaps[0]


def test_what_is_logged_and_what_is_left_alone():
    def run(callbacks):
        model = PPO("MlpPolicy", "FrozenLake-v1", **SMALL_PPO)
        entries = Entries()
        model.set_logger(Logger(None, [entries]))
        model.learn(96, callback=callbacks, log_interval=1)
        return model, entries.rows

    callback = OptimalityGapCallback(eval_freq=32)
    with_it, rows = run(callback)
    without, plain = run(None)
    added = set(rows[-1]) - set(plain[-1])
    assert added == {"optimality/gap", "optimality/return", "optimality/optimal"}
    assert rows[-1]["optimality/gap"] == callback.gaps[-1] == callback.optimal - rows[-1]["optimality/return"]
    for ours, theirs in zip(with_it.policy.parameters(), without.policy.parameters(), strict=True):
        assert (ours == theirs).all()  # not one random number was drawn, not one step made


def test_several_environments_count_calls_and_time_steps():
    callback = OptimalityGapCallback(eval_freq=10)
    env = make_vec_env("FrozenLake-v1", n_envs=4, seed=0)
    PPO("MlpPolicy", env, **SMALL_PPO).learn(128, callback=callback)
    assert callback.timesteps == [40, 80, 120]


def test_calls_until_due():
    callback = OptimalityGapCallback(eval_freq=10)
    assert callback.calls_until_due() == 10
    callback.n_calls = 7
    assert callback.calls_until_due() == 3
    callback.n_calls = 20
    assert callback.calls_until_due() == 10


def test_a_loop_that_leaves_calls_out_gets_the_same():
    model = A2C("MlpPolicy", "FrozenLake-v1", seed=0)
    model.set_logger(Logger(None, []))
    whole, skipping = OptimalityGapCallback(eval_freq=7), OptimalityGapCallback(eval_freq=7)
    for callback in (whole, skipping):
        callback.init_callback(model)
        callback.on_training_start({}, {})
    for step in range(1, 31):
        model.num_timesteps = step
        whole.on_step()
    model.num_timesteps = 0
    while model.num_timesteps + (due := skipping.calls_until_due()) <= 30:
        skipping.n_calls += due - 1
        model.num_timesteps += due
        skipping.on_step()
    assert skipping.timesteps == whole.timesteps == [7, 14, 21, 28]
    assert skipping.gaps == whole.gaps


@pytest.mark.parametrize("norm_obs", [True, False])
def test_normalised_observations_are_normalised_here_too(norm_obs):
    env = VecNormalize(DummyVecEnv([lambda: small_world(observation="coordinates")]), norm_obs=norm_obs)
    model = DQN("MlpPolicy", env, gamma=0.9, **SMALL_DQN)
    callback = OptimalityGapCallback(eval_freq=60)
    model.learn(60, callback=callback)
    before = env.obs_rms.mean.copy() if norm_obs else None
    world = GridWorld(["S.#", "..G"], slip=0.2, observation="coordinates")
    observations = env.normalize_obs(world.observe(np.arange(6)))
    policy = asked(model, observations)
    np.testing.assert_array_equal(action_probabilities(model, world.observe(np.arange(6)), 6, False), policy)
    if norm_obs:
        np.testing.assert_array_equal(env.obs_rms.mean, before)
    assert len(callback.gaps) == 1


@pytest.mark.parametrize("make_env", [
    lambda: GridWorldVecEnv(2, ["S.#", "..G"], observation="coordinates", max_episode_steps=30),
    lambda: make_vec_env("sb3_ext/GridWorld-v0", 2, env_kwargs={"map": ["SG"], "observation": "one_hot"}),
    lambda: make_vec_env("FrozenLake-v1", 2, backend="dummy"),
    lambda: SubprocVecEnv([lambda: gym.make("FrozenLake-v1")] * 2, "fork"),
    lambda: SubprocVecEnv([lambda: small_world(observation="coordinates")] * 2, "fork"),
])  # fmt: skip
def test_the_world_is_found_in_every_kind_of_vec_env(make_env):
    env, callback = make_env(), OptimalityGapCallback(gamma=0.9, eval_freq=16)
    try:
        PPO("MlpPolicy", env, **SMALL_PPO).learn(64, callback=callback)
    finally:
        env.close()
    assert callback.timesteps == [32, 64]
    assert callback.gaps[0] > 0


def test_an_environment_without_a_model_is_refused_and_left_alive():
    for env in (
        DummyVecEnv([lambda: gym.make("CartPole-v1")]),
        SubprocVecEnv([lambda: gym.make("CartPole-v1")], "fork"),
    ):
        with pytest.raises(ValueError, match=r"neither 'mdp' .* nor Gymnasium's 'P'"):
            A2C("MlpPolicy", env).learn(10, callback=OptimalityGapCallback())
        env.reset()
        env.close()


class Hidden(gym.ObservationWrapper):
    """Shows something else than the state."""

    observation_space = gym.spaces.Box(0.0, 1.0, (2,))

    def observation(self, observation):
        return np.array([observation / 16, 1.0], dtype=np.float32)


def test_observations_can_be_given_and_are_asked_for():
    env = Hidden(gym.make("FrozenLake-v1"))
    with pytest.raises(
        ValueError, match=r"which of the observations .* Give OptimalityGapCallback\(observations=...\)"
    ):
        A2C("MlpPolicy", env).learn(10, callback=OptimalityGapCallback())
    seen = np.stack([np.arange(16) / 16, np.ones(16)], axis=1)
    callback = OptimalityGapCallback(observations=seen, eval_freq=10)
    A2C("MlpPolicy", env, seed=0).learn(10, callback=callback)
    assert len(callback.gaps) == 1
    with pytest.raises(ValueError, match=r"observations must be \[16, 2\], got \[16, 3\]"):
        A2C("MlpPolicy", env).learn(10, callback=OptimalityGapCallback(observations=np.zeros((16, 3))))
    stacked = VecFrameStack(DummyVecEnv([lambda: small_world(observation="coordinates")]), 3)
    with pytest.raises(ValueError, match=r"observations must be \[6, 6\], got \[6, 2\]"):
        A2C("MlpPolicy", stacked).learn(10, callback=OptimalityGapCallback())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OptimalityGapCallback(eval_freq=0), "eval_freq must be at least 1, got 0"),
        (lambda: A2C("MlpPolicy", "FrozenLake-v1").learn(9, OptimalityGapCallback(gamma=1.5)), "gamma must lie"),
        (
            lambda: A2C("MlpPolicy", "Taxi-v4").learn(9, OptimalityGapCallback(LAKE)),
            "the world has 16 states and there are 500 observations",
        ),
        (
            lambda: A2C("MlpPolicy", "FrozenLake-v1").learn(9, OptimalityGapCallback(one_action())),
            r"the world has 1 actions and the model 4",
        ),
        (lambda: SAC("MlpPolicy", "Pendulum-v1").learn(9, OptimalityGapCallback(LAKE)), "needs Discrete actions"),
        (
            lambda: RecurrentPPO("MlpLstmPolicy", "FrozenLake-v1").learn(9, OptimalityGapCallback()),
            "RecurrentPPO acts by more than the observation",
        ),
        (
            lambda: MaskablePPO("MlpPolicy", "FrozenLake-v1").learn(9, OptimalityGapCallback(), use_masking=False),
            "MaskablePPO acts by more than the observation",
        ),
    ],
)
def test_what_does_not_fit_is_refused_when_the_training_starts(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def one_action():
    states = np.arange(16)[:, None]
    return TabularMDP.from_arrays(states, np.zeros((16, 1)), np.ones((16, 1), dtype=bool))


def test_a_policy_that_goes_on_for_ever_is_infinitely_far_without_discount_only_if_it_costs():
    class Stuck:
        """A policy that always goes up."""

        def action_probabilities(self, states):
            return np.eye(4)[np.zeros(len(states), dtype=int)]

    for env_id, gap in (("CliffWalking-v1", np.inf), ("sb3_ext/GridWorld-v0", np.inf)):
        env = gym.make(env_id, max_episode_steps=20)
        model = A2C("MlpPolicy", env)
        model.policy.action_probabilities = Stuck().action_probabilities
        callback = OptimalityGapCallback(gamma=1.0, eval_freq=5)
        model.learn(5, callback=callback)
        assert callback.gaps == [gap]
    lake = A2C("MlpPolicy", gym.make("FrozenLake-v1", is_slippery=False))
    lake.policy.action_probabilities = Stuck().action_probabilities
    callback = OptimalityGapCallback(gamma=1.0, eval_freq=5)
    lake.learn(5, callback=callback)
    assert callback.gaps == [1.0]  # it bumps into the wall for ever, for nothing


def test_walls_and_ends_do_not_matter():
    mdp = small_world().unwrapped.mdp  # state 2 is a wall, state 5 the goal
    callback = OptimalityGapCallback(eval_freq=8)
    A2C("MlpPolicy", small_world(), seed=0, gamma=1.0).learn(8, callback=callback)
    assert callback.optimal == pytest.approx(value_iteration(mdp, 1.0).values[0])
    assert np.isfinite(callback.gaps[0])


def test_a_second_training_goes_on():
    model, callback = A2C("MlpPolicy", "FrozenLake-v1", seed=0), OptimalityGapCallback(eval_freq=10)
    model.learn(20, callback=callback)
    model.learn(20, callback=callback, reset_num_timesteps=False)
    assert callback.timesteps == [10, 20, 30, 40]
