"""The KL penalty: whose actor the reference is, and what a penalty in the reward does to the advantages."""

import numpy as np
import pytest
import torch as th
from helpers_grpo import Ragged, parameters, play, ragged, small, vec, with_reference
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticCnnPolicy

from sb3_ext import GRPO
from sb3_ext.common import flat_gradient


class Equal(Ragged):
    """Pays the same for everything."""

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, 1.0, *rest


def equal(n_envs=4):
    return vec(*[lambda: Equal([20])] * n_envs)


# ---- The reference


@pytest.mark.parametrize("policy", ["CnnPolicy", ActorCriticCnnPolicy])
@pytest.mark.parametrize("shared", [False, True])
def test_a_reference_is_the_given_actor_whatever_its_critic_sees(policy, shared):
    env = ragged(4, observation="image")
    kwargs = {"share_features_extractor": shared}
    ppo = PPO("CnnPolicy", env, n_steps=8, batch_size=8, policy_kwargs=kwargs, seed=3, device="cpu").learn(64)
    model = small(env, policy, policy_kwargs={}, kl_coef=0.1, reference_policy=ppo.policy)
    images = th.randint(0, 256, (9, 1, 36, 36), dtype=th.uint8)
    expected, found = (p.get_distribution(images).distribution.probs for p in (ppo.policy, model.reference))
    th.testing.assert_close(found, expected)


def test_the_reference_is_the_policy_as_learning_begins():
    pretrained = small(ragged(4)).learn(500)
    model = small(ragged(4), kl_coef=0.1, seed=1)
    model.policy.load_state_dict(pretrained.policy.state_dict())
    model.learn(1)
    found = np.concatenate([parameter.numpy().ravel() for parameter in model.reference.parameters()])
    np.testing.assert_array_equal(found, parameters(pretrained))
    assert not np.array_equal(found, parameters(model))
    model.learn(100)  # counted from 0 again
    again = np.concatenate([parameter.numpy().ravel() for parameter in model.reference.parameters()])
    np.testing.assert_array_equal(again, found)


def test_a_model_saved_before_it_learned_has_no_reference_yet(tmp_path):
    small(ragged(4), kl_coef=0.1).save(tmp_path / "model")
    loaded = GRPO.load(tmp_path / "model", ragged(4))
    with th.no_grad():
        loaded.policy.action_net.bias += 1.0
    expected = parameters(loaded)
    with_reference(loaded)
    found = np.concatenate([parameter.numpy().ravel() for parameter in loaded.reference.parameters()])
    np.testing.assert_array_equal(found, expected)


# ---- In the reward


def away_from_its_reference(env, **options):
    """A model whose policy is not its reference, and a batch that it played."""
    model = small(env, group_size=4, n_groups=1, kl_in="reward", gamma=1.0, **options)
    with th.no_grad():
        with_reference(model).policy.action_net.bias += th.tensor([1.0, 0.0])
    return model, play(model)


def relative_penalties(batch, supervision, leave_one_out=False):
    """Of each step, what its episode's log-ratios differ from the group's mean: all, or those from that time on."""
    log_ratios = (batch.old_log_probs - batch.reference_log_probs).numpy()
    found = np.zeros(len(log_ratios))
    for own in batch.steps:
        for t, step in enumerate(own):
            from_then = t if supervision == "process" else 0
            group = [log_ratios[steps[from_then:]].sum() for steps in batch.steps if len(steps) > from_then]
            if len(group) > 1:
                factor = len(group) / (len(group) - 1) if leave_one_out else 1.0
                found[step] = factor * (log_ratios[own[from_then:]].sum() - np.mean(group))
    return found


@pytest.mark.parametrize("supervision", ["outcome", "process"])
@pytest.mark.parametrize("scale_rewards", ["group", "batch", "none"])
def test_the_penalty_is_in_proportion_to_its_weight_where_returns_are_equal(scale_rewards, supervision):
    for kl_coef in (1e-4, 0.1, 10.0):
        options = {"scale_rewards": scale_rewards, "supervision": supervision}
        model, batch = away_from_its_reference(equal(), kl_coef=kl_coef, **options)
        expected = -kl_coef * relative_penalties(batch, supervision)
        np.testing.assert_allclose(batch.advantages, expected, rtol=1e-4, atol=1e-5 * kl_coef)
        assert np.abs(expected).max() > 0.1 * kl_coef
        assert model.logger.name_to_value["rollout/zero_variance_fraction"] == 1.0


@pytest.mark.parametrize("supervision", ["outcome", "process"])
@pytest.mark.parametrize("options", [{}, {"leave_one_out": True}, {"scale_rewards": "batch"}], ids=str)
def test_the_penalty_comes_off_scaled_advantages(options, supervision):
    batches = [away_from_its_reference(ragged(4), kl_coef=kl_coef, supervision=supervision, **options)[1]
               for kl_coef in (1e-12, 0.5)]  # fmt: skip
    found = batches[0].advantages.numpy() - batches[1].advantages.numpy()
    penalties = relative_penalties(batches[1], supervision, options.get("leave_one_out", False))
    np.testing.assert_allclose(found, 0.5 * penalties, atol=1e-5)


def test_the_penalty_comes_off_advantages_of_one_s_own():
    seen = []
    _, batch = away_from_its_reference(equal(), kl_coef=0.5, advantage=lambda returns: seen.append(returns) or returns)
    np.testing.assert_array_equal(seen, np.full((1, 1, 4), 20.0))
    expected = 20.0 - 0.5 * relative_penalties(batch, "outcome")
    np.testing.assert_allclose(batch.advantages, expected, rtol=1e-5)


def test_a_penalty_does_not_keep_groups_that_say_nothing():
    model, batch = away_from_its_reference(equal(), kl_coef=0.1, dynamic_sampling=True)
    assert not len(batch.kept)
    assert model.logger.name_to_value["rollout/zero_variance_fraction"] == 1.0


def test_the_gradient_grows_with_the_weight():
    norms = []
    for kl_coef in (0.001, 0.01, 0.1):
        model, batch = away_from_its_reference(equal(), kl_coef=kl_coef)
        model.backward(batch, batch.kept, {})
        norms.append(flat_gradient(model.policy).norm().item() / kl_coef)
    np.testing.assert_allclose(norms, norms[0], rtol=1e-3)
