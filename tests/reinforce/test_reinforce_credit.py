"""What REINFORCE weighs each step with, and the step it takes, against slow computations from the definitions."""

import itertools
from copy import deepcopy

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers_reinforce import RandomLength, Recorder, Script, Scripted, observe, small, vec
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext import REINFORCE

GAMMA = 0.9
SCRIPTS = [  # of two environments, with a quota of two episodes each; the second one takes longer
    [Script([1.0, 2.0, 3.0]), Script([5.0], truncated=True)],
    [Script([0.5, -1.0], truncated=True), Script([2.0, 0.0, 2.0, 4.0])],
]
COLUMNS = [(0, 0), (1, 0), (0, 1), (1, 1)]  # (environment, episode), as the batch orders them


def scripted(action_space=None):
    return DummyVecEnv(
        [lambda number=number: Monitor(Scripted(SCRIPTS[number], number, action_space)) for number in (0, 1)]
    )


def played(**kwargs):
    """A model that has played and (with a learning rate of 0) not changed, its batch, and the batch as a tensor."""
    model = small(scripted(), n_episodes=4, gamma=GAMMA, **{"learning_rate": 0.0, **kwargs}).learn(1)
    batch = model.rollout_buffer.episodes()
    return model, batch, obs_as_tensor(batch.observations, model.device)


def value(model, env, episode, time):
    with th.no_grad():
        return model.policy.predict_values(th.as_tensor(observe(env, episode, time))[None]).item()


def slow_returns(model, baseline):
    """G_t of every episode by adding up, [episode][t]."""
    returns = []
    for env, episode in COLUMNS:
        rewards, truncated = SCRIPTS[env][episode]
        length = len(rewards)
        rest = value(model, env, episode, length) if truncated and baseline == "value" else 0.0
        returns.append(
            [
                sum(GAMMA ** (k - t) * rewards[k] for k in range(t, length)) + GAMMA ** (length - t) * rest
                for t in range(length)
            ]
        )
    return returns


def slow_baseline(model, returns, column, t, kind, credit):
    if kind == "none":
        return 0.0
    if credit == "total":
        t = 0
    if kind == "value":
        return value(model, *COLUMNS[column], t)
    others = [returns[other] for other in range(len(COLUMNS)) if other != column]
    running = [other[t] for other in others if len(other) > t]
    return np.mean(running if running else list(itertools.chain(*others)))


@pytest.mark.parametrize(("credit", "discounted"), [("total", False), ("to_go", False), ("to_go", True)])
@pytest.mark.parametrize("baseline", ["none", "mean", "value"])
def test_weights_are_return_minus_baseline(baseline, credit, discounted):
    kwargs = {"baseline": baseline, "returns": credit, "discounted_gradient": discounted}
    model, batch, observations = played(normalize_advantage=False, **kwargs)
    np.testing.assert_array_equal(batch.lengths, [3, 2, 1, 4])
    returns = slow_returns(model, baseline)
    expected = [
        (returns[column][0 if credit == "total" else t] - slow_baseline(model, returns, column, t, baseline, credit))
        * (GAMMA**t if discounted else 1.0)
        for column, t in zip(batch.episode, batch.time, strict=True)
    ]
    found = model.assign_credit(batch, observations)
    np.testing.assert_allclose(found.weights, expected, rtol=1e-5, atol=1e-5)
    for column in range(4):
        np.testing.assert_allclose(found.returns_to_go[: batch.lengths[column], column], returns[column], rtol=1e-5)

    model.normalize_advantage = True
    scaled = model.assign_credit(batch, observations).weights.numpy()
    np.testing.assert_allclose(scaled, expected / np.sqrt(np.mean(np.square(expected))), rtol=1e-4, atol=1e-5)


def test_gamma_t_belongs_to_the_return_to_go_alone():
    """The exact gradient of a two-step problem, reward A_1 after the second step: by G_0, or by gamma^t G_t."""
    logits = th.zeros(2, requires_grad=True)  # of action 1 at each time
    pi = logits.sigmoid()
    exact = th.autograd.grad(GAMMA * pi[1], logits, retain_graph=True)[0]  # J = E[gamma A_1]
    for weight_of in (lambda t, reward: GAMMA * reward, lambda t, reward: GAMMA**t * GAMMA ** (1 - t) * reward):
        estimate = th.zeros(2)
        for actions in itertools.product([0, 1], repeat=2):
            log_probs = th.stack([th.log(pi[t] if a else 1 - pi[t]) for t, a in enumerate(actions)])
            weights = th.tensor([weight_of(t, actions[1]) for t in range(2)], dtype=th.float32)
            gradient = th.autograd.grad((log_probs * weights).sum(), logits, retain_graph=True)[0]
            estimate += log_probs.sum().exp().detach() * gradient
        th.testing.assert_close(estimate, exact)
    with pytest.raises(ValueError, match='needs returns="to_go"'):
        small(scripted(), returns="total", discounted_gradient=True)


def test_mean_baseline_by_hand():
    """Returns to go (gamma 1): [6, 5, 3], [-0.5, -1], [5], [8, 6, 6, 4]."""
    model, batch, observations = played(baseline="mean", normalize_advantage=False)
    model.gamma = 1.0
    baseline = model.assign_credit(batch, observations).baseline
    np.testing.assert_allclose(baseline[:, 0], [12.5 / 3, 2.5, 6.0, 0.0])  # at time 2 only the last one still runs
    np.testing.assert_allclose(baseline[0], [12.5 / 3, 19 / 3, 13.5 / 3, 10.5 / 3])
    np.testing.assert_allclose(baseline[3, 3], (6 + 5 + 3 - 0.5 - 1 + 5) / 6)  # nobody else: all their steps
    model.returns = "total"
    total = model.assign_credit(batch, observations)
    np.testing.assert_allclose(total.baseline[:, 3], [10.5 / 3] * 4)
    np.testing.assert_allclose(total.credited[:, 3], [8.0] * 4)
    np.testing.assert_array_equal(total.credited[~batch.mask()], 0.0)


def test_bootstrap_is_from_the_state_reached_and_only_where_truncated():
    model, batch, observations = played(baseline="value")
    expected = [observe(1, 0, 2), observe(0, 1, 1)]  # terminal observations, not those after the reset
    np.testing.assert_array_equal(batch.last_observations, expected)
    np.testing.assert_array_equal(batch.terminated, [True, False, False, True])
    returns = model.assign_credit(batch, observations).returns_to_go
    assert returns[1, 1] == pytest.approx(-1.0 + GAMMA * value(model, 1, 0, 2), rel=1e-5)
    assert returns[0, 2] == pytest.approx(5.0 + GAMMA * value(model, 0, 1, 1), rel=1e-5)
    assert returns[2, 0] == pytest.approx(3.0)
    assert returns[3, 3] == pytest.approx(4.0)


def test_what_comes_after_a_quota_is_counted_but_not_learned_from():
    model, batch, observations = played(baseline="none", normalize_advantage=False)
    assert model.num_timesteps == 12  # two environments, six steps until the slower one is done
    assert len(batch.rewards) == 10
    assert model.assign_credit(batch, observations).weights.abs().max() < 10
    assert np.isfinite(model.logger.name_to_value["train/grad_norm"])
    assert model.logger.name_to_value["rollout/masked_fraction"] == pytest.approx(2 / 12)
    assert model.logger.name_to_value["rollout/episodes"] == 4


def test_episodes_beyond_a_quota_are_not_in_the_statistics():
    scripts = [[Script([1.0])], [Script([1.0] * 20)]]  # the first one plays six poisoned episodes meanwhile
    env = DummyVecEnv([lambda number=number: Monitor(Scripted(scripts[number], number)) for number in (0, 1)])
    model = small(env, n_episodes=2, baseline="none").learn(1)
    assert sorted(info["r"] for info in model.ep_info_buffer) == [1.0, 20.0]
    assert model.num_timesteps == 40


def log_probs_and_entropy(model, observations, actions):
    """From the network's layers and torch's distributions, without SB3's."""
    policy = model.policy
    outputs = policy.action_net(policy.mlp_extractor.policy_net(observations))
    space = model.action_space
    if isinstance(space, spaces.Discrete):
        categorical = th.distributions.Categorical(logits=outputs)
        return categorical.log_prob(actions), categorical.entropy()
    if isinstance(space, spaces.MultiDiscrete):
        parts = [th.distributions.Categorical(logits=logits) for logits in outputs.split(space.nvec.tolist(), dim=1)]
        log_probs = sum(part.log_prob(actions[:, i]) for i, part in enumerate(parts))
        return log_probs, sum(part.entropy() for part in parts)
    if isinstance(space, spaces.MultiBinary):
        bernoulli = th.distributions.Bernoulli(logits=outputs)
        return bernoulli.log_prob(actions).sum(dim=1), bernoulli.entropy().sum(dim=1)
    normal = th.distributions.Normal(outputs, policy.log_std.exp())
    return normal.log_prob(actions.reshape(len(actions), -1)).sum(dim=1), normal.entropy().sum(dim=1)


ACTION_SPACES = {
    "discrete": spaces.Discrete(3),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(3),
    "box": spaces.Box(-0.5, 0.5, (2,), np.float32),
    "matrix": spaces.Box(-0.5, 0.5, (2, 3), np.float32),
}


@pytest.mark.parametrize("baseline", ["none", "mean", "value"])
@pytest.mark.parametrize("action_space", ACTION_SPACES.values(), ids=ACTION_SPACES)
def test_the_step_taken_is_the_policy_gradient(action_space, baseline):
    """Plain gradient descent with learning rate 1: the parameters move by minus the gradient of the textbook's loss."""
    recorder = Recorder()
    model = small(
        scripted(action_space),
        n_episodes=4,
        gamma=GAMMA,
        learning_rate=1.0,
        ent_coef=0.3,
        max_grad_norm=1e9,
        n_value_updates=1,
        baseline=baseline,
        policy_kwargs={"optimizer_class": th.optim.SGD},
    )
    before = deepcopy(model.policy)
    model.learn(1, recorder)
    after, model.policy = model.policy, before
    batch = recorder.batches[0]
    credit = model.assign_credit(batch, obs_as_tensor(batch.observations, "cpu"))

    loss = th.zeros(())
    for observation, action, weight in zip(batch.observations, batch.actions, credit.weights, strict=True):
        pair = th.as_tensor(observation)[None], th.as_tensor(action)[None]
        log_prob, entropy = log_probs_and_entropy(model, *pair)
        loss = loss - (log_prob * weight + 0.3 * entropy).sum() / batch.n_episodes
    if baseline == "value":
        returns = th.as_tensor(batch.flatten(credit.returns_to_go))
        loss = loss + (before.predict_values(th.as_tensor(batch.observations)).flatten() - returns).square().mean()
    loss.backward()
    moved = 0
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        gradient = th.zeros_like(old) if old.grad is None else old.grad
        moved += int(gradient.abs().sum() > 0)
        np.testing.assert_allclose((old - new).detach(), gradient, rtol=1e-3, atol=1e-5, err_msg=name)
    assert moved >= (8 if baseline == "value" else 4)

    received = [env.unwrapped.received for env in model.env.envs]  # what the environments got, in order of time
    assert all(action_space.contains(action) for action in itertools.chain(*received))
    own = [batch.actions[np.isin(batch.episode, [number, number + 2])] for number in (0, 1)]
    for got, drawn in zip(received, own, strict=True):
        drawn = drawn.reshape(len(drawn), *action_space.shape)
        if isinstance(action_space, spaces.Box):
            assert np.abs(drawn).max() > 0.5  # a draw out of bounds is clipped, the one that was drawn is learned from
            drawn = np.clip(drawn, -0.5, 0.5)
        np.testing.assert_array_equal(np.array(got[: len(drawn)]), drawn)


def test_clipping_bounds_the_step_and_logs_the_norm_before():
    kwargs = {"n_episodes": 4, "learning_rate": 1.0, "baseline": "none", "normalize_advantage": False}
    model = small(scripted(), max_grad_norm=0.01, policy_kwargs={"optimizer_class": th.optim.SGD}, **kwargs)
    before = np.concatenate([p.detach().numpy().ravel() for p in model.policy.parameters()])
    model.learn(1)
    after = np.concatenate([p.detach().numpy().ravel() for p in model.policy.parameters()])
    assert np.linalg.norm(after - before) == pytest.approx(0.01, rel=1e-2)
    assert model.logger.name_to_value["train/grad_norm"] > 0.1


class Gradients(Recorder):
    """Keeps each update's gradient and the variance that was logged for it."""

    def __init__(self):
        super().__init__()
        self.gradients, self.variances = [], []

    def _on_rollout_start(self):
        if self.model._n_updates:
            found = [p.grad.flatten() for p in self.model.policy.parameters() if p.grad is not None]
            self.gradients.append(th.cat(found).numpy().copy())
            self.variances.append(self.model.logger.name_to_value["train/grad_variance"])


def test_logged_gradient_variance_is_that_of_the_batch_gradient():
    """Of a frozen policy without a baseline: the mean estimate against the scatter of the gradients themselves."""
    seen = Gradients()
    kwargs = {"learning_rate": 0.0, "baseline": "none", "normalize_advantage": False, "max_grad_norm": 1e9}
    small(vec(RandomLength, 6), n_episodes=6, **kwargs).learn(48_000, seen, log_interval=10**9)
    gradients, variances = np.array(seen.gradients), np.array(seen.variances)
    n = len(gradients)
    squares = np.square(gradients - gradients.mean(axis=0)).sum(axis=1) * n / (n - 1)
    error = np.hypot(squares.std(), variances.std()) / np.sqrt(n)
    assert n > 500
    assert error < 0.1 * squares.mean()
    assert abs(variances.mean() - squares.mean()) < 5 * error


@pytest.mark.parametrize("quota", [1, 2])
def test_parallel_episodes_are_not_biased_to_short_ones(quota):
    recorder, n_envs = Recorder(), 8
    model = small(vec(RandomLength, n_envs), n_episodes=n_envs * quota, learning_rate=0.0, stats_window_size=10**6)
    model.learn(16_000 * quota, recorder)
    lengths = np.concatenate([batch.lengths for batch in recorder.batches])
    assert len(lengths) > 1000
    assert abs(lengths.mean() - 5.0) < 5 * 4.0 / np.sqrt(len(lengths))  # 1 or 9: mean 5, deviation 4
    assert np.mean([info["l"] for info in model.ep_info_buffer]) == pytest.approx(lengths.mean())


def test_every_rollout_starts_with_fresh_episodes():
    """Each batch's column k begins at time 0 of an episode that did not begin under an older policy."""
    recorder = Recorder()
    endless = [Script([1.0] * length) for length in (2, 5, 3, 4) * 50]
    env = DummyVecEnv([lambda number=number: Monitor(Scripted(endless[number:], number)) for number in range(3)])
    small(env, n_episodes=3).learn(200, recorder)
    last = -np.ones(3)
    for batch in recorder.batches:
        starts = batch.observations[batch.time == 0]
        assert len(starts) == 3
        np.testing.assert_array_equal(starts[:, 2], 0.0)
        assert (starts[:, 1] > last).all()
        last = starts[:, 1]
        np.testing.assert_allclose(batch.observations[:, 2], 0.1 * batch.time, rtol=1e-6)


# ---- The learner's slot ---------------------------------------------------------------------------------------------


def backwards(rewards, gamma):
    returns, return_ = [], 0.0
    for reward in rewards[::-1]:
        return_ = reward + gamma * return_
        returns.insert(0, return_)
    return returns


@pytest.mark.parametrize("baseline", ["none", "mean", "value"])
def test_our_returns_in_the_slot_learn_the_same(baseline):
    def learned(**slot):
        model = REINFORCE("MlpPolicy", "CartPole-v1", baseline=baseline, seed=0, **slot).learn(500)
        return th.nn.utils.parameters_to_vector(model.policy.parameters())

    assert th.allclose(learned(), learned(advantage=backwards), atol=1e-5)
    assert not th.allclose(learned(), learned(advantage=lambda rewards, gamma: rewards), atol=1e-3)


def test_the_slot_takes_the_place_of_returns():
    with pytest.raises(ValueError, match="give one of the two"):
        REINFORCE("MlpPolicy", "CartPole-v1", returns="total", advantage=backwards)
    with pytest.raises(ValueError, match=r"the shape \(\), expected"):
        REINFORCE("MlpPolicy", "CartPole-v1", advantage=lambda rewards, gamma: rewards.sum()).learn(10)
