"""The figures of RLHF in the README: what is measured for each, one seed at a time."""

import json
import time
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_ext import REINFORCE
from sb3_ext.rlhf import CausalLMPolicy, ExactOptimum, KLRewardCallback, KLRewardVecEnv, generate
from sb3_ext.zoo.figures import Result
from sb3_ext.zoo.parallel import count
from sb3_ext.zoo.rlhf import hacking, recipes
from sb3_ext.zoo.rlhf.gauge import Gauge
from sb3_ext.zoo.rlhf.recipes import RECIPES, Recipe

SMALL = {"d_model": 32, "n_layers": 2, "n_heads": 2}
VERIFIED = {
    "sort": Recipe("sort", {"length": 4, "n_symbols": 5}, n_demonstrations=120, sft_epochs=8, n_tokens=150_000),
    "modular_addition": Recipe(
        "modular_addition", {"modulus": 11}, n_demonstrations=480, sft_epochs=8, n_tokens=300_000
    ),
}
"""Tasks whose answers are verified: 625 strings to be sorted, 121 sums modulo 11. SFT is stopped at about 0.5."""
VERIFIED_METHODS = ("PPO", "GRPO")
N_ANSWERS = 2500  # drawn to count the right ones, at least
ENUMERABLE = Recipe("sort", {"length": 2, "n_symbols": 2}, 64, 8, judge=1.0, beta=0.3, n_tokens=60_000, net=SMALL)
"""4 prompts with 40 responses each."""
EXACT_METHODS = ("DPO", "IPO", "KTO", "ORPO", "PPO + KL", "GRPO", "REINFORCE + KL")
HACKED = replace(RECIPES["sort"], n_preferences=300)
NETS, CACHE_LENGTH, CACHE_BATCH = ("transformer", "gru"), 64, 64


class Job(NamedTuple):
    """One seed of one figure."""

    figure: str
    """section:task:method"""
    seed: int

    @property
    def settings(self) -> str:
        """What the result depends on, apart from code and seed."""
        section, task, _ = self.figure.split(":")
        recipe = {"accuracy": VERIFIED.get(task), "exact": ENUMERABLE, "hacking": HACKED}.get(section)
        return json.dumps(None if recipe is None else asdict(recipe), sort_keys=True)


def all_figures(section: str) -> list[str]:
    """The figures of a section, as jobs name them."""
    if section == "accuracy":
        return [f"accuracy:{task}:{method}" for task in VERIFIED for method in VERIFIED_METHODS]
    if section == "exact":
        return [f"exact:{ENUMERABLE.task}:{method}" for method in EXACT_METHODS]
    if section == "hacking":
        return [f"hacking:{HACKED.task}:reward models"]
    return [f"cache:generation:{net}" for net in NETS]


def measure(job: Job) -> list[Result]:
    """All numbers of one job."""
    started = time.perf_counter()
    section, task, method = job.figure.split(":")
    th.set_num_threads(1)
    if section == "accuracy":
        found = accuracy(VERIFIED[task], method, job.seed)
    elif section == "exact":
        found = exact(ENUMERABLE, method, job.seed)
    elif section == "hacking":
        found = over_optimisation(HACKED, job.seed)
    else:
        found = cache_speed(method, job.seed)
    count(1)
    seconds = time.perf_counter() - started
    return [
        Result(f"{job.figure}:{name}", task, job.seed, value, seconds, job.settings) for name, value in found.items()
    ]


def accuracy(recipe: Recipe, method: str, seed: int) -> dict[str, float]:
    """Share of right answers, drawn and most probable ones, of SFT and of a method that was rewarded for them."""
    world, env = recipes.world_of(recipe), recipes.make_env(recipe, seed)
    sft = recipes.train_sft(recipe, env, seed)
    policy: Any
    if method == "PPO":  # one minibatch: texts that begin alike are then read once
        arguments: dict[str, Any] = {"batch_size": 2048, "n_epochs": 8, "normalize_advantage": True}
        policy = recipes.train_ppo(recipe, env, sft, seed, ent_coef=0.03, **arguments).policy
    else:
        arguments = {"group_size": 8, "n_groups": 64, "n_epochs": 4, "n_minibatches": 1}
        policy = recipes.train_grpo(recipe, env, sft, seed, ent_coef=recipes._decaying(0.05), **arguments).policy
    found = {}
    for name, each in (("SFT", sft.policy), ("after", policy)):
        for way, n in (("drawn", -(-N_ANSWERS // len(world.prompts))), ("greedy", 1)):
            prompts = np.repeat(world.prompts, n, axis=0)
            texts = generate(each, prompts, world.max_new_tokens, seed=seed, deterministic=way == "greedy")
            found[f"{name}, {way}"] = float(world.successes(texts.tokens, texts.prompt_lengths).mean())
    return found


def exact(recipe: Recipe, method: str, seed: int) -> dict[str, float]:
    """KL(pi || pi*), and the objective beside the best one."""
    world, env = recipes.world_of(recipe), recipes.make_env(recipe, seed)
    sft = recipes.train_sft(recipe, env, seed)
    optimum = ExactOptimum(world, sft.policy, recipe.beta)
    policy: Any
    if method in ("DPO", "IPO", "KTO", "ORPO"):
        pairs = optimum.preferences()
        arguments: dict[str, Any] = {"loss": method.lower(), "batch_size": 256}
        policy = recipes.train_dpo(
            replace(recipe, dpo_epochs=40), env, sft, pairs, seed, recipe.beta, **arguments
        ).policy  # fmt: skip
    elif method == "PPO + KL":
        policy = recipes.train_ppo(recipe, env, sft, seed, recipe.beta, n_steps=16, batch_size=256).policy
    elif method == "GRPO":
        policy = recipes.train_grpo(recipe, env, sft, seed, recipe.beta).policy
    else:
        policy = reinforce(recipe, KLRewardVecEnv(env, sft.policy, recipe.beta), sft, seed).policy
    before, after = optimum.report(sft.policy), optimum.report(policy)
    return {
        "KL to the optimum": after.kl_to_optimum,
        "KL to the optimum, SFT": before.kl_to_optimum,
        "KL to the reference": after.kl_to_reference,
        "objective": after.objective,
        "objective, best": after.best_objective,
    }


def reinforce(recipe: Recipe, env: KLRewardVecEnv, sft: BaseAlgorithm, seed: int) -> REINFORCE:
    """REINFORCE with the leave-one-out mean of the batch."""
    model = REINFORCE(
        CausalLMPolicy, env, learning_rate=recipes._decaying(2e-3), n_episodes=256, gamma=1.0, max_grad_norm=1.0,
        seed=seed, device="cpu", policy_kwargs=recipe.net,
    )  # fmt: skip
    model.policy.load_state_dict(sft.policy.state_dict())
    return model.learn(recipe.n_tokens, callback=KLRewardCallback())


def over_optimisation(recipe: Recipe, seed: int) -> dict[str, float]:
    """Where the true reward peaks, and what is left far away, for one reward model and ensembles; exactly."""
    world, env = recipes.world_of(recipe), recipes.make_env(recipe, seed)
    sft, judge = recipes.train_sft(recipe, env, seed), recipes.judge(recipe, world)
    pairs = recipes.collect_preferences(recipe, world, sft.policy, judge, recipe.n_preferences, seed)
    one, ensemble = (
        recipes.train_reward_model(recipe, world, pairs, seed, n_models=n, n_epochs=10) for n in (1, hacking.N_MODELS)
    )
    gauge = Gauge(world, sft.policy, judge, judge, recipe.beta, seed)
    found = {"SFT": gauge.measure(sft.policy).reward}
    for curve in hacking.exact_curves(gauge, hacking.combined(one, ensemble)):
        found[f"{curve.name}, peak"] = curve.peak.reward
        found[f"{curve.name}, distance of the peak"] = max(curve.peak.kl, 0.0) ** 0.5
        found[f"{curve.name}, far"] = curve.reward_at(hacking.FAR)
    return found


def cache_speed(net: str, seed: int) -> dict[str, float]:
    """Tokens a second with and without the cache: texts of 64 tokens, 64 at a time; and the ratio."""
    n_tokens, length, batch = 20, CACHE_LENGTH, CACHE_BATCH
    th.manual_seed(seed)
    space = spaces.MultiDiscrete([n_tokens + 1] * length)
    policy = CausalLMPolicy(space, spaces.Discrete(n_tokens), lambda _: 1e-3, net=net)  # type: ignore[arg-type]
    with th.no_grad():
        policy.action_net.bias[0] = -1e9  # type: ignore[operator]  # no text ends early
    prompts = np.full((batch, length), n_tokens)
    prompts[:, 0] = np.arange(batch) % n_tokens
    speeds = {}
    for name, use_cache in (("with", True), ("without", False)):
        policy.use_cache = use_cache
        generate(policy, prompts, 8, seed=seed)  # warm
        started = time.perf_counter()
        generate(policy, prompts, length - 1, seed=seed)
        speeds[name] = batch * (length - 1) / (time.perf_counter() - started)
    return {**speeds, "ratio": speeds["with"] / speeds["without"]}
