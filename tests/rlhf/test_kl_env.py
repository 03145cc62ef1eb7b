"""KLRewardVecEnv: each action's price, the score at the end, beta that adapts, for every algorithm."""

import numpy as np
import pytest
import torch as th
from helpers_rlhf import SMALL, make_policy
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.vec_env import VecMonitor

from sb3_ext import GRPO, REINFORCE
from sb3_ext.common import kl_penalised_rewards
from sb3_ext.envs import TokenWorldVecEnv
from sb3_ext.rlhf import CausalLMPolicy, KLRewardCallback, KLRewardVecEnv, ScoreVecEnv

SIZES = {"length": 2, "n_symbols": 2}


def make_env(n_envs=4, **kwargs):
    return TokenWorldVecEnv(n_envs, "copy", **SIZES, **kwargs)


def policy_of(env, seed):
    return make_policy(n_tokens=env.action_space.n, context=len(env.observation_space.nvec), seed=seed)


def first_letter(texts):
    return texts.tokens[:, 3] == 1.0


def play(env, n_steps, seed=0):
    """Random actions; returns observations before, actions, rewards, dones and infos of every step."""
    generator, observations, steps = np.random.default_rng(seed), env.reset(), []
    for _ in range(n_steps):
        actions = generator.integers(env.action_space.n, size=env.num_envs)
        after, rewards, dones, infos = env.step(actions)
        steps.append((observations, actions, rewards, dones, infos))
        observations = after
    return steps


def charged_env(score=None, **kwargs):
    env = make_env()
    env.seed(0)
    policy, reference = policy_of(env, 1), policy_of(env, 2)
    wrapped = KLRewardVecEnv(env, reference, score=score, **kwargs)
    wrapped.attach(policy)
    return wrapped, policy, reference


def log_ratio(policy, reference, observations, actions):
    observations, actions = th.as_tensor(observations), th.as_tensor(actions)
    with th.no_grad():
        ours, theirs = (each.get_distribution(observations).log_prob(actions) for each in (policy, reference))
    return (ours - theirs).numpy()


def test_each_action_is_charged_and_the_last_one_is_paid_too():
    env, policy, reference = charged_env(beta=0.3)
    plain = make_env()
    plain.seed(0)
    for ours, theirs in zip(play(env, 60), play(plain, 60), strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        charge = 0.3 * log_ratio(policy, reference, *ours[:2])
        np.testing.assert_allclose(ours[2], theirs[2] - charge, atol=1e-5)


def test_an_episode_pays_what_the_equation_says():
    env, policy, reference = charged_env(beta=0.3)
    steps = play(env, 200)
    texts, ratios, rewards, scores = [], [], [], []
    running = [[] for _ in range(4)]
    for observations, actions, paid, dones, infos in steps:
        for i, ratio in enumerate(log_ratio(policy, reference, observations, actions)):
            running[i].append((ratio, paid[i]))
            if dones[i]:
                padding = [(0.0, 0.0)] * (3 - len(running[i]))
                ratios.append([each[0] for each in running[i] + padding])
                rewards.append([each[1] for each in running[i] + padding])
                texts.append(len(running[i]))
                scores.append(infos[i]["score"])
                assert infos[i]["kl"] == pytest.approx(sum(each[0] for each in running[i]), abs=1e-5)
                running[i] = []
    mask = np.arange(3) < np.array(texts)[:, None]
    ratios = th.tensor(ratios)
    expected = kl_penalised_rewards(th.tensor(scores), ratios, th.zeros_like(ratios), th.as_tensor(mask), beta=0.3)
    np.testing.assert_allclose(rewards, expected, atol=1e-5)


def test_a_score_replaces_the_reward_which_stays_in_the_infos():
    env, policy, reference = charged_env(score=first_letter, beta=0.3)
    plain = make_env()
    plain.seed(0)
    n_finished = 0
    for ours, theirs in zip(play(env, 60), play(plain, 60), strict=True):
        charge = 0.3 * log_ratio(policy, reference, *ours[:2])
        for i, info in enumerate(ours[4]):
            wanted = 0.0
            if ours[3][i]:
                wanted = float(info["terminal_observation"][3] == 1)
                assert (info["score"], info["true_reward"]) == (wanted, theirs[2][i])
                n_finished += 1
            assert ours[2][i] == pytest.approx(wanted - charge[i], abs=1e-5)
    assert n_finished > 20


def test_the_score_is_given_each_text_with_its_prompt_s_length():
    seen = []

    def score(texts):
        seen.extend(texts.prompt_lengths.tolist())
        return np.zeros(len(texts))

    env = ScoreVecEnv(TokenWorldVecEnv(5, "modular_addition", modulus=11), score)
    expected = []
    for observations, _, _, dones, infos in play(env, 100):
        del observations
        expected += [len(infos[i]["prompt"]) for i in np.flatnonzero(dones)]
    assert seen == expected
    assert len(set(seen)) > 1


def test_a_policy_that_is_the_reference_is_charged_nothing():
    env, policy, _ = charged_env(beta=10.0)
    env.reference.load_state_dict(policy.state_dict())
    plain = make_env()
    plain.seed(0)
    for ours, theirs in zip(play(env, 20), play(plain, 20), strict=True):
        np.testing.assert_allclose(ours[2], theirs[2], atol=1e-5)


def test_the_reference_is_a_copy():
    env = make_env()
    reference = policy_of(env, 0)
    wrapped = KLRewardVecEnv(env, reference)
    with th.no_grad():
        reference.action_net.weight.zero_()
    assert wrapped.reference.action_net.weight.abs().sum() > 0


@pytest.mark.parametrize(("target_kl", "rises"), [(0.05, True), (50.0, False)])
def test_beta_adapts_to_the_target(target_kl, rises):
    env, policy, _ = charged_env(beta=0.1, target_kl=target_kl, adapt_every=8)
    observations, finished = env.reset(), []
    for _ in range(100):
        observations, _, _, infos = env.step(policy.predict(observations)[0])
        finished += [info["kl"] for info in infos if "kl" in info]
    updates = len(finished) // 8
    assert updates > 5
    assert (env.beta > 0.1) == rises
    assert 0.98 ** (updates + 1) < env.beta / 0.1 < 1.02 ** (updates + 1)


def test_a_monitor_inside_shows_returns_without_the_penalty():
    env = make_env(8)
    monitored = KLRewardVecEnv(VecMonitor(env), policy_of(env, 1), beta=5.0)
    model = PPO(CausalLMPolicy, monitored, n_steps=16, batch_size=64, seed=0, policy_kwargs=SMALL)
    model.learn(256, callback=KLRewardCallback())
    assert all(info["r"] in (0, 1) for info in model.ep_info_buffer)


ALGORITHMS = {
    "ppo": (PPO, {"n_steps": 16, "batch_size": 64}),
    "a2c": (A2C, {"n_steps": 8}),
    "reinforce": (REINFORCE, {"n_episodes": 8}),
    "grpo": (GRPO, {"group_size": 4, "n_groups": 2}),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_learns_in_it_and_the_callback_keeps_what_happened(name):
    algorithm, arguments = ALGORITHMS[name]
    env = make_env(8)
    wrapped = KLRewardVecEnv(env, policy_of(env, 1), beta=0.1, score=first_letter)
    callback = KLRewardCallback()
    own = dict(SMALL)  # A2C writes its optimizer into the dictionary that it is given
    model = algorithm(CausalLMPolicy, wrapped, seed=0, policy_kwargs=own, device="cpu", **arguments)
    model.learn(300, callback=callback)
    assert callback.history[-1]["timesteps"] >= 200
    assert {"kl", "score", "true_reward", "beta"} <= set(callback.history[0])
    assert wrapped.policy is model.policy
    assert all(0 <= row["score"] <= 1 and row["kl"] > 0 for row in callback.history)


def test_any_policy_of_sb3_s_may_be_held_to_another():
    env = make_env(8)
    reference = PPO("MlpPolicy", env, seed=5, device="cpu").policy
    wrapped = KLRewardVecEnv(env, reference, beta=0.1)
    PPO("MlpPolicy", wrapped, n_steps=16, batch_size=64, seed=0, device="cpu").learn(128, callback=KLRewardCallback())


def test_bad_input_is_named():
    env = make_env()
    reference = policy_of(env, 0)
    for beta in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"beta must be above 0, got {beta}"):
            KLRewardVecEnv(env, reference, beta=beta)
    with pytest.raises(ValueError, match="beta and target must be above 0"):
        KLRewardVecEnv(env, reference, target_kl=0.0)
    with pytest.raises(ValueError, match="adapt_every must be at least 1, got 0"):
        KLRewardVecEnv(env, reference, target_kl=1.0, adapt_every=0)
    wrapped = KLRewardVecEnv(env, reference)
    wrapped.reset()
    with pytest.raises(RuntimeError, match="does not know whose actions these are"):
        wrapped.step(np.zeros(4, dtype=int))
    with pytest.raises(ValueError, match="reference_policy has another shape than the policy"):
        wrapped.attach(PPO(CausalLMPolicy, env, policy_kwargs={"d_model": 32}, device="cpu"))
    with pytest.raises(ValueError, match="KLRewardCallback needs environments inside a KLRewardVecEnv"):
        PPO(CausalLMPolicy, env, policy_kwargs=SMALL, device="cpu").learn(10, callback=KLRewardCallback())


def test_a_score_or_a_reward_that_is_not_a_number_is_named():
    env, *_ = charged_env(score=lambda texts: np.full(len(texts), np.nan))
    with pytest.raises(ValueError, match=r"the score nan of the text \[.*\] is not finite"):
        play(env, 20)
    world = make_env()
    world.world.judge = lambda prompt, tokens: (np.nan, {})
    bad = KLRewardVecEnv(world, env.reference)
    bad.attach(env.policy)
    with pytest.raises(ValueError, match=r"environment \d gave the reward nan"):
        play(bad, 20)


def test_a_text_that_a_time_limit_cuts_is_not_scored():
    env = ScoreVecEnv(make_env(max_episode_steps=1), lambda texts: np.ones(len(texts)))
    env.reset()
    unfinished = np.ones(env.num_envs, dtype=int)  # a letter, not the end
    _, rewards, dones, infos = env.step(unfinished)
    assert dones.all()
    assert all(info["TimeLimit.truncated"] for info in infos)
    np.testing.assert_array_equal(rewards, 0)
