"""What GRPO refuses, and that it says which, where and what to do; what was learned before is not lost."""

import math

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers_grpo import Deaf, Endless, Ragged, Scripted, Sick, parameters, play, ragged, small, vec
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext import GRPO


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"group_size": 0}, "group_size must be a whole number, at least 2, got 0"),
        ({"group_size": -2}, "group_size must be a whole number, at least 2, got -2"),
        ({"group_size": True}, "group_size must be a whole number, at least 2, got True"),
        ({"group_size": 2.0}, "group_size must be a whole number, at least 2, got 2.0"),
        ({"group_size": None}, "group_size must be a whole number, at least 2, got None"),
        ({"group_size": 6}, "4 environments do not divide into groups of 6: make n_envs a multiple of group_size"),
        ({"n_groups": 1.5}, "n_groups must be a whole number, at least 1, got 1.5"),
        ({"n_groups": -1}, "n_groups must be a whole number, at least 1, got -1"),
        ({"n_epochs": 2.5}, "n_epochs must be a whole number, at least 1, got 2.5"),
        ({"n_minibatches": 0}, "n_minibatches must be a whole number, at least 1, got 0"),
        ({"n_minibatches": 9, "n_groups": 4}, "n_minibatches=9 is more than the 8 episodes"),
        ({"loss_type": None}, "loss_type must be one of"),
        ({"loss_type": ["grpo"]}, "loss_type must be one of"),
        ({"ratio": None}, "ratio must be one of .*'episode'.* got None"),
        ({"supervision": ""}, "supervision must be one of .*'process'.* got ''"),
        ({"scale_rewards": None}, "scale_rewards must be one of .*'none'.* got None"),
        ({"kl_in": None}, "kl_in must be one of .*'reward'.* got None"),
        ({"group_start": None}, "group_start must be one of .*'state'.* got None"),
        ({"transition_noise": "shared"}, "transition_noise must be one of .*'common'.* got 'shared'"),
        ({"clip_range_high": math.nan}, "clip_range_high must be 0 or more, got nan"),
        ({"kl_coef": math.nan}, "kl_coef must be 0 or more, got nan"),
        ({"ent_coef": -0.1}, "ent_coef must be 0 or more, got -0.1"),
        ({"reference_mixture": 1.1}, r"reference_mixture must lie in \(0, 1\], got 1.1"),
        ({"reference_mixture": math.nan}, r"reference_mixture must lie in \(0, 1\], got nan"),
        ({"reference_update_interval": 1.5}, "reference_update_interval must be a whole number, at least 1, got 1.5"),
        ({"gamma": -0.1}, r"gamma must lie in \[0, 1\], got -0.1"),
        ({"gamma": math.nan}, r"gamma must lie in \[0, 1\], got nan"),
        ({"max_grad_norm": math.nan}, "max_grad_norm must be above 0"),
        ({"max_episode_steps": 2.5}, "max_episode_steps must be a whole number, at least 1, got 2.5"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(wrong, message):
    with pytest.raises(ValueError, match=message):
        small(ragged(4), **wrong)


@pytest.mark.parametrize(
    "right",
    [
        {"group_size": np.int64(2)}, {"n_groups": 1}, {"n_minibatches": 4}, {"clip_range": 0.0},
        {"clip_range": math.inf}, {"loss_type": "cispo", "clip_range_high": 0.0}, {"gamma": 0.0}, {"gamma": 1.0},
        {"max_grad_norm": math.inf}, {"kl_coef": 0.1, "reference_mixture": 1, "reference_update_interval": 1},
        {"max_episode_steps": 4},
    ],
    ids=str,
)  # fmt: skip
def test_arguments_at_their_limits(right):
    assert np.isfinite(parameters(small(ragged(4), **right).learn(40))).all()


@pytest.mark.parametrize(("n_envs", "group_size"), [(3, 2), (2, 3), (6, 4), (4, 6), (1, 1)])
def test_environments_that_do_not_divide(n_envs, group_size):
    message = "at least 2" if group_size == 1 else f"{n_envs} environments do not divide into groups of {group_size}"
    with pytest.raises(ValueError, match=message):
        small(ragged(n_envs), group_size=group_size)


def negative(progress):
    return -0.1


def not_a_number(progress):
    return math.nan


@pytest.mark.parametrize("schedule", [negative, not_a_number])
@pytest.mark.parametrize("options", [{"kl_in": "loss"}, {"kl_in": "reward"}, None])
def test_schedules_of_coefficients_below_0(options, schedule):
    name = "ent_coef" if options is None else "kl_coef"
    model = small(ragged(4), **{name: schedule}, **(options or {}))
    before = parameters(model)
    with pytest.raises(ValueError, match=f"{name} must be 0 or more, but its schedule gives (-0.1|nan)"):
        model.learn(40)
    np.testing.assert_array_equal(before, parameters(model))


@pytest.mark.parametrize("name", ["clip_range", "clip_range_high"])
def test_schedules_below_0(name):
    model = small(ragged(4), **{name: negative})
    before = parameters(model)
    with pytest.raises(ValueError, match="clip ranges must be 0 or more"):
        model.learn(40)
    np.testing.assert_array_equal(before, parameters(model))


def test_a_negative_number_of_steps():
    with pytest.raises(ValueError, match="total_timesteps must be 0 or more, got -1"):
        small(ragged(4)).learn(-1)


# ---- Reference policies ----------------------------------------------------------


def other(action_space=None, net_arch=(8,), **kwargs):
    env = ragged(1, action_space=action_space)
    return PPO("MlpPolicy", env, policy_kwargs={"net_arch": list(net_arch), **kwargs}, device="cpu").policy


@pytest.mark.parametrize(
    ("action_space", "net_arch", "message"),
    [
        (None, [9], r"'action_net.weight': \(\(2, 8\), \(2, 9\)\)"),
        (spaces.Discrete(5), [8], r"'action_net.weight': \(\(2, 8\), \(5, 8\)\)"),
        (spaces.Box(-1.0, 1.0, (3,)), [8], r"'action_net.weight': \(\(2, 8\), \(3, 8\)\)"),
        (None, [], r"'mlp_extractor.policy_net.0.weight': \(\(8, 2\), None\)"),
    ],
    ids=["width", "actions", "continuous", "no layer"],
)
def test_references_of_another_shape(action_space, net_arch, message):
    with pytest.raises(ValueError, match=message):
        small(ragged(4), kl_coef=0.1, reference_policy=other(action_space, net_arch))


def test_a_continuous_policy_needs_a_continuous_reference():
    box = spaces.Box(-1.0, 1.0, (2,))
    small(ragged(4, action_space=box), kl_coef=0.1, reference_policy=other(box))
    with pytest.raises(ValueError, match=r"'log_std': \(\(2,\), None\)"):
        small(ragged(4, action_space=box), kl_coef=0.1, reference_policy=other())


@pytest.mark.parametrize("case", ["a layer more", "log_std"])
def test_references_with_more_of_an_actor(case):
    """Its parameters all fit, but what is made of them is another policy than the one given."""
    wrong = other(net_arch=[8, 8]) if case == "a layer more" else other(spaces.Box(-1.0, 1.0, (2,)))
    with pytest.raises(ValueError, match="another shape"):
        small(ragged(4), kl_coef=0.1, reference_policy=wrong)


@pytest.mark.parametrize("name", ["reference_policy", "reference_update_interval"])
def test_a_reference_without_a_penalty(name):
    with pytest.raises(ValueError, match=f"{name} does nothing without a penalty: give kl_coef above 0"):
        small(ragged(4), **{name: other() if name == "reference_policy" else 10})


# ---- Environments ----------------------------------------------------------------


@pytest.mark.parametrize("n_envs", [1, 2, 4])
def test_an_episode_without_end_names_environment_and_steps(n_envs):
    makes = [lambda: Ragged([2])] * (n_envs - 1)
    model = small(vec(*makes, Endless), group_size=max(2, n_envs), max_episode_steps=20)
    before = parameters(model)
    with pytest.raises(ValueError, match=rf"environment {n_envs - 1} has played 20 steps without an end.*TimeLimit"):
        model.learn(100)
    assert model.num_timesteps == 20 * n_envs
    np.testing.assert_array_equal(before, parameters(model))


@pytest.mark.parametrize("n_envs", [1, 2, 4])
def test_an_episode_may_last_as_long_as_the_limit_in_every_round(n_envs):
    """What is played after a member's end does not count, however long."""
    model = small(vec(*[lambda: Ragged([5])] * n_envs), group_size=4, n_groups=2, max_episode_steps=5).learn(100)
    assert model.rollout_buffer.episodes().lengths.tolist() == [5] * 8
    with pytest.raises(ValueError, match="environment 0 has played 4 steps"):
        small(vec(*[lambda: Ragged([5])] * n_envs), group_size=4, max_episode_steps=4).learn(100)


@pytest.mark.parametrize("spec", [None, gym.spec("CartPole-v1")])
def test_environments_without_a_time_limit_get_ten_thousand_steps(spec):
    """A spec limits nothing: the wrapper does that ``gym.make`` puts around the environment."""

    class Bare(gym.Env):
        observation_space, action_space = spaces.Box(-1.0, 1.0, (1,)), spaces.Discrete(2)

    Bare.spec = spec
    assert small(vec(Bare, Bare)).episode_limit == 10_000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("where", "name"), [("reward", "reward"), ("observation", "observation")])
def test_numbers_that_are_not_finite_name_their_environment(where, name, value):
    model = small(vec(lambda: Sick("none"), lambda: Sick(where, value)))
    before = parameters(model)
    with pytest.raises(ValueError, match=rf"environment 1 gave .*{name}"):
        model.learn(100)
    np.testing.assert_array_equal(before, parameters(model))


def test_rewards_near_the_end_of_float32():
    """Huge, but finite: the group's scale brings them down; without it the update fails and changes nothing."""
    makes = [lambda sign=sign: Scripted([[sign * 3e38] * 3]) for sign in (1, -1)]
    model = small(vec(*makes), n_groups=1)
    np.testing.assert_allclose(play(model).advantages.abs(), 0.5**0.5, rtol=1e-5)
    model = small(vec(*makes), n_groups=1, scale_rewards="none")
    before = parameters(model)
    with pytest.raises(RuntimeError, match="non-finite"):
        model.learn(1)
    np.testing.assert_array_equal(before, parameters(model))


@pytest.mark.parametrize("n_envs", [1, 2, 4, 8])
def test_environments_that_ignore_their_seeds(n_envs):
    makes = [lambda: Deaf([3])] * n_envs
    model = small(vec(*makes), group_size=4)
    before = parameters(model)
    with pytest.raises(ValueError, match=r"group 0: environment \d starts with another observation.*'unmatched'"):
        model.learn(100)
    np.testing.assert_array_equal(before, parameters(model))
    assert small(vec(*makes), group_size=4, group_start="unmatched").learn(100)._n_updates > 0
    with pytest.raises(ValueError, match="does not follow its seed"):
        small(VecNormalize(vec(*makes)), group_size=4).learn(100)


def test_states_that_cannot_be_cloned():
    with pytest.raises(ValueError, match=r"group_start='state' needs environments with clone_state\(\)"):
        small(ragged(4), group_start="state").learn(10)


def test_one_can_go_on_after_an_error():
    broken = Endless(broken=3)
    model = small(vec(lambda: broken, Endless), max_episode_steps=10)
    with pytest.raises(ValueError, match="environment 0 gave the reward nan"):
        model.learn(100)
    model.set_env(ragged(2))
    assert model.learn(50)._n_updates > 0
    assert model.env.reset().shape == (2, 2)  # nothing of the groups is left in the environment's own reset
    assert "reset" not in vars(model.env)


def test_a_policy_that_breaks_fails_before_its_parameters_do():
    model = small(ragged(4), kl_coef=lambda progress: math.inf)
    before = parameters(model)
    with pytest.raises(RuntimeError, match="non-finite"):
        model.learn(40)
    np.testing.assert_array_equal(before, parameters(model))
    assert th.isfinite(th.as_tensor(before)).all()


def test_environment_is_needed_to_learn():
    model = small(ragged(4))
    model.env = None
    with pytest.raises(AssertionError):
        model.learn(10)
    assert isinstance(model, GRPO)
