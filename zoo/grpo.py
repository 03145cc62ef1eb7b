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
    import numpy as np
    from rich.table import Table

    from sb3_ext.zoo.figures import Result
    from sb3_ext.zoo.training import Recipe

EXAMPLE = """sections:
  compare    GRPO with matched and with unmatched groups, REINFORCE with the leave-one-out mean, SB3's PPO on five tasks
  goal       CartPole-v1 with GRPO's defaults, 500k steps
  ablate     CartPole-v1: group size, scaling, aggregation, supervision, ratio, KL
  variance   of the gradient, matched against unmatched, at the same number of episodes
  speed      steps in the loss per second, against SB3's PPO

Everything takes most of an hour on two cores.

examples:
  sb3-ext grpo                      all of them; again after Ctrl-C: what is missing
  sb3-ext grpo compare --tasks FourRooms CartPole-v1"""

SECTIONS = ("compare", "goal", "ablate", "variance", "speed")
FOUR_ROOMS = "sb3_ext.envs:sb3_ext/FourRooms-v0"
GAMMA, SHORTEST = 0.99, 20  # four rooms' optimum is gamma^(SHORTEST - 1)
SMALL = {"learning_rate": 3e-3, "normalize_advantage": True, "max_grad_norm": 0.5}  # REINFORCE's yml off CartPole


class Task(NamedTuple):
    """An environment, and how long everybody learns in it."""

    env_id: str
    n_timesteps: int
    n_seeds: int
    reinforce: dict[str, Any]
    """arguments of REINFORCE; GRPO's are in its hyperparameter file, PPO's in RL Zoo's"""


TASKS = {
    "CartPole-v1": Task("CartPole-v1", 200_000, 10, {}),
    "Acrobot-v1": Task("Acrobot-v1", 300_000, 10, SMALL),
    "FourRooms": Task(FOUR_ROOMS, 300_000, 10, SMALL),
    "LunarLander-v3": Task("LunarLander-v3", 500_000, 5, SMALL),
    "InvertedPendulum-v5": Task("InvertedPendulum-v5", 300_000, 5, SMALL),
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
VARIANCE_TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "CartPole-v1": ("CartPole-v1", {}),
    "four rooms from anywhere, 100 steps": (FOUR_ROOMS, {"random_start": True, "max_episode_steps": 100}),
}
N_BATCHES, N_TRAINED = 40, 30_000


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
            console.print(table(section, [job for job in rows if job.figure.startswith(section)], results))
    if not finished:
        console.print("interrupted; what is finished is kept: the same command goes on there")
        return 130
    if "variance" in chosen:
        console.print(variance_table(options.seeds or 5))
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
    from sb3_ext.zoo.training import read_recipe

    if method == "PPO":
        entry = PPO_OF.get(task.env_id, task.env_id)
        tuned = shaping.RECIPE if task.env_id == FOUR_ROOMS else read_recipe("ppo", entry)
        return replace(tuned, n_timesteps=task.n_timesteps)
    own = replace(read_recipe("grpo", task.env_id.partition(":")[2] or task.env_id), n_timesteps=task.n_timesteps)
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
    from sb3_ext.zoo.training import evaluate, train

    started = time.perf_counter()
    model, env = train(job.recipe, job.env_id, job.seed, callback=StepCounter())
    seconds = time.perf_counter() - started
    if job.env_id == FOUR_ROOMS:
        returns, lengths = evaluate_policy(model, env, 16, return_episode_rewards=True)
        shares = [r * GAMMA ** (n - SHORTEST) for r, n in zip(returns, lengths, strict=True)]  # type: ignore[arg-type]
        value = 100 * sum(shares) / len(shares)
    else:
        value = float(evaluate(model, job.env_id, 100, job.seed).mean())
    env.close()
    settings = json.dumps(job.recipe.settings(), sort_keys=True)
    return Result(job.figure, job.env_id, job.seed, value, seconds, settings)


def table(section: str, jobs: list[Job], results: "dict[tuple[str, int], Result]") -> "Table":
    """Interquartile mean with its 95 % confidence interval, worst and best seed, seconds of a training."""
    import numpy as np
    from rich.table import Table

    lines = Table("task", "method", "steps", "IQM (95 %)", "lowest to highest", "seeds", "seconds", title=section)
    for figure in dict.fromkeys(job.figure for job in jobs):
        row = [job for job in jobs if job.figure == figure]
        done = [results[job.figure, job.seed] for job in row if is_done(job, results)]
        if not done:
            continue
        values = np.array([result.value for result in done])
        _, task, method = figure.split(":")
        lines.add_row(task, method, f"{row[0].recipe.n_timesteps:,}", interval(values),
                      f"{values.min():.1f} to {values.max():.1f}", f"{len(done)} of {len(row)}",
                      f"{np.median([result.seconds for result in done]):.1f}")  # fmt: skip
    return lines


def interval(values: "np.ndarray") -> str:
    """The interquartile mean over seeds and its percentile bootstrap interval (Agarwal et al. 2021)."""
    import numpy as np
    from scipy.stats import bootstrap, trim_mean

    middle = trim_mean(values, 0.25)
    if len(values) < 2 or np.ptp(values) == 0:
        return f"{middle:.1f}"

    def iqm(sample: "np.ndarray", axis: int) -> "np.ndarray":
        return trim_mean(sample, 0.25, axis=axis)

    found = bootstrap((values,), iqm, method="percentile", n_resamples=5000, rng=0).confidence_interval
    return f"{middle:.1f} ({found.low:.1f} to {found.high:.1f})"


# ---- The gradient's variance ----------------------------------------------------------------------------------------


def variance_table(n_seeds: int) -> "Table":
    """Matched against unmatched groups: how far the gradients of whole batches scatter, for the same policies."""
    import numpy as np
    from rich.table import Table
    from tqdm import tqdm

    lines = Table("task", "policy", "matched / unmatched (per seed)", "median",
                  title=f"variance of the gradient of 16 episodes, {N_BATCHES} batches each")  # fmt: skip
    for name in tqdm(VARIANCE_TASKS, unit="task"):
        for n_trained in (0, N_TRAINED):
            ratios = [variance_ratio(name, n_trained, seed) for seed in range(n_seeds)]
            policy = f"after {n_trained:,} steps"
            lines.add_row(name, policy, " ".join(f"{ratio:.2f}" for ratio in ratios), f"{np.median(ratios):.2f}")
    return lines


def variance_ratio(name: str, n_trained: int, seed: int) -> float:
    """Variance of the gradient with matched groups over that with unmatched ones, for one policy."""
    env_id, env_kwargs = VARIANCE_TASKS[name]
    from sb3_ext import GRPO
    from sb3_ext.vec_env import make_vec_env

    env = make_vec_env(env_id, 16, seed=seed, env_kwargs=dict(env_kwargs))
    # one gradient step without scaling, unbiased: what scatters is the gradient, not what it is divided by
    plain: dict[str, Any] = {"scale_rewards": "none", "leave_one_out": True, "loss_type": "dr_grpo", "seed": seed}
    trained = GRPO("MlpPolicy", env, **plain).learn(n_trained)
    variances = []
    for start in ("seed", "unmatched"):
        model = GRPO("MlpPolicy", env, group_start=start, **plain)
        model.policy.load_state_dict(trained.policy.state_dict())
        variances.append(gradient_scatter(model))
    env.close()
    return variances[0] / variances[1]


def gradient_scatter(model: Any) -> float:
    """Sum over parameters of the variance of the gradients of ``N_BATCHES`` batches."""
    import torch

    from sb3_ext.common import flat_gradient

    gradients = []
    _, callback = model._setup_learn(1)
    for _ in range(N_BATCHES):
        model.collect_rollouts(model.env, callback, model.rollout_buffer, 1)
        batch = model.prepare(model.rollout_buffer.episodes())
        model.backward(batch, batch.kept, {})
        gradients.append(flat_gradient(model.policy))
    return torch.stack(gradients).var(dim=0).sum().item()


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

    from sb3_ext.zoo.training import Recipe, train

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
