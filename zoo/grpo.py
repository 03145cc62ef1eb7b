"""``sb3-ext grpo``: does it pay to match the starts of a group? GRPO beside REINFORCE and PPO, its parts one by one.

What is finished is kept: the same command goes on where it was interrupted.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sb3_ext.zoo.options import folder, one_of, positive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from rich.table import Table

    from sb3_ext.zoo.figures import Result
    from sb3_ext.zoo.recipes import Recipe

EXAMPLE = """sections:
  compare    GRPO with matched and with unmatched groups, REINFORCE with the leave-one-out mean, SB3's PPO on five tasks
  goal       CartPole-v1 with GRPO's defaults, 500k steps
  ablate     CartPole-v1: group size, scaling, aggregation, supervision, ratio, KL
  variance   of the gradient, matched against unmatched, at the same number of episodes (half an hour)
  speed      steps in the loss per second, against SB3's PPO

Everything takes about an hour and a half on two cores.

examples:
  sb3-ext grpo                      all of them; again after Ctrl-C: what is missing
  sb3-ext grpo compare --tasks FourRooms CartPole-v1
  sb3-ext grpo variance --seeds 3   as in the README"""

INTERRUPTED = "interrupted; what is finished is kept: the same command goes on there"
SECTIONS = ("compare", "goal", "ablate", "variance", "speed")
FOUR_ROOMS = "sb3_ext.envs:sb3_ext/FourRooms-v0"
GAMMA, SHORTEST = 0.99, 20  # four rooms' optimum is gamma^(SHORTEST - 1)
COMMON = {"transition_noise": "common"}
SMALL = {"learning_rate": 3e-3, "normalize_advantage": True, "max_grad_norm": 0.5}  # REINFORCE's yml off CartPole


class Task(NamedTuple):
    """An environment, and how long everybody learns in it."""

    env_id: str
    n_timesteps: int
    n_seeds: int
    reinforce: dict[str, Any]
    """arguments of REINFORCE; PPO's are in RL Zoo's files"""
    grpo: dict[str, Any] = {}
    """arguments of GRPO: its defaults, but where EnvPool, which is the fastest, has one kind of noise only"""
    normalize: dict[str, Any] | None = None
    """of all but PPO: arguments of ``VecNormalize``"""


TASKS = {
    "CartPole-v1": Task("CartPole-v1", 200_000, 10, {}),
    "Acrobot-v1": Task("Acrobot-v1", 300_000, 10, SMALL, COMMON),
    "FourRooms": Task(FOUR_ROOMS, 300_000, 10, SMALL),
    "LunarLander-v3": Task("LunarLander-v3", 500_000, 5, SMALL, COMMON),
    "InvertedPendulum-v5": Task("InvertedPendulum-v5", 300_000, 5, SMALL, {}, {"norm_reward": False}),
}
METHODS = ("GRPO, matched", "GRPO, unmatched", "REINFORCE, leave-one-out", "PPO")
ABLATIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    **{
        f"group size {size}{', unmatched' if start else ''}": {"group_size": size, "n_groups": 16 // size, **start}
        for size in (2, 4, 8, 16)
        for start in ({}, {"group_start": "unmatched"})
        if (size, start) != (8, {})
    },
    "scaling: batch": {"scale_rewards": "batch"},
    "scaling: none": {"scale_rewards": "none"},
    "scaling: none, leave-one-out": {"scale_rewards": "none", "leave_one_out": True},
    "aggregation: grpo": {"loss_type": "grpo"},
    "aggregation: dr_grpo": {"loss_type": "dr_grpo"},
    "loss: cispo": {"loss_type": "cispo"},
    "ratio: episode": {"ratio": "episode"},
    "supervision: process": {"supervision": "process"},
    "supervision: process, leave-one-out": {"supervision": "process", "leave_one_out": True},
    "KL in the loss, 0.01": {"kl_coef": 0.01},
    "KL in the reward, 0.01": {"kl_coef": 0.01, "kl_in": "reward"},
}
N_ABLATION_STEPS = 100_000
VARIANCE_TASKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "CartPole-v1": ("CartPole-v1", {}, "auto"),
    "four rooms from anywhere, 100 steps": (FOUR_ROOMS, {"random_start": True, "max_episode_steps": 100}, "auto"),
    "LunarLander-v3": ("LunarLander-v3", {}, "dummy"),  # EnvPool's has no independent transition noise
}
"""Environment, its arguments, and backend."""
PLAIN: dict[str, Any] = {"scale_rewards": "none", "leave_one_out": True, "loss_type": "dr_grpo"}
"""One gradient step without scaling, unbiased: what scatters is the gradient, not what it is divided by."""
N_BATCHES, N_TRAINED = 200, 30_000


class Job(NamedTuple):
    """One seed of one row."""

    figure: str
    env_id: str
    recipe: "Recipe"
    seed: int


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext grpo",
        description="Compare GRPO with other ways of doing without a critic, and with PPO, at equal environment steps.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("section", nargs="*", type=one_of(SECTIONS), help="what to measure (default: everything)")
    options.add_argument("--tasks", nargs="+", type=one_of(TASKS), default=list(TASKS), help="of compare")
    options.add_argument("--seeds", type=positive, help="of each row (default: 10; 5 on the slow tasks)")
    options.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="processes (default: all CPUs)")
    options.add_argument("--output", type=folder, default="runs/grpo", help="folder (default: runs/grpo)")
    return options


def main(arguments: list[str]) -> int:
    """Measure what is missing, then report; 130 if interrupted."""
    options = parser().parse_args(arguments)
    import torch
    from rich.console import Console

    torch.set_num_threads(1)
    console, chosen = Console(), options.section or SECTIONS
    rows = [job for job in all_jobs(options) if job.figure.partition(":")[0] in chosen]
    finished = learn(rows, options)
    from sb3_ext.zoo.figures import read

    results = read(options.output / "grpo.csv")
    for section in ("compare", "goal", "ablate"):
        if section in chosen:
            own = [job for job in rows if job.figure.startswith(section)]
            console.print(table(section, own, results))
            image = None if section == "goal" else draw(section, own, results, options.output)
            if image is not None:
                console.print(f"picture  {image}", highlight=False, soft_wrap=True)
    if not finished:
        console.print(INTERRUPTED)
        return 130
    if "variance" in chosen:
        scatters = all_scatters(options.seeds or 5)
        finished = compare_scatters(scatters, options)
        console.print(variance_table(scatters, read(options.output / "grpo.csv")))
    if not finished:
        console.print(INTERRUPTED)
        return 130
    if "speed" in chosen:
        console.print(speed_table(options.seeds or 5))
    return 0


# ---- Learning -------------------------------------------------------------------------------------------------------


def all_jobs(options: argparse.Namespace) -> list[Job]:
    """Every seed of every row of compare, goal and ablate."""
    rows: list[tuple[str, str, Recipe, int]] = []
    for name in options.tasks:
        task = TASKS[name]
        rows += [(f"compare:{name}:{method}", task.env_id, recipe(task, method), task.n_seeds) for method in METHODS]
    cartpole = recipe(TASKS["CartPole-v1"], METHODS[0])
    rows.append(("goal:CartPole-v1:defaults", "CartPole-v1", replace(cartpole, n_timesteps=500_000), 10))
    for name, changed in ABLATIONS.items():
        hyperparams = {**cartpole.hyperparams, **changed}
        ablated = replace(cartpole, n_timesteps=N_ABLATION_STEPS, hyperparams=hyperparams)
        rows.append((f"ablate:CartPole-v1:{name}", "CartPole-v1", ablated, 10))
    return [Job(figure, env_id, how, seed)
            for figure, env_id, how, n_seeds in rows for seed in range(options.seeds or n_seeds)]  # fmt: skip


def recipe(task: Task, method: str) -> "Recipe":
    """How a method learns a task: GRPO's defaults on 16 environments, PPO as RL Zoo tuned it."""
    from sb3_ext.zoo import shaping
    from sb3_ext.zoo.recipes import Recipe, read_recipe

    if method == "PPO":
        entry = PPO_OF.get(task.env_id, task.env_id)
        tuned = shaping.RECIPE if task.env_id == FOUR_ROOMS else read_recipe("ppo", entry)
        return replace(tuned, n_timesteps=task.n_timesteps)
    own = Recipe("grpo", task.n_timesteps, 16, task.normalize, {"policy": "MlpPolicy", **task.grpo})
    if method == "GRPO, matched":
        return own
    if method == "GRPO, unmatched":
        return replace(own, hyperparams={**own.hyperparams, "group_start": "unmatched"})
    return replace(own, algo="reinforce", hyperparams={"policy": "MlpPolicy", "n_episodes": 16, **task.reinforce})


PPO_OF = {"InvertedPendulum-v5": "InvertedPendulum-v2"}  # the entry that RL Zoo has for it


def learn(jobs: list[Job], options: argparse.Namespace) -> bool:
    """Train what is missing, and keep it; False if interrupted."""
    from sb3_ext.zoo.figures import read, write
    from sb3_ext.zoo.parallel import run_parallel

    file = options.output / "grpo.csv"
    results = read(file)
    missing = [job for job in jobs if not is_done(job, results)]
    try:
        for result in run_parallel(measure, missing, options.jobs, sum(job.recipe.n_timesteps for job in missing)):
            results[result.figure, result.seed] = result
            write(file, results)
    except KeyboardInterrupt:
        return False
    return True


def is_done(job: Job, results: "dict[tuple[str, int], Result]") -> bool:
    """Whether there is a result with these very settings."""
    result = results.get((job.figure, job.seed))
    return result is not None and result.settings == json.dumps(job.recipe.settings(), sort_keys=True)


def measure(job: Job) -> "Result":
    """Train one seed; its value is the mean return of 100 greedy episodes, in four rooms a share of the optimum."""
    from stable_baselines3.common.evaluation import evaluate_policy

    from sb3_ext.zoo.figures import Result
    from sb3_ext.zoo.parallel import StepCounter
    from sb3_ext.zoo.training import SPACING, evaluate, train

    started = time.perf_counter()
    model, env = train(job.recipe, job.env_id, job.seed, callback=StepCounter())
    seconds = time.perf_counter() - started
    if job.env_id == FOUR_ROOMS:
        returns, lengths = evaluate_policy(model, env, 16, return_episode_rewards=True)
        shares = [r * GAMMA ** (n - SHORTEST) for r, n in zip(returns, lengths, strict=True)]  # type: ignore[arg-type]
        value = 100 * sum(shares) / len(shares)
    else:
        value = float(evaluate(model, job.env_id, 100, SPACING * job.seed).mean())
    env.close()
    settings = json.dumps(job.recipe.settings(), sort_keys=True)
    return Result(job.figure, job.env_id, job.seed, value, seconds, settings)


def table(section: str, jobs: list[Job], results: "dict[tuple[str, int], Result]") -> "Table":
    """Interquartile mean with its 95 % confidence interval, worst and best seed, seconds of a training."""
    import numpy as np
    from rich.table import Table

    lines = Table("task", "method", "steps", "IQM (95 %)", "lowest to highest", "seeds", "seconds", title=section)
    for (task, method), (row, done) in rows_of(jobs, results).items():
        values = np.array([result.value for result in done])
        lines.add_row(task, method, f"{row[0].recipe.n_timesteps:,}", interval(values),
                      f"{values.min():.1f} to {values.max():.1f}", f"{len(done)} of {len(row)}",
                      f"{np.median([result.seconds for result in done]):.1f}")  # fmt: skip
    return lines


def rows_of(
    jobs: list[Job], results: "dict[tuple[str, int], Result]"
) -> "dict[tuple[str, str], tuple[list[Job], list[Result]]]":
    """(task, method) -> all its seeds, and the results of those that are done; without rows that have none."""
    rows: dict[tuple[str, str], tuple[list[Job], list[Result]]] = {}
    for job in jobs:
        _, task, method = job.figure.split(":", 2)
        row, done = rows.setdefault((task, method), ([], []))
        row.append(job)
        if is_done(job, results):
            done.append(results[job.figure, job.seed])
    return {key: row for key, row in rows.items() if row[1]}


def interval(values: "np.ndarray") -> str:
    """The interquartile mean over seeds and its interval, as text."""
    middle, low, high = interquartile_mean(values)
    return f"{middle:.1f}" if low == high else f"{middle:.1f} ({low:.1f} to {high:.1f})"


def interquartile_mean(values: "np.ndarray") -> tuple[float, float, float]:
    """The interquartile mean over seeds and its 95 % percentile bootstrap interval (Agarwal et al. 2021)."""
    import numpy as np
    from scipy.stats import bootstrap, trim_mean

    middle = float(trim_mean(values, 0.25))
    if len(values) < 2 or np.ptp(values) == 0:
        return middle, middle, middle

    def iqm(sample: "np.ndarray", axis: int) -> "np.ndarray":
        return trim_mean(sample, 0.25, axis=axis)

    found = bootstrap((values,), iqm, method="percentile", n_resamples=5000, rng=0).confidence_interval
    return middle, float(found.low), float(found.high)


def draw(section: str, jobs: list[Job], results: "dict[tuple[str, int], Result]", output: "Path") -> "Path | None":
    """A panel for each task: a dot for the interquartile mean of each method, with its interval, and a tick a seed.

    Returns:
        The PNG file; None if there is no result yet.
    """
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = rows_of(jobs, results)
    if not rows:
        return None
    tasks = list(dict.fromkeys(task for task, _ in rows))
    methods = list(dict.fromkeys(method for _, method in rows))
    width = 2.4 + (2.3 if len(tasks) > 1 else 4.6) * len(tasks)
    figure = Figure(figsize=(width, 1.6 + 0.3 * len(methods)), layout="constrained")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        for height, method in enumerate(methods):
            if (task, method) not in rows:
                continue
            values = np.array([result.value for result in rows[task, method][1]])
            middle, low, high = interquartile_mean(values)
            color = f"C{methods.index(method)}" if section == "compare" else "C0"
            axes.plot(values, np.full(len(values), height), "|", color=color, alpha=0.35, markersize=7)
            axes.plot([low, high], [height, height], color=color, linewidth=2, solid_capstyle="round")
            axes.plot(middle, height, "o", color=color, markersize=6)
        n_timesteps, n_seeds = rows_steps(rows, task)
        unit = "% of the optimum" if task == "FourRooms" else "return"
        axes.set(title=f"{task}\n{n_timesteps // 1000:,}k steps, {n_seeds} seeds", xlabel=unit)
        axes.title.set_fontsize(10)
        axes.margins(x=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(3 if len(tasks) > 1 else 6, steps=[1, 2, 5, 10]))
        if axes.dataLim.width == 0:  # all the same
            axes.set_xticks([axes.dataLim.x0])
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    figure.supxlabel("a dot: interquartile mean; a line: its 95 % bootstrap interval; a tick: a seed", fontsize=9)
    file = output / f"{section}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    return file


def rows_steps(rows: "dict[tuple[str, str], tuple[list[Job], list[Result]]]", task: str) -> tuple[int, str]:
    """Steps of a task's trainings, and of how many seeds there are results."""
    own = [row for (name, _), row in rows.items() if name == task]
    numbers = sorted({len(done) for _, done in own})
    return own[0][0][0].recipe.n_timesteps, f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"


# ---- The gradient's variance ----------------------------------------------------------------------------------------


class Scatter(NamedTuple):
    """One policy whose gradients are compared: matched groups against unmatched ones."""

    task: str
    n_trained: int
    """environment steps that it has learned from"""
    seed: int
    n_batches: int
    """of either kind"""

    @property
    def figure(self) -> str:
        """Its rows in grpo.csv, less ":ratio", ":low" and ":high"."""
        return f"variance:{self.task}:{self.n_trained}"

    def settings(self) -> str:
        """What a result depends on, apart from code and seed."""
        return json.dumps([*VARIANCE_TASKS[self.task], PLAIN, self.n_trained, self.n_batches])


def all_scatters(n_seeds: int) -> list[Scatter]:
    """Every policy to be compared, without the tasks whose package is missing."""
    from sb3_ext.zoo.figures import installed

    tasks = [name for name in VARIANCE_TASKS if name != "LunarLander-v3" or installed("Box2D")]
    return [Scatter(name, n_trained, seed, N_BATCHES)
            for name in tasks for n_trained in (0, N_TRAINED) for seed in range(n_seeds)]  # fmt: skip


def compare_scatters(jobs: list[Scatter], options: argparse.Namespace) -> bool:
    """Measure what is missing, and keep it; False if interrupted."""
    from sb3_ext.zoo.figures import read, write
    from sb3_ext.zoo.parallel import run_parallel

    file = options.output / "grpo.csv"
    results = read(file)
    missing = [job for job in jobs if scatter_of(job, results) is None]
    n_batches = sum(2 * job.n_batches for job in missing)
    try:
        for rows in run_parallel(measure_scatter, missing, options.jobs, n_batches, "batch"):
            results |= {(row.figure, row.seed): row for row in rows}
            write(file, results)
    except KeyboardInterrupt:
        return False
    return True


def scatter_of(job: Scatter, results: "dict[tuple[str, int], Result]") -> list[float] | None:
    """Ratio, low and high end of its interval, if they were measured with these very settings."""
    rows = [results.get((f"{job.figure}:{name}", job.seed)) for name in ("ratio", "low", "high")]
    kept = [row.value for row in rows if row is not None and row.settings == job.settings()]
    return kept if len(kept) == len(rows) else None


def variance_table(jobs: list[Scatter], results: "dict[tuple[str, int], Result]") -> "Table":
    """Matched against unmatched groups: how far the gradients of whole batches scatter, for the same policies."""
    import numpy as np
    from rich.table import Column, Table

    lines = Table("task", "trained", Column("ratio (95 %) of each seed", no_wrap=True), "geometric mean",
                  title="variance of the gradient of 16 episodes, matched over unmatched groups; "
                        f"{N_BATCHES} batches each")  # fmt: skip
    for task, n_trained in dict.fromkeys((job.task, job.n_trained) for job in jobs):
        row = [scatter_of(job, results) for job in jobs if (job.task, job.n_trained) == (task, n_trained)]
        found = [values for values in row if values is not None]
        if found:
            shown = "\n".join(f"{ratio:.2f} ({low:.2f} to {high:.2f})" for ratio, low, high in found)
            mean = np.exp(np.mean(np.log([ratio for ratio, *_ in found])))
            lines.add_row(task, f"{n_trained:,}", shown, f"{mean:.2f}")
    return lines


def measure_scatter(job: Scatter) -> "list[Result]":
    """Variance of the gradient with matched groups over that with unmatched ones, for one policy."""
    env_id, env_kwargs, backend = VARIANCE_TASKS[job.task]
    from sb3_ext import GRPO
    from sb3_ext.vec_env import make_vec_env
    from sb3_ext.zoo.figures import Result

    started = time.perf_counter()
    env = make_vec_env(env_id, 16, seed=job.seed, env_kwargs=dict(env_kwargs), backend=backend)
    trained = GRPO("MlpPolicy", env, seed=job.seed, **PLAIN).learn(job.n_trained)
    products = []
    for start in ("seed", "unmatched"):
        model = GRPO("MlpPolicy", env, group_start=start, seed=job.seed, **PLAIN)
        model.policy.load_state_dict(trained.policy.state_dict())
        products.append(gradient_products(model, job.n_batches))
    env.close()
    seconds = time.perf_counter() - started
    values = zip(("ratio", "low", "high"), scatter_ratio(products[0], products[1]), strict=True)
    return [Result(f"{job.figure}:{name}", env_id, job.seed, value, seconds, job.settings()) for name, value in values]


def gradient_products(model: Any, n_batches: int) -> "np.ndarray":
    """The inner products of the gradients of that many batches, [n_batches, n_batches]: all that variances need."""
    import torch

    from sb3_ext.common import flat_gradient
    from sb3_ext.zoo.parallel import count

    gradients = []
    _, callback = model._setup_learn(1)
    for _ in range(n_batches):
        model.collect_rollouts(model.env, callback, model.rollout_buffer, 1)
        batch = model.prepare(model.rollout_buffer.episodes())
        model.backward(batch, batch.kept, {})
        gradients.append(flat_gradient(model.policy).double())
        count(1)
    stacked = torch.stack(gradients)
    centred = stacked - stacked.mean(dim=0)  # for accuracy; variances do not change
    return (centred @ centred.T).numpy()


def scatter_ratio(ours: "np.ndarray", theirs: "np.ndarray", n_resamples: int = 5000) -> tuple[float, float, float]:
    """Variance of our gradients over that of theirs, both summed over parameters, with a 95 % bootstrap interval.

    The batches of either kind are drawn again with replacement, independently.

    Args:
        ours: inner products of the gradients, [n, n].
        theirs: likewise, [m, m].
        n_resamples: how often they are drawn again.

    Returns:
        The ratio, and the low and high end of its percentile interval.
    """
    import numpy as np

    rng = np.random.default_rng(0)

    def total_variance(products: "np.ndarray", counts: "np.ndarray") -> "np.ndarray":
        """Of batches that count so often, [..., n]: sum_i c_i |g_i|^2 / (n - 1) - |sum_i c_i g_i|^2 / n / (n - 1)."""
        n = len(products)
        squared_sum = np.einsum("...i,ij,...j->...", counts, products, counts, optimize=True)
        return (counts @ products.diagonal() - squared_sum / n) / (n - 1)

    def ratios(draw: "Callable[[int], np.ndarray]") -> "np.ndarray":
        return total_variance(ours, draw(len(ours))) / total_variance(theirs, draw(len(theirs)))

    ratio = float(ratios(np.ones))
    resampled = ratios(lambda n: rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(float))
    low, high = np.percentile(resampled, [2.5, 97.5])
    return ratio, float(low), float(high)


# ---- Speed ----------------------------------------------------------------------------------------------------------


def speed_table(n_repeats: int) -> "Table":
    """Steps that reach the loss, per second of a whole training: same environments, network and number of epochs."""
    import numpy as np
    from rich.table import Table

    speeds: dict[str, list[float]] = {"GRPO": [], "PPO, batch_size=64": [], "PPO, whole rollouts as batches": []}
    for seed in range(n_repeats):
        speeds["GRPO"].append(steps_per_second("grpo", {"n_epochs": 4}, seed))
        ppo = {"n_epochs": 4, "n_steps": 256}
        speeds["PPO, batch_size=64"].append(steps_per_second("ppo", {**ppo, "batch_size": 64}, seed))
        whole = steps_per_second("ppo", {**ppo, "batch_size": 16 * 256}, seed)
        speeds["PPO, whole rollouts as batches"].append(whole)
    lines = Table("CartPole-v1, 16 environments", "steps/s", "GRPO is times as fast", title="speed")
    for name, values in speeds.items():
        ratios = np.array(speeds["GRPO"]) / values
        spread = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        lines.add_row(name, f"{np.median(values):,.0f}", spread)
    return lines


def steps_per_second(algo: str, hyperparams: dict[str, Any], seed: int) -> float:
    """Steps in the loss per second of a training of 100,000 steps."""
    from stable_baselines3.common.callbacks import BaseCallback

    from sb3_ext.zoo.recipes import Recipe
    from sb3_ext.zoo.training import train

    class Counter(BaseCallback):
        masked = 0

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            self.masked += self.locals.get("n_masked", 0)

    counter, started = Counter(), time.perf_counter()
    model, env = train(Recipe(algo, 100_000, 16, None, {"policy": "MlpPolicy", **hyperparams}), "CartPole-v1", seed,
                       callback=counter)  # fmt: skip
    seconds = time.perf_counter() - started
    env.close()
    return (model.num_timesteps - counter.masked) / seconds
