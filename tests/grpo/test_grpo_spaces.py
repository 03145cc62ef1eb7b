"""Spaces, policies and wrappers that GRPO takes, and what it says to those that it does not."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers_grpo import Ragged, parameters, play, ragged, small, vec
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_ext import GRPO
from sb3_ext.common import flat_gradient
from sb3_ext.grpo import ActorCnnPolicy, ActorPolicy, MultiInputActorPolicy
from sb3_ext.vec_env import make_vec_env

ACTION_SPACES = {
    "discrete": spaces.Discrete(3),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(2),
    "box": spaces.Box(-1.0, 2.0, (1,), np.float32),
    "matrix": spaces.Box(-0.1, 0.1, (2, 2), np.float32),
    "double": spaces.Box(-1.0, 1.0, (2,), np.float64),
}
OBSERVATION_SPACES = {
    "discrete": spaces.Discrete(4),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(3),
    "matrix": spaces.Box(-1.0, 1.0, (2, 3), np.float32),
    "bytes": spaces.Box(0, 255, (5,), np.uint8),
    "dict": spaces.Dict({"number": spaces.Discrete(3), "vector": spaces.Box(-1.0, 1.0, (2,), np.float32)}),
}


class Odd(gym.Env):
    """Three steps of what the observation space has to offer; action 1 pays."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space | None = None):
        self.observation_space, self.action_space = observation_space, action_space or spaces.Discrete(2)

    def _observe(self) -> Any:
        self.observation_space.seed(int(self.np_random.integers(1000)))
        return self.observation_space.sample()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        self.time += 1
        return self._observe(), float(action), self.time == 3, False, {}


def trains(model, n_steps=60):
    before = parameters(model)
    model.learn(n_steps)
    assert model.num_timesteps >= n_steps
    assert np.isfinite(parameters(model)).all()
    assert not np.array_equal(before, parameters(model))


@pytest.mark.parametrize("action_space", ACTION_SPACES.values(), ids=ACTION_SPACES)
@pytest.mark.parametrize("n_envs", [1, 2, 4])
def test_action_spaces(action_space, n_envs):
    """The environment itself asserts that each action lies in its space."""
    model = small(ragged(n_envs, action_space=action_space), group_size=4, n_groups=1, kl_coef=0.1)
    trains(model)
    for deterministic in (False, True):
        action, _ = model.predict(model.env.reset(), deterministic=deterministic)
        assert action.shape == (n_envs, *action_space.shape)


@pytest.mark.parametrize("action_space", ACTION_SPACES.values(), ids=ACTION_SPACES)
def test_log_probs_are_those_of_the_actions_drawn(action_space):
    """Before any update every ratio is 1, even where the environment got the action clipped to its bounds."""
    model = small(ragged(4, action_space=action_space))
    batch = play(model)
    distribution = model.policy.get_distribution(batch.observations)
    th.testing.assert_close(distribution.log_prob(batch.actions), batch.old_log_probs)
    assert batch.old_log_probs.shape == (10,)
    sums: dict[str, float] = {}
    model.backward(batch, batch.kept, sums)
    found = flat_gradient(model.policy)
    model.policy.optimizer.zero_grad()
    distribution = model.policy.get_distribution(batch.observations)
    (-(distribution.log_prob(batch.actions) * batch.advantages).sum() / 10).backward()
    th.testing.assert_close(found, flat_gradient(model.policy), rtol=1e-4, atol=1e-6)
    assert sums["approx_kl"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("space", OBSERVATION_SPACES.values(), ids=OBSERVATION_SPACES)
def test_observation_spaces(space):
    policy = "MultiInputPolicy" if isinstance(space, spaces.Dict) else "MlpPolicy"
    model = small(vec(*[lambda: Odd(space)] * 4), policy, kl_coef=0.1)
    trains(model)
    evaluate_policy(model, vec(lambda: Odd(space)), 2)


@pytest.mark.parametrize(
    ("policy", "observation", "n_envs"),
    [("CnnPolicy", "image", 4), ("MultiInputPolicy", "dict", 4), ("MultiInputPolicy", "dict", 1)],
)
def test_members_see_the_same_first_image(policy, observation, n_envs):
    model = small(ragged(n_envs, observation=observation), policy, policy_kwargs={}, n_groups=2)
    trains(model, 20)
    episodes = play(model).episodes
    views = episodes.observations if observation == "dict" else {"image": episodes.observations}
    first = {key: value[episodes.time == 0] for key, value in views.items()}
    order = np.argsort(episodes.episode[episodes.time == 0])
    for value in first.values():
        np.testing.assert_array_equal(value[order][[0, 2]], value[order][[1, 3]])
    assert first["image"].shape == (4, 1, 36, 36)
    action, _ = model.predict(Ragged([1], observation=observation).reset(seed=0)[0])
    assert int(action) in (0, 1)


def test_frame_stack_begins_with_each_group_anew():
    env = VecFrameStack(ragged(2, observation="image"), 4)
    model = small(env, "CnnPolicy", policy_kwargs={}, n_groups=3)
    trains(model, 20)
    episodes = play(model).episodes
    assert episodes.observations.shape[1:] == (4, 36, 36)
    first = episodes.observations[episodes.time == 0]
    assert (first[:, :3] == first[:, :1]).all()  # three times the same: nothing from before
    np.testing.assert_array_equal(first[0::2], first[1::2])


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "Acrobot-v1", "MountainCarContinuous-v0"])
def test_environments_of_gymnasium(env_id):
    model = small(make_vec_env(env_id, 2, seed=0, backend="dummy"), n_groups=1, max_episode_steps=1000)
    model.learn(1)
    assert np.isfinite(parameters(model)).all()
    assert len(model.ep_info_buffer) == 2


# ---- Policies --------------------------------------------------------------------


def test_policies_have_as_many_parameters_as_ppo_s_without_its_critic():
    for name, kind, observation in (
        ("MlpPolicy", ActorPolicy, "vector"),
        ("CnnPolicy", ActorCnnPolicy, "image"),
        ("MultiInputPolicy", MultiInputActorPolicy, "dict"),
    ):
        model = small(ragged(4, observation=observation), name, policy_kwargs={})
        ppo = PPO(name, ragged(1, observation=observation), device="cpu")
        assert type(model.policy) is kind
        its = {key: value.shape for key, value in ppo.policy.named_parameters() if "value" not in key}
        assert {key: value.shape for key, value in model.policy.named_parameters()} == its
        in_optimizer = sum(p.numel() for group in model.policy.optimizer.param_groups for p in group["params"])
        assert in_optimizer == sum(p.numel() for p in model.policy.parameters())


@pytest.mark.parametrize("share", [True, False])
def test_there_is_one_features_extractor(share):
    model = small(ragged(4, observation="image"), "CnnPolicy", policy_kwargs={"share_features_extractor": share})
    assert len([name for name, _ in model.policy.named_parameters() if "vf_features" in name]) == 0
    model.learn(20)


@pytest.mark.parametrize("net_arch", [[], [4, 4], {"pi": [4]}, {"pi": [4], "vf": [7, 7]}, {"vf": [4]}], ids=str)
def test_net_arch(net_arch):
    model = small(ragged(4), policy_kwargs={"net_arch": net_arch})
    sizes = [module.out_features for module in model.policy.modules() if isinstance(module, th.nn.Linear)]
    assert sizes == [*(net_arch if isinstance(net_arch, list) else net_arch.get("pi", [])), 2]
    trains(model)


def test_sb3_s_methods_of_a_policy_get_values_of_0():
    policy = small(ragged(4)).policy
    observations = th.randn(3, 2)
    actions, values, log_probs = policy.forward(observations)
    assert actions.shape == log_probs.shape == (3,)
    evaluated, again, entropy = policy.evaluate_actions(observations, actions)
    th.testing.assert_close(again, log_probs)
    assert entropy.shape == (3,)
    for value in (values, evaluated, policy.predict_values(observations)):
        assert value.tolist() == [[0.0]] * 3


class Own(ActorCriticPolicy):
    """A policy of the user's, with a critic."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{**kwargs, "activation_fn": th.nn.ReLU})


class Doubled(FlattenExtractor):
    def forward(self, observations: th.Tensor) -> th.Tensor:
        return 2 * super().forward(observations)


def test_a_policy_of_one_s_own(tmp_path):
    model = small(ragged(4), Own, kl_coef=0.1, policy_kwargs={"features_extractor_class": Doubled})
    critic = [p.clone() for name, p in model.policy.named_parameters() if "value" in name]
    assert critic
    trains(model)
    after = [p for name, p in model.policy.named_parameters() if "value" in name]
    th.testing.assert_close(after, critic, rtol=0, atol=0)  # there is no loss for it
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(parameters(GRPO.load(tmp_path / "model", ragged(4))), parameters(model))


def test_an_optimiser_of_one_s_own():
    kwargs = {"optimizer_class": th.optim.RMSprop, "optimizer_kwargs": {"eps": 1e-3}, "ortho_init": False}
    model = small(ragged(4), policy_kwargs=kwargs)
    trains(model)
    assert isinstance(model.policy.optimizer, th.optim.RMSprop)


def test_mlp_policy_stays_on_the_cpu():
    for policy in ("MlpPolicy", ActorPolicy):
        assert small(ragged(4), policy, device="auto").device.type == "cpu"


# ---- What is refused -------------------------------------------------------------


@pytest.mark.parametrize(
    "observation_space",
    [spaces.Discrete(2, start=1), spaces.Dict({"a": spaces.Discrete(2, start=-1)})],
    ids=["discrete", "in a dict"],
)
def test_observations_that_do_not_start_at_0(observation_space):
    policy = "MultiInputPolicy" if isinstance(observation_space, spaces.Dict) else "MlpPolicy"
    with pytest.raises(ValueError, match="GRPO counts from 0, but the observation_space is"):
        small(vec(*[lambda: Odd(observation_space)] * 4), policy)


@pytest.mark.parametrize(
    "space",
    [spaces.Discrete(2, start=1), spaces.MultiDiscrete([2, 2], start=[0, 1])],
    ids=["discrete", "multidiscrete"],
)
def test_actions_that_do_not_start_at_0(space):
    with pytest.raises(ValueError, match="GRPO counts from 0, but the action_space is"):
        small(ragged(4, action_space=space))


def test_policies_that_do_not_fit_the_observations():
    with pytest.raises(ValueError, match="MultiInputPolicy needs a Dict observation space"):
        small(ragged(4), "MultiInputPolicy")
    with pytest.raises(ValueError, match="MultiInputPolicy"):
        small(ragged(4, observation="dict"), "MlpPolicy")


def test_action_spaces_that_ppo_does_not_take():
    with pytest.raises(AssertionError, match="only supports"):
        small(vec(*[lambda: Odd(spaces.Discrete(2), spaces.Tuple([spaces.Discrete(2)]))] * 4))
