"""Speed of the sum tree, and of whole trainings against SB3's DQN; what is compared runs by turns."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rich.table import Table

N_LEAVES, BATCH = 1_000_000, 32
N_STEPS, WARM_UP = 4_000, 500
VARIANTS: dict[str, dict[str, Any]] = {
    "RainbowDQN, all off": {},
    "double": {"double": True},
    "dueling": {"dueling": True},
    "prioritized": {"prioritized": True},
    "n_steps=3": {"n_steps": 3},
    "noisy": {"noisy": True},
    "distributional": {"distributional": True, "v_min": 0.0, "v_max": 100.0},
    "Rainbow": {"double": True, "dueling": True, "prioritized": True, "n_steps": 3, "noisy": True,
                "distributional": True, "v_min": 0.0, "v_max": 100.0},
}  # fmt: skip


def tables(n_repeats: int) -> Iterator[Table]:
    """Both, as they are measured."""
    yield tree_table(n_repeats)
    yield training_table(n_repeats)


def tree_table(n_repeats: int) -> Table:
    """Sampling and updating 32 of a million priorities."""
    ratios, ours, theirs = [], [], []
    tree_step, plain_step = tree_sampler(), plain_sampler()
    for _ in range(n_repeats):
        ours.append(seconds_of(tree_step, 1000))
        theirs.append(seconds_of(plain_step, 20))
        ratios.append(theirs[-1] / ours[-1])
    lines = Table(
        "draw and update 32 of 1,000,000", "microseconds", "times as fast (lowest to highest)", title="sum tree"
    )
    lines.add_row("NumPy's choice(p=...)", f"{1e6 * np.median(theirs):,.0f}", "1")
    spread = f"{np.median(ratios):,.0f} ({min(ratios):,.0f} to {max(ratios):,.0f})"
    lines.add_row("SumTree", f"{1e6 * np.median(ours):,.1f}", spread)
    return lines


def tree_sampler() -> Callable[[], None]:
    """A call draws a batch from a sum tree, and writes new priorities."""
    from sb3_ext.common import SumTree, stratified_targets

    rng, tree = np.random.default_rng(0), SumTree(N_LEAVES)
    tree[np.arange(N_LEAVES)] = rng.random(N_LEAVES)

    def step() -> None:
        leaves = tree.find(stratified_targets(tree.total, rng.random(BATCH)))
        tree[leaves] = rng.random(BATCH)

    return step


def plain_sampler() -> Callable[[], None]:
    """The same without a tree."""
    rng = np.random.default_rng(0)
    priorities = rng.random(N_LEAVES)

    def step() -> None:
        drawn = rng.choice(N_LEAVES, BATCH, p=priorities / priorities.sum())
        priorities[drawn] = rng.random(BATCH)

    return step


def seconds_of(step: Callable[[], None], n: int) -> float:
    """CPU time of one call, on average over n."""
    step()
    started = time.process_time()
    for _ in range(n):
        step()
    return (time.process_time() - started) / n


def training_table(n_repeats: int) -> Table:
    """CartPole-v1 with SB3's defaults: its DQN, and each variant right after it."""
    from stable_baselines3 import DQN

    from sb3_ext.dqn import RainbowDQN

    lines = Table("CartPole-v1, SB3's defaults", "steps/s", "times SB3's seconds per step (lowest to highest)",
                  title=f"speed, {n_repeats} pairs of {N_STEPS:,} steps")  # fmt: skip
    for name, switches in VARIANTS.items():
        pairs = [(steps_per_second(DQN, seed), steps_per_second(RainbowDQN, seed, **switches))
                 for seed in range(n_repeats)]  # fmt: skip
        ratios = [theirs / ours for theirs, ours in pairs]
        spread = f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        lines.add_row(name, f"{np.median([ours for _, ours in pairs]):,.0f}", spread)
    return lines


def steps_per_second(algorithm: Any, seed: int, **switches: Any) -> float:
    """Environment steps per second of CPU time, gradient steps included; the first steps do not count."""
    model = algorithm("MlpPolicy", "CartPole-v1", seed=seed, device="cpu", buffer_size=100_000, **switches)
    model.learn(WARM_UP, log_interval=None)
    started = time.process_time()
    model.learn(N_STEPS, log_interval=None, reset_num_timesteps=False)
    return N_STEPS / (time.process_time() - started)
