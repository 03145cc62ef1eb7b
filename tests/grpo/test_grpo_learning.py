"""What GRPO learns from: the right steps, in the right groups, with the gradient that a slow loop finds."""

import itertools
import statistics

import numpy as np
import pytest
import torch as th
from helpers_grpo import Ragged, parameters, play, ragged, small, vec
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext import episodic
from sb3_ext.common import flat_gradient


def slow_loss(model, batch, minibatch):
    """The loss of a minibatch, episode by episode and step by step."""
    gamma, low, high = model.gamma, 0.2, 5.0 if model.loss_type == "cispo" else 0.2
    episodes = batch.episodes
    steps = [[t for t in range(len(episodes.rewards)) if episodes.episode[t] == i] for i in range(episodes.n_episodes)]
    returns = [sum(gamma**k * float(episodes.rewards[t]) for k, t in enumerate(own)) for own in steps]
    groups = [returns[g : g + model.group_size] for g in range(0, len(returns), model.group_size)]
    total_steps = sum(map(len, steps))
    loss = 0
    for i in minibatch:
        group = groups[i // model.group_size]
        if model.supervision == "outcome":
            rivals = [[(j, 0) for j in range(len(group))]] * len(steps[i])
        else:
            first = i // model.group_size * model.group_size
            rivals = [[(j, k) for j in range(len(group)) if len(steps[first + j]) > k] for k in range(len(steps[i]))]
        log_ratios = []
        observations = th.as_tensor(episodes.observations)
        for k, t in enumerate(steps[i]):
            distribution = model.policy.get_distribution(observations[t : t + 1])
            log_prob = distribution.log_prob(batch.actions[t : t + 1])[0]
            log_ratios.append((k, t, log_prob, log_prob - batch.old_log_probs[t]))
        mean_log_ratio = sum(r for *_, r in log_ratios) / len(log_ratios)
        for k, _, log_prob, log_ratio in log_ratios:
            compared = [to_go(model, episodes, steps, i, j, when) for j, when in rivals[k]]
            own = to_go(model, episodes, steps, i, i % model.group_size, 0 if model.supervision == "outcome" else k)
            deviation = statistics.stdev(compared) if len(compared) > 1 else 0.0
            advantage = 0.0 if deviation == 0 else own - statistics.mean(compared)
            if model.leave_one_out and len(compared) > 1:
                advantage *= len(compared) / (len(compared) - 1)
            if model.scale_rewards == "group":
                advantage /= deviation + 1e-4
            ratio = th.exp(mean_log_ratio if model.ratio == "episode" else log_ratio)
            if model.loss_type == "cispo":
                objective = min(ratio.item(), high) * advantage * log_prob
            else:
                objective = th.min(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)
            weight = {
                "grpo": 1 / (len(minibatch) * len(steps[i])),
                "bnpo": 1 / sum(len(steps[j]) for j in minibatch),
                "dapo": model.n_minibatches / total_steps,
                "cispo": model.n_minibatches / total_steps,
                "dr_grpo": 1 / (len(minibatch) * model.max_episode_steps),
            }[model.loss_type]
            loss = loss - weight * objective
    return loss


def to_go(model, episodes, steps, i, member, when):
    """The discounted return from time ``when`` on of a member of the group of episode i."""
    own = steps[i // model.group_size * model.group_size + member][when:]
    return sum(model.gamma**k * float(episodes.rewards[t]) for k, t in enumerate(own))


@pytest.mark.parametrize(
    "options",
    [
        {"loss_type": loss_type, "ratio": ratio, "supervision": supervision}
        for loss_type, ratio, supervision in itertools.product(
            ("grpo", "bnpo", "dapo", "dr_grpo", "cispo"), ("step", "episode"), ("outcome", "process")
        )
    ]
    + [{"scale_rewards": "none"}, {"scale_rewards": "none", "leave_one_out": True}, {"leave_one_out": True}],
    ids=str,
)
@pytest.mark.parametrize("chunk", [8192, 3])
def test_the_gradient_is_that_of_a_slow_loop(options, chunk, monkeypatch):
    monkeypatch.setattr(episodic, "CHUNK_SIZE", chunk)
    model = small(ragged(4), n_groups=4, n_minibatches=2, gamma=0.9, max_episode_steps=50, **options)
    batch = play(model)
    with th.no_grad():  # another policy than the one that played, so that ratios differ from 1 and some are clipped
        for parameter in model.policy.parameters():
            parameter += 0.3 * th.randn_like(parameter)
    minibatch = np.array([0, 3, 4, 6])
    model.policy.optimizer.zero_grad()
    slow_loss(model, batch, minibatch).backward()
    expected = flat_gradient(model.policy)
    model.backward(batch, minibatch, {})
    th.testing.assert_close(flat_gradient(model.policy), expected, rtol=1e-4, atol=1e-6)
    assert expected.abs().max() > 1e-5


def test_steps_after_a_member_s_end_never_reach_the_loss():
    model = small(ragged(4))
    batch = play(model)
    assert batch.episodes.lengths.tolist() == [1, 2, 3, 4]
    assert model.num_timesteps == 16
    assert model.logger.name_to_value["rollout/masked_fraction"] == 6 / 16
    assert [len(own) for own in batch.steps] == [1, 2, 3, 4]
    assert sorted(np.concatenate(batch.steps).tolist()) == list(range(10))


@pytest.mark.parametrize("n_envs", [1, 2, 4, 8])
def test_members_of_a_group_start_alike_however_many_play_at_a_time(n_envs):
    model = small(ragged(n_envs), group_size=4, n_groups=2)
    episodes = play(model).episodes
    starts = episodes.observations[episodes.time == 0, 0]
    starts = starts[np.argsort(episodes.episode[episodes.time == 0])]
    np.testing.assert_array_equal(starts[:4], starts[0])
    np.testing.assert_array_equal(starts[4:8], starts[4])
    assert starts[0] != starts[4]
    assert episodes.n_episodes == 8


def test_every_rollout_has_other_starts_and_unmatched_groups_have_different_ones():
    model = small(ragged(4))
    first, second = (play(model).episodes.observations[0, 0] for _ in range(2))
    assert first != second
    episodes = play(small(ragged(4), group_start="unmatched")).episodes
    assert len(set(episodes.observations[episodes.time == 0, 0].tolist())) == 4


def equal_returns(n_envs=4):
    """Groups whose members get the same, whatever they do: no reward for actions."""

    class Indifferent(Ragged):
        def step(self, action):
            observation, _, *rest = super().step(action)
            return observation, 0.1, *rest

    return vec(*[lambda: Indifferent([3])] * n_envs)


@pytest.mark.parametrize("dynamic_sampling", [False, True])
def test_groups_that_say_nothing_teach_nothing(dynamic_sampling):
    model = small(equal_returns(), dynamic_sampling=dynamic_sampling)
    before = parameters(model)
    batch = play(model)
    np.testing.assert_array_equal(batch.advantages, 0.0)
    assert model.logger.name_to_value["rollout/zero_variance_fraction"] == 1.0
    assert len(batch.kept) == (0 if dynamic_sampling else 4)
    model.train()
    np.testing.assert_array_equal(before, parameters(model))


def test_dynamic_sampling_drops_only_the_groups_that_say_nothing():
    makes = [lambda: Ragged([3]), lambda: Ragged([3]), lambda: Ragged([1]), lambda: Ragged([9])]
    model = small(vec(*makes), dynamic_sampling=True)
    for _ in range(20):
        batch = play(model)
        actions = [batch.actions[own].tolist() for own in batch.steps]
        assert (0 in batch.kept) == (1 in batch.kept) == (actions[0] != actions[1])
        assert {2, 3} <= set(batch.kept)


# ---- The reference policy --------------------------------------------------------


def test_a_frozen_reference_stays_and_a_moved_one_is_the_mixture():
    frozen = small(ragged(4), kl_coef=0.1, n_epochs=3)
    start = [parameter.clone() for parameter in frozen.policy.parameters()]
    frozen.learn(100)
    th.testing.assert_close(list(frozen.reference.parameters()), start, rtol=0, atol=0)
    assert frozen.logger.name_to_value["train/kl"] > 0

    moved = small(ragged(4), kl_coef=0.1, n_epochs=2, reference_update_interval=2, reference_mixture=0.25)
    before = [parameter.clone() for parameter in moved.reference.parameters()]
    moved.learn(1)
    assert moved._n_updates == 2
    expected = [0.25 * new + 0.75 * old for new, old in zip(moved.policy.parameters(), before, strict=True)]
    th.testing.assert_close(list(moved.reference.parameters()), expected)


@pytest.mark.parametrize("kl_in", ["loss", "reward"])
def test_the_penalty_keeps_the_policy_near_the_reference(kl_in):
    drifts = []
    for kl_coef in (1e-9, 10.0):
        model = small(ragged(8), group_size=8, kl_coef=kl_coef, kl_in=kl_in, learning_rate=1e-2)
        model.learn(3000)
        drifts.append(model.logger.name_to_value["train/kl"])
    assert drifts[1] < 0.3 * drifts[0]


def test_the_reward_s_penalty_is_the_log_ratio_to_the_reference():
    other = PPO("MlpPolicy", ragged(1), policy_kwargs={"net_arch": [8]}, seed=9, device="cpu")
    with th.no_grad():
        other.policy.action_net.bias += th.tensor([1.0, -1.0])
    options = {"kl_in": "reward", "reference_policy": other.policy, "scale_rewards": "none", "gamma": 1}
    first, second = (play(small(ragged(4), kl_coef=kl_coef, **options)) for kl_coef in (1e-12, 0.5))
    np.testing.assert_array_equal(first.episodes.rewards, second.episodes.rewards)
    log_ratios = (second.old_log_probs - second.reference_log_probs).numpy()
    sums = np.array([log_ratios[own].sum() for own in second.steps])
    relative = sums - np.repeat(sums.reshape(2, 2).mean(axis=1), 2)
    expected = first.advantages.numpy() - 0.5 * relative[second.episodes.episode]
    np.testing.assert_allclose(second.advantages, expected, atol=1e-5)
    assert np.abs(log_ratios).max() > 0.1


def test_a_reference_of_another_shape():
    other = PPO("MlpPolicy", ragged(1), policy_kwargs={"net_arch": [9]}, device="cpu")
    with pytest.raises(ValueError, match=r"another shape than the policy.*'action_net.weight': \(\(2, 8\), \(2, 9\)\)"):
        small(ragged(4), kl_coef=0.1, reference_policy=other.policy)


# ---- Learning --------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"supervision": "process"}, {"loss_type": "cispo"}, {"kl_coef": 0.01}], ids=str
)
def test_it_learns(options):
    model = small(vec(*[lambda: Ragged([3])] * 8), group_size=4, n_groups=2, learning_rate=1e-2, **options)
    model.learn(8000)
    assert play(model).actions.float().mean() > 0.9  # action 1 pays 1 a step


@pytest.mark.slow
def test_cartpole_by_default():
    from stable_baselines3.common.evaluation import evaluate_policy

    from sb3_ext import GRPO
    from sb3_ext.vec_env import make_vec_env

    means = []
    for seed in (0, 1):
        env = make_vec_env("CartPole-v1", 16, seed=seed)
        means.append(evaluate_policy(GRPO("MlpPolicy", env, seed=seed).learn(200_000), env, 20)[0])
    assert min(means) >= 400


def test_callbacks_see_every_step_and_can_stop():
    class Stop(BaseCallback):
        def _on_step(self):
            return self.n_calls < 6

    model = small(ragged(4)).learn(1000, callback=Stop())
    assert model.num_timesteps == 24


def test_matched_starts_make_the_gradient_scatter_less():
    """Where a return is mostly luck of the start, which members of a matched group share."""
    scatter = {}
    for start in ("seed", "unmatched"):
        makes = [lambda: Ragged([4])] * 8
        model = small(vec(*makes), group_size=4, group_start=start, scale_rewards="none", leave_one_out=True)
        gradients = []
        for _ in range(60):
            batch = play(model)
            model.backward(batch, batch.kept, {})
            gradients.append(flat_gradient(model.policy))
        scatter[start] = th.stack(gradients).var(dim=0).sum().item()
    assert scatter["seed"] < 0.5 * scatter["unmatched"]
