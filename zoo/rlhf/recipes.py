"""How each step of RLHF is done on each task: sizes of the data, hyperparameters, a training each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

import sb3_ext.envs
from sb3_ext import GRPO
from sb3_ext.envs import TokenWorld
from sb3_ext.rlhf import (
    DPO,
    SFT,
    CausalLMPolicy,
    KLRewardCallback,
    KLRewardVecEnv,
    Preferences,
    RewardModel,
    ScoreVecEnv,
    Texts,
    sample_preferences,
)
from sb3_ext.rlhf.texts import Score
from sb3_ext.vec_env import make_vec_env

N_ENVS = 64
assert sb3_ext.envs  # registers the id


@dataclass(frozen=True)
class Recipe:
    """A task, and how much of everything it takes.

    Attributes:
        task: of ``TokenWorld``.
        sizes: its arguments.
        n_demonstrations: for SFT.
        sft_epochs: passes through them; few, so that SFT leaves something to be learned.
        n_preferences: pairs for reward model and DPO.
        judge: how sharp the judge is: the log-odds that he prefers reward 1 to reward 0.
        beta: weight of the KL penalty, in log-odds.
        n_tokens: that PPO and GRPO write.
        dpo_epochs: passes of DPO through the preferences.
        net: arguments of ``CausalLMPolicy``.
    """

    task: str
    sizes: dict[str, Any] = field(default_factory=dict)
    n_demonstrations: int = 100
    sft_epochs: int = 10
    n_preferences: int = 2000
    judge: float = 4.0
    beta: float = 1.0
    n_tokens: int = 60_000
    dpo_epochs: int = 10
    net: dict[str, Any] = field(default_factory=lambda: {"d_model": 64, "n_layers": 2, "n_heads": 4})


RECIPES = {
    "copy": Recipe("copy", {"length": 3, "n_symbols": 3}, n_demonstrations=40),
    "reverse": Recipe("reverse", {"length": 3, "n_symbols": 3}, n_demonstrations=40),
    "sort": Recipe("sort", {"length": 3, "n_symbols": 3}, n_demonstrations=40),
    "modular_addition": Recipe("modular_addition", {"modulus": 7}, n_demonstrations=60),
    "brackets": Recipe("brackets", {"length": 3, "kinds": 1}, n_demonstrations=16, sft_epochs=5),
    "words": Recipe("words", {}, n_demonstrations=500, judge=3.0, n_tokens=150_000),
}


def make_env(recipe: Recipe, seed: int, n_envs: int = N_ENVS) -> VecEnv:
    """Token worlds, monitored: their returns are those of the true reward."""
    return make_vec_env("sb3_ext/TokenWorld-v0", n_envs, seed=seed, env_kwargs={"task": recipe.task, **recipe.sizes})


def world_of(recipe: Recipe) -> TokenWorld:
    """One token world."""
    return TokenWorld(recipe.task, **recipe.sizes)


def true_reward(world: TokenWorld, texts: Texts) -> np.ndarray:
    """What the world pays for each text, [n]."""
    return world.score_texts(texts.tokens, texts.prompt_lengths)


def train_sft(recipe: Recipe, env: VecEnv, seed: int, callback: BaseCallback | None = None) -> SFT:
    """Imitates demonstrations."""
    demonstrations = Texts(*world_of(recipe).demonstrations(recipe.n_demonstrations, seed=seed))
    model = SFT(CausalLMPolicy, env, demonstrations, learning_rate=2e-3, seed=seed, policy_kwargs=recipe.net)
    return model.learn(recipe.sft_epochs * model.epoch_timesteps, callback=callback)


def judge(recipe: Recipe, world: TokenWorld) -> Score:
    """A judge who follows the Bradley-Terry model: his score of texts, in log-odds."""
    return lambda texts: recipe.judge * true_reward(world, texts)


def collect_preferences(
    recipe: Recipe, world: TokenWorld, policy: CausalLMPolicy, score: Score, n: int, seed: int, noisy: bool = True
) -> Preferences:
    """Two responses of a policy to each of n prompts, judged."""
    drawn = np.random.default_rng(seed).integers(len(world.prompts), size=n)
    return sample_preferences(policy, world.prompts[drawn], world.max_new_tokens, score, seed=seed, noisy=noisy)


def train_reward_model(
    recipe: Recipe,
    world: TokenWorld,
    preferences: Preferences,
    seed: int,
    n_models: int = 1,
    combine: Literal["mean", "min", "cautious"] = "mean",
    n_epochs: int = 6,
) -> RewardModel:
    """Learns scores from preferences."""
    model = RewardModel(world.observation_space, n_models=n_models, combine=combine, seed=seed, **recipe.net)
    return model.learn(preferences, n_epochs=n_epochs)


def _decaying(learning_rate: float) -> Callable[[float], float]:
    return partial(_times, learning_rate)


def _times(learning_rate: float, progress_remaining: float) -> float:
    return learning_rate * progress_remaining


def start_from(model: BaseAlgorithm, sft: SFT) -> None:
    """Gives a policy the weights that SFT found."""
    model.policy.load_state_dict(sft.policy.state_dict())


def train_ppo(
    recipe: Recipe,
    env: VecEnv,
    sft: SFT,
    seed: int,
    beta: float | None = None,
    score: Score | None = None,
    callbacks: tuple[BaseCallback, ...] = (),
    **kwargs: Any,
) -> PPO:
    """PPO with a KL penalty, or without one if beta is None. Advantages are not normalised: near the optimum they are
    noise, which that would blow up.
    """
    arguments: dict[str, Any] = {"n_steps": 32, "batch_size": 512, "n_epochs": 4, "gae_lambda": 1.0}
    arguments |= {"learning_rate": _decaying(1e-3), "normalize_advantage": False}
    if beta is not None:
        env = KLRewardVecEnv(env, sft.policy, beta, score)
        callbacks = (KLRewardCallback(), *callbacks)
    elif score is not None:
        env = ScoreVecEnv(env, score)
    model = PPO(
        CausalLMPolicy, env, gamma=1.0, seed=seed, device="cpu", policy_kwargs=recipe.net, **{**arguments, **kwargs}
    )
    start_from(model, sft)
    return model.learn(recipe.n_tokens, callback=list(callbacks))


def train_grpo(
    recipe: Recipe,
    env: VecEnv,
    sft: SFT,
    seed: int,
    beta: float | None = None,
    score: Score | None = None,
    callbacks: tuple[BaseCallback, ...] = (),
    **kwargs: Any,
) -> GRPO:
    """GRPO, with a penalty whose gradient is that of KL(pi || ref), or without one if beta is None."""
    arguments: dict[str, Any] = {"group_size": 16, "n_groups": 16, "n_epochs": 2, "n_minibatches": 2}
    arguments["learning_rate"] = _decaying(1e-3)
    if beta is not None:
        penalty = {"kl_coef": beta, "kl_in": "reward", "reference_policy": sft.policy, "scale_rewards": "none"}
        arguments = {**arguments, **penalty}
    model = GRPO(
        CausalLMPolicy, env if score is None else ScoreVecEnv(env, score), gamma=1.0, max_grad_norm=1.0, seed=seed,
        device="cpu", policy_kwargs=recipe.net, **{**arguments, **kwargs},
    )  # fmt: skip
    start_from(model, sft)
    return model.learn(recipe.n_tokens, callback=list(callbacks))


def train_dpo(
    recipe: Recipe,
    env: VecEnv,
    sft: SFT,
    preferences: Preferences,
    seed: int,
    beta: float,
    callbacks: tuple[BaseCallback, ...] = (),
    **kwargs: Any,
) -> DPO:
    """DPO or one of its relatives (``loss="ipo"``)."""
    model = DPO(
        CausalLMPolicy, env, preferences, reference_policy=sft.policy, beta=beta, learning_rate=_decaying(1e-3),
        seed=seed, policy_kwargs=recipe.net, **kwargs,
    )  # fmt: skip
    return model.learn(recipe.dpo_epochs * model.epoch_timesteps, callback=list(callbacks))
