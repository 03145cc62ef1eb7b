"""What each way of giving credit does to REINFORCE: ``sb3-ext demo --compare-baselines``.

The ways are compared twice, never with normalised advantages. *Variance*: at three stages of a training, all of them
weigh the very same batches of episodes of the very same policy, and the variance of the batch gradient is taken over
repeated batches. There gamma is 1 and an episode at its time limit counts as ended, so that all ways have the same
expectation and differ in nothing but scatter. *Learning*: each trains by itself, on several seeds, as the class does.
"""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch as th
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.utils import obs_as_tensor
from tqdm import tqdm

from sb3_ext import REINFORCE
from sb3_ext.common import flat_gradient, policy_gradient_loss
from sb3_ext.vec_env import make_vec_env
from sb3_ext.zoo.curves import draw_runs, label_axes
from sb3_ext.zoo.training import EpisodeLog

ENV_ID = "CartPole-v1"
WAYS: dict[str, dict[str, Any]] = {  # from Williams (1992) to the value baseline, each a small step from the one before
    "total return": {"returns": "total", "baseline": "none"},
    "reward-to-go": {"returns": "to_go", "baseline": "none"},
    "mean baseline": {"returns": "to_go", "baseline": "mean"},
    "value baseline": {"returns": "to_go", "baseline": "value"},
}
STAGES = (0.05, 0.15, 0.3)  # shares of the training after which the variance is measured
BATCHES = 24  # batches per measurement


class Measurement(NamedTuple):
    """The variance of one way's batch gradient, summed over parameters, for one policy."""

    seed: int
    timesteps: int
    mean_return: float
    way: str
    variance: float


def compare_baselines(timesteps: int, n_envs: int, seeds: range, output: Path) -> int:
    """Measure, print, draw and save; 130 if interrupted (what was measured until then is kept)."""
    th.set_num_threads(1)  # for networks this small, more threads only get in each other's way
    measurements: list[Measurement] = []
    logs: dict[str, list[EpisodeLog]] = {way: [] for way in WAYS}
    interrupted = False
    with tqdm(total=len(seeds) * (len(WAYS) + 1), desc="trainings") as progress:
        try:
            for seed in seeds:
                measurements += measure_variances(timesteps, n_envs, seed)
                progress.update()
                for way, settings in WAYS.items():
                    logs[way].append(train(timesteps, n_envs, seed, **settings)[1])
                    progress.update()
        except KeyboardInterrupt:
            interrupted = True
    if not measurements:
        print("interrupted before anything was measured")
        return 130
    save(measurements, output / "gradient_variance.csv")
    draw(measurements, logs).savefig(output / "baselines.png", dpi=120)
    show(measurements, logs)
    print(f"{output / 'baselines.png'}\n{output / 'gradient_variance.csv'}")
    return 130 if interrupted else 0


def train(timesteps: int, n_envs: int, seed: int, **settings: Any) -> tuple[REINFORCE, EpisodeLog]:
    """One training without normalised advantages."""
    env = make_vec_env(ENV_ID, n_envs=n_envs, seed=seed)
    model = REINFORCE("MlpPolicy", env, seed=seed, normalize_advantage=False, **settings)
    log = EpisodeLog()
    model.learn(timesteps, callback=log)
    return model, log


def measure_variances(timesteps: int, n_envs: int, seed: int) -> list[Measurement]:
    """Variance of every way's gradient at each stage of a training with the value baseline."""
    model, _ = train(0, n_envs, seed, baseline="value", gamma=1.0)
    measurements = []
    for share in STAGES:
        model.learn(max(0, int(share * timesteps) - model.num_timesteps), reset_num_timesteps=False)
        reached = model.num_timesteps
        gradients, returns = sample_gradients(model)
        for way, samples in gradients.items():
            variance = float(samples.var(dim=0, unbiased=True).sum())
            measurements.append(Measurement(seed, reached, float(np.mean(returns)), way, variance))
        model.num_timesteps = reached
        model.baseline, model.returns = "value", "to_go"
    return measurements


def sample_gradients(model: REINFORCE) -> tuple[dict[str, th.Tensor], list[float]]:
    """Batch gradients of every way, [BATCHES, n_parameters], on the same episodes, and these episodes' returns."""
    gradients: dict[str, list[th.Tensor]] = {way: [] for way in WAYS}
    returns: list[float] = []
    _, callback = model._setup_learn(0, reset_num_timesteps=False)
    env = model.get_env()
    assert env is not None
    for _ in range(BATCHES):
        model.collect_rollouts(env, callback, model.rollout_buffer, n_rollout_steps=1)
        episodes = model.rollout_buffer.episodes()
        episodes = replace(episodes, terminated=np.ones_like(episodes.terminated), last_observations=None)
        returns += np.bincount(episodes.episode, weights=episodes.rewards).tolist()
        observations = obs_as_tensor(episodes.observations, model.device)
        log_probs = model.policy.get_distribution(observations).log_prob(
            th.as_tensor(episodes.actions, device=model.device)
        )
        for way, settings in WAYS.items():
            model.returns, model.baseline = settings["returns"], settings["baseline"]
            weights = model.assign_credit(episodes, observations).weights
            model.policy.zero_grad()
            policy_gradient_loss(log_probs, weights, episodes.n_episodes).backward(retain_graph=True)
            gradients[way].append(flat_gradient(model.policy))
    return {way: th.stack(samples) for way, samples in gradients.items()}, returns


def relative_variances(measurements: list[Measurement]) -> dict[str, np.ndarray]:
    """Each way's variance as a share of the total return's, for the same policy; [n_stages, n_seeds]."""
    table = {(m.way, m.seed, m.timesteps): m.variance for m in measurements}
    points = {}
    for way in WAYS:
        ratios = [m.variance / table["total return", m.seed, m.timesteps] for m in measurements if m.way == way]
        points[way] = np.reshape(ratios, (-1, len(STAGES))).T
    return points


def draw(measurements: list[Measurement], logs: dict[str, list[EpisodeLog]]) -> Figure:
    """Variances on the left, learning curves on the right."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_variances(left, measurements)
    for number, (way, ended) in enumerate(logs.items()):
        if ended:
            draw_runs(right, [(log.timesteps, log.returns) for log in ended], way, color=f"C{number}")
    label_axes(right, f"Learning: median of {len(logs['total return'])} seeds, band from lowest to highest")
    right.legend(frameon=False)
    return figure


def draw_variances(axes: Axes, measurements: list[Measurement]) -> None:
    """Bars at each stage: median over seeds, with a dot for each seed."""
    for number, ratios in enumerate(relative_variances(measurements).values()):
        places = np.arange(len(STAGES)) + 0.2 * (number - 1.5)
        axes.bar(places, np.median(ratios, axis=1), width=0.18, color=f"C{number}", alpha=0.6)
        for place, ratio in zip(places, np.median(ratios, axis=1), strict=True):
            axes.annotate(f"{ratio:.2f}", (place, 0.011), ha="center", fontsize=9)
        axes.plot(np.repeat(places, ratios.shape[1]), ratios.ravel(), ".", color="0.25", markersize=4)
    returns = np.reshape([m.mean_return for m in measurements if m.way == "total return"], (-1, len(STAGES)))
    labels = [f"policy with return {value:.0f}" for value in np.median(returns, axis=0)]
    axes.set_xticks(np.arange(len(STAGES)), labels)
    axes.set(yscale="log", ylim=(0.01, 2), title="Variance of the gradient on the same episodes")
    axes.set_ylabel("relative to the total return's")
    axes.spines[["top", "right"]].set_visible(False)


def show(measurements: list[Measurement], logs: dict[str, list[EpisodeLog]]) -> None:
    """The same as a table."""
    table = Table(title=f"REINFORCE on {ENV_ID}: median over seeds, lowest to highest")
    table.add_column("credit", no_wrap=True)
    for share in STAGES:
        table.add_column(f"variance at {share:.0%}", justify="right")
    table.add_column("mean return in training", justify="right")
    for way, ratios in relative_variances(measurements).items():
        cells = [f"{np.median(stage):.2f}\n{stage.min():.2f} to {stage.max():.2f}" for stage in ratios]
        means = [float(np.mean(log.returns)) for log in logs[way]] or [float("nan")]
        table.add_row(way, *cells, f"{np.median(means):.0f}\n{min(means):.0f} to {max(means):.0f}")
    Console().print(table)


def save(measurements: list[Measurement], path: Path) -> None:
    """Write the measurements as CSV, one row a policy and way."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Measurement._fields)
        writer.writerows(measurements)
