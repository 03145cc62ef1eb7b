"""What GRPO learns from: the right steps, in the right groups, with the gradient that a slow loop finds."""

import itertools
import statistics
from copy import deepcopy

import numpy as np
import pytest
import torch as th
from helpers_grpo import Match, Ragged, Scripted, parameters, play, ragged, script, scripted, small, vec, with_reference
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext import GRPO, episodic
from sb3_ext.common import flat_gradient, group_relative_advantages


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

    options = {"reference_update_interval": 2, "reference_mixture": 0.25}
    moved = with_reference(small(ragged(4), kl_coef=0.1, n_epochs=2, **options))
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


# ---- A whole update of scripted episodes -------------------------------------------


def scripted_advantages(model, lengths):
    """The advantage of each step of the episodes script(0), script(1), ... of these lengths, from the paper alone."""
    size, gamma, process = model.group_size, model.gamma, model.supervision == "process"
    rewards = [script(column) for column in range(len(lengths))]
    assert [len(own) for own in rewards] == list(lengths)
    to_go_of = [[sum(gamma ** (k - t) * own[k] for k in range(t, len(own))) for t in range(len(own))]
                for own in rewards]  # fmt: skip
    compared_in_all = [g for own in to_go_of for g in (own if process else own[:1])]
    advantages = []
    for i, own in enumerate(to_go_of):
        group = to_go_of[i // size * size : i // size * size + size]
        advantages.append([])
        for t in range(len(own)):
            when = t if process else 0
            compared = [other[when] for other in group if len(other) > when]
            alone = len(compared) == 1
            advantage = own[when] - statistics.mean(compared)
            if model.leave_one_out and not alone:
                advantage = own[when] - (sum(compared) - own[when]) / (len(compared) - 1)
            if model.scale_rewards == "group" and not alone:
                advantage /= statistics.stdev(compared) + 1e-4
            if model.scale_rewards == "batch":
                advantage /= statistics.stdev(compared_in_all) + 1e-4
            advantages[-1].append(advantage)
    return advantages


def slow_training(model, batch, low, high):
    """What train() does to policy and reference, step by step; plain gradient descent. Returns both."""
    policy, reference, shuffling = deepcopy(model.policy), deepcopy(model.reference), deepcopy(model.shuffling)
    lengths = batch.episodes.lengths
    advantages = scripted_advantages(model, lengths)
    observations = th.as_tensor(batch.episodes.observations)

    def log_prob(of, t):
        return of.get_distribution(observations[t : t + 1]).log_prob(batch.actions[t : t + 1])[0]

    with th.no_grad():
        old = [log_prob(policy, t).item() for t in range(len(observations))]
        fixed = [log_prob(reference, t).item() for t in range(len(observations))]
    n_updates = 0
    for _ in range(model.n_epochs):
        for minibatch in np.array_split(shuffling.permutation(len(lengths)), model.n_minibatches):
            loss, n_steps = 0, sum(lengths[i] for i in minibatch)
            for i in minibatch:
                own = [t for t in range(len(observations)) if batch.episodes.episode[t] == i]
                log_probs = [log_prob(policy, t) for t in own]
                log_ratios = [log_probs[k] - old[t] for k, t in enumerate(own)]
                weight = {
                    "grpo": 1 / (len(minibatch) * len(own)),
                    "bnpo": 1 / n_steps,
                    "dapo": model.n_minibatches / sum(lengths),
                    "cispo": model.n_minibatches / sum(lengths),
                    "dr_grpo": 1 / (len(minibatch) * model.max_episode_steps),
                }[model.loss_type]
                for k, t in enumerate(own):
                    ratio = (sum(log_ratios) / len(own) if model.ratio == "episode" else log_ratios[k]).exp()
                    advantage = advantages[i][k]
                    cut = ratio > 1 + high if advantage > 0 else ratio < 1 - low
                    objective = 0.0 if cut else ratio * advantage  # up to a constant
                    if model.loss_type == "cispo":
                        objective = min(ratio.item(), high) * advantage * log_probs[k]
                    log_quotient = fixed[t] - log_probs[k]
                    kl = log_quotient.exp() - log_quotient - 1
                    entropy = policy.get_distribution(observations[t : t + 1]).entropy()[0]
                    loss = loss - weight * (objective - model.kl_coef * kl) - model.ent_coef * entropy / n_steps
            policy.zero_grad()
            loss.backward()
            gradient = flat_gradient(policy)
            scale = min(1.0, model.max_grad_norm / gradient.norm().item())
            n_updates += 1
            with th.no_grad():
                for parameter in policy.parameters():
                    parameter -= model.lr_schedule(1) * scale * parameter.grad
                if n_updates % model.reference_update_interval == 0:
                    for mine, its in zip(policy.parameters(), reference.parameters(), strict=True):
                        its.copy_(model.reference_mixture * mine + (1 - model.reference_mixture) * its)
    return policy, reference


UPDATES = [
    *[{"loss_type": loss_type} for loss_type in ("grpo", "bnpo", "dapo", "dr_grpo", "cispo")],
    *[
        {"scale_rewards": scale, "leave_one_out": leave, "supervision": supervision}
        for scale, leave, supervision in itertools.product(
            ("group", "batch", "none"), (False, True), ("outcome", "process")
        )
    ],
    {"ratio": "episode", "loss_type": "grpo"},
    {"clip_range": 0.01, "clip_range_high": 0.3},
    {"clip_range": 0.3, "clip_range_high": 0.01, "ratio": "episode"},
    {"loss_type": "cispo", "clip_range_high": 0.9},
    {"max_grad_norm": 0.05},
    {"n_minibatches": 3, "loss_type": "grpo"},
    {"n_minibatches": 8, "loss_type": "dapo"},
]


@pytest.mark.parametrize("options", UPDATES, ids=str)
@pytest.mark.parametrize(("n_envs", "chunk"), [(8, 8192), (4, 5), (1, 1)])
def test_an_update_is_that_of_a_slow_loop_over_known_rewards(options, n_envs, chunk, monkeypatch):
    """Eight scripted episodes in two groups, poisoned beside; two epochs, KL, entropy, and a reference that moves."""
    monkeypatch.setattr(episodic, "CHUNK_SIZE", chunk)
    scale = 3e-3 if options.get("scale_rewards") == "none" else 0.1
    model = small(
        scripted(n_envs, 8),
        **{
            "group_size": 4, "n_epochs": 2, "n_minibatches": 2, "gamma": 0.8, "learning_rate": scale, "ent_coef": 0.1,
            "max_grad_norm": 1e3, "max_episode_steps": 20, "kl_coef": 0.3, "reference_update_interval": 3,
            "reference_mixture": 0.3, "policy_kwargs": {"net_arch": [8], "optimizer_class": th.optim.SGD}, **options,
        },
    )  # fmt: skip
    with th.no_grad():  # a reference that is not the policy
        for parameter in with_reference(model).reference.parameters():
            parameter += 0.3 * th.randn_like(parameter)
    batch = play(model)
    low = model.clip_range
    default = 5.0 if model.loss_type == "cispo" else low
    policy, reference = slow_training(model, batch, low, options.get("clip_range_high", default))
    before = parameters(model)
    model.train()
    for expected, found in ((policy, model.policy), (reference, model.reference)):
        for mine, its in zip(expected.parameters(), found.parameters(), strict=True):
            np.testing.assert_allclose(its.detach().numpy(), mine.detach().numpy(), rtol=1e-4, atol=3e-5)
    assert np.abs(parameters(model) - before).max() > 1e-3


@pytest.mark.parametrize("n_envs", [1, 2, 4, 8, 16])
def test_groups_are_the_right_episodes_however_many_play_at_a_time(n_envs):
    model = small(scripted(n_envs, 16), group_size=4, n_groups=4, gamma=1.0, scale_rewards="none")
    batch = play(model)
    for column in range(16):
        assert batch.episodes.rewards[batch.steps[column]].tolist() == script(column)
        group = [sum(script(c)) for c in range(column // 4 * 4, column // 4 * 4 + 4)]
        expected = sum(script(column)) - statistics.mean(group)
        np.testing.assert_allclose(batch.advantages[batch.steps[column]], expected, rtol=1e-5)


@pytest.mark.parametrize(("n_envs", "size", "n_groups", "expected"), [(6, 2, 1, 6), (4, 2, 3, 8), (1, 5, 3, 15)])
def test_groups_an_update_at_least_and_as_many_as_fill_the_environments(n_envs, size, n_groups, expected):
    model = small(ragged(n_envs), group_size=size, n_groups=n_groups)
    assert play(model).episodes.n_episodes == expected
    assert model.logger.name_to_value["rollout/episodes"] == expected


def test_a_truncated_return_is_the_sum_of_the_rewards_it_got():
    found = [play(small(scripted(4, 4, truncates=truncates))) for truncates in (False, True)]
    assert [batch.episodes.terminated.all() for batch in found] == [True, False]
    np.testing.assert_array_equal(found[0].advantages, found[1].advantages)


def test_monitor_sees_no_poison():
    model = small(scripted(4, 4))
    play(model)
    assert sorted(info["r"] for info in model.ep_info_buffer) == sorted(sum(script(column)) for column in range(4))


@pytest.mark.parametrize("n_minibatches", [1, 3, 8])
def test_an_epoch_takes_every_episode_once(n_minibatches, monkeypatch):
    model = small(ragged(8), n_groups=4, n_epochs=3, n_minibatches=n_minibatches)
    play(model)
    taken, backward = [], model.backward
    monkeypatch.setattr(model, "backward", lambda batch, part, sums: (taken.append(part), backward(batch, part, sums)))
    model.train()
    assert len(taken) == 3 * n_minibatches == model._n_updates
    orders = [np.concatenate(taken[k : k + n_minibatches]).tolist() for k in range(0, len(taken), n_minibatches)]
    assert [sorted(order) for order in orders] == [list(range(8))] * 3
    assert orders[0] != orders[1]


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo", "cispo"])
def test_minibatches_add_up_to_the_whole(loss_type):
    """Their mean gradient is that of one big minibatch; with bnpo it is not, whose weights differ by minibatch."""
    gradients = []
    for n_minibatches, parts in ((1, [range(8)]), (2, [[0, 5, 3, 6], [1, 2, 4, 7]])):
        model = small(scripted(4, 8), n_groups=4, n_minibatches=n_minibatches, loss_type=loss_type, ent_coef=0.0)
        batch, total = play(model), 0
        for part in parts:
            model.backward(batch, np.array(part), {})
            total = total + flat_gradient(model.policy) / len(parts)
        gradients.append(total)
    th.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_learning_is_the_same_in_chunks_of_any_size(monkeypatch):
    found = []
    for size in (8192, 7, 1):
        monkeypatch.setattr(episodic, "CHUNK_SIZE", size)
        model = small(ragged(4), kl_coef=0.1, ent_coef=0.1, n_minibatches=2).learn(60)
        found.append((parameters(model), model.logger.name_to_value))
    for other, logged in found[1:]:
        np.testing.assert_allclose(other, found[0][0], rtol=1e-3, atol=1e-4)
        for name in ("policy_loss", "entropy_loss", "approx_kl", "kl", "clip_fraction", "grad_norm"):
            np.testing.assert_allclose(logged[f"train/{name}"], found[0][1][f"train/{name}"], rtol=1e-3, atol=1e-5)


# ---- Dynamic sampling ------------------------------------------------------------


def some_equal(n_equal, **kwargs):
    """Four groups of two, of which the first ``n_equal`` say nothing."""
    scripts = [[[1.0, 2.0]] if i < 2 * n_equal else [script(i)] for i in range(8)]
    makes = [lambda i=i: Scripted(scripts[i]) for i in range(8)]
    return small(vec(*makes), n_groups=4, **kwargs)


@pytest.mark.parametrize("supervision", ["outcome", "process"])
@pytest.mark.parametrize("n_equal", [0, 1, 3, 4])
@pytest.mark.parametrize("n_minibatches", [1, 8])
def test_dropped_groups_leave_the_others_and_no_trace(n_equal, n_minibatches, supervision):
    model = some_equal(n_equal, dynamic_sampling=True, n_minibatches=n_minibatches, supervision=supervision)
    before = parameters(model)
    batch = play(model)
    assert batch.kept.tolist() == list(range(2 * n_equal, 8))
    assert model.logger.name_to_value["rollout/zero_variance_fraction"] == n_equal / 4
    model.train()
    assert model._n_updates == model.n_epochs * min(n_minibatches, 8 - 2 * n_equal)
    assert np.array_equal(before, parameters(model)) == (n_equal == 4)
    assert np.isfinite(parameters(model)).all()


@pytest.mark.parametrize("loss_type", ["dapo", "grpo"])
def test_dropped_groups_do_not_count_in_the_mean(loss_type):
    gradients = {}
    for dynamic in (False, True):
        model = some_equal(2, dynamic_sampling=dynamic, loss_type=loss_type)
        batch = play(model)
        model.backward(batch, batch.kept, {})
        gradients[dynamic] = flat_gradient(model.policy)
    kept = sum(len(script(i)) for i in range(4, 8))
    factor = (kept + 8) / kept if loss_type == "dapo" else 2
    th.testing.assert_close(gradients[True], factor * gradients[False], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kl_in", ["loss", "reward"])
def test_all_dropped_with_a_reference_teaches_nothing(kl_in):
    model = some_equal(4, dynamic_sampling=True, kl_coef=0.5, kl_in=kl_in, reference_update_interval=1)
    before = parameters(model)
    model.learn(1)
    np.testing.assert_array_equal(before, parameters(model))
    assert model._n_updates == 0


# ---- More on the reference -------------------------------------------------------


def test_a_reference_from_ppo_lacks_nothing_but_its_critic():
    ppo = PPO("MlpPolicy", ragged(1), policy_kwargs={"net_arch": [8]}, seed=3, device="cpu")
    model = small(ragged(4), kl_coef=0.1, reference_policy=ppo.policy)
    observations = th.randn(20, 2)
    expected = ppo.policy.get_distribution(observations).distribution.probs
    th.testing.assert_close(model.reference.get_distribution(observations).distribution.probs, expected)
    own = model.policy.get_distribution(observations).distribution.probs
    assert not th.allclose(own, expected)  # the policy itself does not begin there
    before = [parameter.clone() for parameter in ppo.policy.parameters()]
    model.reference_update_interval = 1
    model.learn(100)
    th.testing.assert_close(list(ppo.policy.parameters()), before, rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in model.reference.parameters())
    assert not model.reference.training


def test_the_reference_moves_by_gradient_steps_counted_across_updates():
    """Two steps an update and a move every three: in the second update and the third, not in the first."""
    options = {"reference_update_interval": 3, "reference_mixture": 1.0}
    model = with_reference(small(ragged(4), kl_coef=0.1, n_epochs=2, **options))
    moved = []
    for _ in range(3):
        before = deepcopy(model.reference.state_dict())
        model.learn(1, reset_num_timesteps=False)
        moved.append(any(not th.equal(value, before[key]) for key, value in model.reference.state_dict().items()))
    assert moved == [False, True, True]
    th.testing.assert_close(list(model.reference.parameters()), list(model.policy.parameters()))


def rising(progress):
    return 2.0 * (1 - progress)


def nothing(progress):
    return 0.0


@pytest.mark.parametrize("kl_in", ["loss", "reward"])
def test_a_schedule_of_the_penalty(kl_in):
    """A schedule of zeros is as good as no penalty; a rising one is logged, and the last one used."""
    runs = [parameters(small(ragged(4), kl_coef=kl_coef, kl_in=kl_in).learn(100)) for kl_coef in (0.0, nothing, 1.0)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    model = small(ragged(4), kl_coef=rising, kl_in=kl_in).learn(64)
    assert model.num_timesteps == 64
    assert model.logger.name_to_value["train/kl_coef"] == 2.0


def test_the_reward_s_penalty_follows_the_progress():
    model = small(ragged(4), kl_coef=rising, kl_in="reward", scale_rewards="none", gamma=1.0)
    with th.no_grad():
        with_reference(model).reference.action_net.bias += th.tensor([1.0, -1.0])
    play(model)
    found = []
    for progress in (1.0, 0.75, 0.5):
        model._current_progress_remaining = progress
        found.append(model.prepare(model.rollout_buffer.episodes()).advantages)
    assert (found[1] - found[0]).abs().max() > 0.1
    th.testing.assert_close(found[2] - found[0], 2 * (found[1] - found[0]), rtol=1e-4, atol=1e-5)


def test_without_a_penalty_there_is_no_reference():
    assert with_reference(small(ragged(4))).reference is None
    assert with_reference(small(ragged(4), kl_coef=0.1)).reference is not None


def test_clip_schedules_see_the_progress():
    model = small(ragged(4), clip_range=lambda p: 0.1 + p, clip_range_high=lambda p: 0.5 * p).learn(64)
    assert model.logger.name_to_value["train/clip_range"] == pytest.approx(0.1)
    play(model)
    model._current_progress_remaining = 0.0  # no ratio above 1 has a gradient: the loss of two epochs is held there
    model.train()
    assert model.logger.name_to_value["train/clip_fraction"] > 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ratio": "episode", "clip_range": 0.05},
        {"loss_type": "dr_grpo", "scale_rewards": "none", "leave_one_out": True, "max_episode_steps": 3},
        {"scale_rewards": "batch", "dynamic_sampling": True, "clip_range_high": 0.28},
        {"supervision": "process", "loss_type": "grpo", "n_minibatches": 2},
        {"loss_type": "cispo", "kl_coef": 0.01, "kl_in": "reward"},
        {"transition_noise": "common"},
        {"group_start": "unmatched"},
    ],
    ids=str,
)
def test_every_way_solves_a_contextual_bandit(options):
    model = small(vec(*[Match] * 8), group_size=8, n_groups=2, learning_rate=0.02, **options).learn(4000)
    np.testing.assert_array_equal(model.predict(np.eye(2, dtype=np.float32), deterministic=True)[0], [0, 1])
    assert play(model).episodes.rewards.mean() > 0.85


# ---- The learner's slot ---------------------------------------------------------------------------------------------


def test_our_advantages_in_the_slot_learn_the_same():
    def learned(**slot):
        model = GRPO("MlpPolicy", "CartPole-v1", seed=0, **slot).learn(500)
        return th.nn.utils.parameters_to_vector(model.policy.parameters())

    assert th.allclose(learned(), learned(advantage=group_relative_advantages), atol=1e-5)
    assert not th.allclose(learned(), learned(advantage=lambda returns: -returns), atol=1e-3)


def test_the_slot_is_given_groups():
    seen = []

    def look(returns):
        seen.append(returns.shape)
        return returns

    GRPO("MlpPolicy", "CartPole-v1", group_size=4, n_groups=3, seed=0, advantage=look).learn(1)
    assert seen == [(3, 4)]
    with pytest.raises(ValueError, match='needs supervision="outcome"'):
        GRPO("MlpPolicy", "CartPole-v1", supervision="process", advantage=look)
