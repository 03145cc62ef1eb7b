"""RLHF from end to end on one task: SFT, preferences, reward model, then PPO, GRPO and DPO from the same start."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv
from tqdm import tqdm

from sb3_ext.common.calibration import Calibration
from sb3_ext.rlhf import SFT, CausalLMPolicy, Preferences, RewardModel, Texts, generate
from sb3_ext.rlhf.texts import Score
from sb3_ext.zoo.rlhf import hacking, recipes
from sb3_ext.zoo.rlhf.gauge import Gauge, Snapshot, SnapshotCallback, is_enumerable, samples
from sb3_ext.zoo.rlhf.recipes import Recipe

REWARDS = ("learned", "classifier", "true")
METHODS = ("PPO + KL", "GRPO", "DPO")
N_HELD_OUT, N_LABELS, N_HACKED = 1000, 1000, 300
FAR = 0.02  # the penalty's weight, as a share of the task's, where over-optimisation is wanted
SLOWLY = 4e-4  # the learning rate there


@dataclass
class Run:
    """What one run of the pipeline found.

    Attributes:
        recipe: of the task.
        reward: what is optimised: "learned", "classifier" or "true".
        beta: weight of the KL penalty.
        seed: of everything.
        exact: whether expectations are sums over all texts.
        sft_losses: nats a token, one a gradient step.
        accuracy: of the learned score on pairs it has not seen; what the judge himself reaches.
        calibration: likewise; None without a learned score.
        histories: snapshots of each policy while it learned; "SFT" has one.
        frontier: the best that can be had at each distance from the reference; empty where texts cannot be listed.
        curves: over-optimisation; empty without a learned score.
        samples: prompt, response and whether it is right, of each policy.
        seconds: of each stage that is finished.
        finished: whether all are.
    """

    recipe: Recipe
    reward: str
    beta: float
    seed: int
    exact: bool = False
    sft_losses: list[float] = field(default_factory=list)
    accuracy: tuple[float, float] | None = None
    calibration: Calibration | None = None
    histories: dict[str, list[Snapshot]] = field(default_factory=dict)
    frontier: list[Snapshot] = field(default_factory=list)
    curves: list[hacking.Curve] = field(default_factory=list)
    samples: dict[str, list[tuple[str, str, bool]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    finished: bool = False


class LossCallback(BaseCallback):
    """Keeps the loss of each gradient step."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def _on_step(self) -> bool:
        self.losses.append(float(self.logger.name_to_value["train/loss"]))
        return True


class Pipeline:
    """The stages, each of which adds to ``run``.

    Args:
        recipe: of the task.
        reward: "learned" (a reward model fitted to the judge's preferences), "classifier" (one that was shown which
            texts are good: lab D.5's sentiment reward) or "true" (the judge's own score).
        beta: weight of the KL penalty in log-odds. Default: the recipe's.
        seed: of everything.
    """

    def __init__(self, recipe: Recipe, reward: str = "learned", beta: float | None = None, seed: int = 0) -> None:
        self.run = Run(recipe, reward, recipe.beta if beta is None else beta, seed)
        self.recipe, self.seed = recipe, seed
        self.world = recipes.world_of(recipe)
        self.run.exact = is_enumerable(self.world)
        self.env: VecEnv = recipes.make_env(recipe, seed)
        self.judge = recipes.judge(recipe, self.world)
        self.sft: SFT
        self.score: Score
        self.preferences: Preferences
        self.gauge: Gauge

    def play(self, progress: bool = True) -> Run:
        """All stages, one after the other."""
        stages = {
            "SFT": self.imitate,
            "preferences and reward": self.learn_reward,
            "PPO + KL": lambda: self.optimise("PPO + KL"),
            "GRPO": lambda: self.optimise("GRPO"),
            "DPO": lambda: self.optimise("DPO"),
            "over-optimisation": self.over_optimise,
        }
        with tqdm(total=len(stages), unit="stage", disable=not progress) as bar:
            for name, stage in stages.items():
                bar.set_description(name)
                with self._timed(name):
                    stage()
                bar.update()
        self.run.finished = True
        return self.run

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.run.seconds[name] = time.perf_counter() - started

    # ---- The stages ---------------------------------------------------------------------------------------------

    def imitate(self) -> None:
        """SFT on demonstrations."""
        callback = LossCallback()
        self.sft = recipes.train_sft(self.recipe, self.env, self.seed, callback)
        self.run.sft_losses = callback.losses

    def learn_reward(self) -> None:
        """Preferences on SFT's own responses, and a score that explains them."""
        recipe, world, policy = self.recipe, self.world, self.sft.policy
        n = recipe.n_preferences
        if self.run.reward == "classifier":
            self.score = self._classifier()
            judge: Score = self.score
        else:
            judge = self.judge
        self.preferences = recipes.collect_preferences(recipe, world, policy, judge, n, self.seed)
        if self.run.reward == "learned":
            self.score = recipes.train_reward_model(recipe, world, self.preferences, self.seed)
        elif self.run.reward == "true":
            self.score = self.judge
        self.gauge = Gauge(world, policy, self.score, self.judge, self.run.beta, self.seed)
        self._look_at("SFT", policy, [self.gauge.measure(policy)])
        if self.gauge.exact:
            self.run.frontier = hacking.exact_curve("optimum", self.gauge.with_score(self.judge)).points
        if isinstance(self.score, RewardModel):
            held_out = recipes.collect_preferences(recipe, world, policy, self.judge, N_HELD_OUT, self.seed + 1)
            margins = self.judge(held_out.chosen) - self.judge(held_out.rejected)
            of_judge = float(np.mean((margins > 0) + 0.5 * (margins == 0)))
            self.run.accuracy = (self.score.accuracy(held_out), of_judge)
            self.run.calibration = self.score.calibration(held_out)

    def _classifier(self) -> RewardModel:
        """Learns from labels which texts are good: half of them demonstrations, half what SFT writes."""
        world, half = self.world, N_LABELS // 2
        drawn = np.random.default_rng(self.seed).integers(len(world.prompts), size=half)
        written = generate(self.sft.policy, world.prompts[drawn], world.max_new_tokens, seed=self.seed)
        texts = Texts(*world.demonstrations(half, seed=self.seed + 1)).followed_by(written)
        labels = recipes.true_reward(world, texts) > 0
        return RewardModel(world.observation_space, seed=self.seed, **self.recipe.net).learn_labels(texts, labels)

    def optimise(self, method: str) -> None:
        """One of the methods, from SFT's policy."""
        callback = SnapshotCallback(self.gauge, self._every(method))
        arguments: dict[str, Any] = {"beta": self.run.beta, "callbacks": (callback,)}
        start = (self.recipe, self.env, self.sft)
        if method == "DPO":
            policy = recipes.train_dpo(*start, self.preferences, self.seed, **arguments).policy
        else:
            train = recipes.train_ppo if method == "PPO + KL" else recipes.train_grpo
            policy = train(*start, self.seed, score=self.score, **arguments).policy  # type: ignore[assignment]
        self._look_at(method, policy, callback.history)

    def _every(self, method: str, n_points: int = 6) -> int:
        n_tokens = self.recipe.n_tokens
        if method == "DPO":
            masks = (
                side.response_mask(self.world.pad) for side in (self.preferences.chosen, self.preferences.rejected)
            )
            n_tokens = self.recipe.dpo_epochs * int(sum(mask.sum() for mask in masks))
        return n_tokens // n_points

    def _look_at(self, name: str, policy: CausalLMPolicy, history: list[Snapshot]) -> None:
        self.run.histories[name] = history
        self.run.samples[name] = samples(self.world, policy, 8, self.seed)

    def over_optimise(self) -> None:
        """Optimises reward models of few preferences far beyond what they know."""
        if self.run.reward == "true":
            return
        few = self.preferences.take(np.arange(min(N_HACKED, len(self.preferences))))
        one, ensemble = (
            recipes.train_reward_model(self.recipe, self.world, few, self.seed, n_models=n, n_epochs=10)
            for n in (1, hacking.N_MODELS)
        )
        scores = hacking.combined(one, ensemble)
        if self.gauge.exact:
            self.run.curves = hacking.exact_curves(self.gauge, scores)
        for name in ("one reward model", "ensemble, cautious"):
            self.run.curves.append(self._walk(name, scores[name]))

    def _walk(self, name: str, score: Score) -> hacking.Curve:
        """PPO with hardly any penalty: the way from the reference outwards, as it is walked."""
        gauge = self.gauge.with_score(score)
        callback = SnapshotCallback(gauge, self.recipe.n_tokens // 16)
        start = (self.recipe, self.env, self.sft, self.seed, FAR * self.run.beta)
        recipes.train_ppo(*start, score, (callback,), learning_rate=SLOWLY, batch_size=2048)
        return hacking.Curve(f"{name}, PPO", callback.history)
