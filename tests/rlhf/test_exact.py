"""The exact optimum: everything is listed, and methods meet there."""

import numpy as np
import pytest
import torch as th
from helpers_rlhf import SMALL, make_policy
from stable_baselines3 import PPO

from sb3_ext import GRPO
from sb3_ext.envs import TokenWorld, TokenWorldVecEnv
from sb3_ext.rlhf import CausalLMPolicy, ExactOptimum, KLRewardVecEnv, OptimumCallback, generate
from sb3_ext.rlhf.exact import every_text

WORLD = TokenWorld("copy", length=1, n_symbols=2)
TINY = {"task": "copy", "length": 1, "n_symbols": 2, "max_new_tokens": 1}


def policy_of(world, seed=0):
    return make_policy(n_tokens=world.n_tokens, context=world.context, seed=seed)


def test_the_probabilities_of_all_responses_add_up_to_one():
    optimum = ExactOptimum(WORLD, policy_of(WORLD), beta=0.5)
    np.testing.assert_allclose(np.exp(optimum.ref_log_probs).sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.exp(optimum.log_probs).sum(axis=1), 1, atol=1e-9)


def test_every_text_is_a_prompt_with_a_response_behind_it():
    world = TokenWorld("modular_addition", modulus=11, prompts=["1+2=", "10+3="], max_new_tokens=1)
    texts = every_text(world, world.responses())
    assert len(texts) == 2 * world.n_tokens
    written = [world.task.decode(row) for row in texts.tokens.tolist()]
    assert written[1] == "1+2=0"
    assert written[-1] == "10+3=="


def test_the_reference_itself_has_no_divergence_and_its_reward_is_that_of_its_texts():
    policy = policy_of(WORLD)
    report = ExactOptimum(WORLD, policy, beta=0.5).report(policy)
    assert report.kl_to_reference == pytest.approx(0, abs=1e-6)
    texts = generate(policy, np.repeat(WORLD.prompts, 3000, axis=0), WORLD.max_new_tokens, seed=0)
    assert report.reward == pytest.approx(WORLD.score_texts(texts.tokens, texts.prompt_lengths).mean(), abs=0.03)
    assert report.objective == pytest.approx(report.reward, abs=1e-6)


def test_what_a_policy_misses_is_beta_times_its_divergence():
    optimum = ExactOptimum(WORLD, policy_of(WORLD), beta=0.3)
    report = optimum.report(policy_of(WORLD, seed=1))
    assert report.best_objective - report.objective == pytest.approx(0.3 * report.kl_to_optimum, abs=1e-5)
    assert report.kl_to_optimum > 0.1


def test_other_rewards_move_the_optimum():
    rewards = np.zeros((2, len(WORLD.responses())))
    optimum = ExactOptimum(WORLD, policy_of(WORLD), beta=0.3, rewards=rewards)
    np.testing.assert_allclose(optimum.log_probs, optimum.ref_log_probs, atol=1e-5)


def test_every_pair_is_there_once_with_its_exact_probability():
    optimum = ExactOptimum(WORLD, policy_of(WORLD), beta=0.3)
    n_prompts, n_responses = optimum.shape
    pairs = optimum.preferences()
    assert len(pairs) == n_prompts * n_responses * (n_responses - 1) / 2
    assert len(np.unique(np.hstack([pairs.chosen.tokens, pairs.rejected.tokens]), axis=0)) == len(pairs)
    worth = [WORLD.score_texts(side.tokens, side.prompt_lengths) for side in (pairs.chosen, pairs.rejected)]
    np.testing.assert_allclose(pairs.probability, 1 / (1 + np.exp(worth[1] - worth[0])))


def test_drawn_pairs_follow_the_reference():
    optimum = ExactOptimum(WORLD, policy_of(WORLD), beta=0.3)
    pairs = optimum.preferences(n=4000, seed=0)
    assert len(pairs) == 4000
    chances = np.exp(optimum.ref_log_probs)
    counts = np.zeros(optimum.shape)
    index = {tuple(text): number for number, text in enumerate(optimum.texts.tokens.tolist())}
    for side in (pairs.chosen, pairs.rejected):
        for text in side.tokens.tolist():
            counts.ravel()[index[tuple(text)]] += 1
    expected = chances * (1 - chances)  # drawn with another response
    np.testing.assert_allclose(counts / counts.sum(), expected / expected.sum(), atol=0.02)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        optimum.preferences(n=0)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="beta must be above 0, got 0"):
        ExactOptimum(WORLD, policy_of(WORLD), beta=0)
    world = TokenWorld(**TINY, reward=lambda prompt, response: float("nan"))
    with pytest.raises(ValueError, match="rewards must be finite, got nan"):
        ExactOptimum(world, policy_of(world), beta=1)
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        OptimumCallback(ExactOptimum(WORLD, policy_of(WORLD), beta=1), every=0)


BETA = 0.3


def learned(algorithm, penalised, **kwargs):
    """The report of an algorithm that started at the reference, and the one of its start."""
    env = TokenWorldVecEnv(64, **TINY)
    reference = policy_of(env.world)
    optimum = ExactOptimum(env.world, reference, beta=BETA)
    if penalised:
        kl_env = KLRewardVecEnv(env, reference, beta=BETA)
    else:
        kwargs["reference_policy"] = reference
    model = algorithm(
        CausalLMPolicy, kl_env if penalised else env, gamma=1.0, learning_rate=lambda left: 2e-3 * left, seed=0,
        policy_kwargs=SMALL, device="cpu", **kwargs,
    )  # fmt: skip
    model.policy.load_state_dict(reference.state_dict())
    if penalised:
        kl_env.attach(model)
    callback = OptimumCallback(optimum, every=4_000)
    model.learn(12_000, callback=callback)
    return callback.history


@pytest.mark.slow
def test_ppo_with_the_penalty_ends_at_the_optimum():
    history = learned(PPO, True, n_steps=8, batch_size=256, n_epochs=4, gae_lambda=1.0, normalize_advantage=False)
    assert [t for t, _ in history][:2] == [0, 4_032]
    assert history[0][1].kl_to_optimum > 0.2
    assert history[-1][1].kl_to_optimum < 0.02


@pytest.mark.slow
def test_grpo_with_the_penalty_in_the_reward_ends_there_too():
    arguments = {"group_size": 16, "n_groups": 16, "n_minibatches": 2, "scale_rewards": "none", "max_grad_norm": 1.0}
    history = learned(GRPO, False, kl_coef=BETA, kl_in="reward", **arguments)
    assert history[-1][1].kl_to_optimum < 0.03


def test_reports_do_not_disturb_the_training():
    th.manual_seed(0)
    before = th.get_rng_state()
    policy = policy_of(WORLD)
    th.set_rng_state(before)
    ExactOptimum(WORLD, policy, beta=0.5).report(policy)
    assert th.equal(th.get_rng_state(), before)
