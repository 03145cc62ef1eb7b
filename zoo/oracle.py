"""``sb3-ext oracle``: the bias and the variance of every estimator, against the exact answer in a small world.

Nothing here is learned: a policy stays as it is, and every way to estimate a gradient from its episodes is held against
the gradient itself (``sb3_ext.oracle``). Likewise the targets of value methods against T*Q.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_ext.zoo.options import folder, not_negative, positive, share

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

    from sb3_ext.oracle import Measured, Setting
    from sb3_ext.tabular import TabularMDP

EXAMPLE = """examples:
  sb3-ext oracle                              a world of 8 cells, where everything shows; half a minute
  sb3-ext oracle --gamma 0.99 --horizon 50    another discount, another time limit
  sb3-ext oracle --env FrozenLake-v1          any environment that has a table of transitions

columns:
  claims 0   whether it is said to be unbiased
  bias       |mean estimate - exact gradient| / |exact gradient|; without any bias it is about the noise beside it
  sigmas     the largest deviation of a component, in standard errors; above 5 is no accident
  cosine     of the angle between the mean estimate and the exact gradient: does it point the right way?
  variance   of one batch's estimate, relative to the squared length of the exact gradient"""

WORLD = "S.H\n..#\nS.G"  # two starts, a hole, a wall, a goal
LEAST, SLOW = 400, 4  # reused batches need an exact solution for each: fewer of them


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext oracle",
        description="Hold every estimator of a policy gradient against the exact gradient, and value targets against "
        "T*Q.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--env", help="id of an environment with a transition table (default: a world of 8 cells)")
    options.add_argument("--gamma", type=share, default=0.9, help="discount (default: 0.9)")
    options.add_argument("--horizon", type=positive, default=20, help="time limit, steps (default: 20)")
    options.add_argument("--batch-size", type=positive, default=16, help="episodes an estimate (default: 16)")
    options.add_argument("--group-size", type=positive, default=4, help="members of a group (default: 4)")
    options.add_argument("--batches", type=positive, default=4000, help="estimates to average (default: 4000)")
    options.add_argument("--seed", type=not_negative, default=0, help="of policy and episodes (default: 0)")
    options.add_argument("--output", type=folder, default="runs/oracle", help="folder (default: runs/oracle)")
    return options


def main(arguments: list[str]) -> int:
    """Measure, print, draw; 0, or 1 if an estimator that claims to be unbiased is not."""
    options = parser().parse_args(arguments)
    if options.batches < LEAST or options.batch_size % options.group_size or options.group_size < 2:
        reason = f"at least {LEAST} batches are needed, and group-size must be at least 2 and divide batch-size"
        print(f"sb3-ext oracle: {reason}", file=sys.stderr)
        return 2
    try:
        mdp = world(options.env)
    except (ValueError, ImportError) as error:
        print(f"sb3-ext oracle: {error}", file=sys.stderr)
        return 2
    import torch
    from rich.console import Console
    from tqdm import tqdm

    from sb3_ext.oracle import ESTIMATORS, measure

    torch.set_num_threads(1)
    setting = make_setting(mdp, options)
    results = {}
    try:
        for name, estimator in tqdm(ESTIMATORS.items(), unit="estimator", leave=False):
            n_batches = options.batches // (SLOW if estimator.family == "reused batches" else 1)
            results[name] = measure(estimator, setting, n_batches, options.seed)
    except (ValueError, MemoryError) as error:  # gamma = 1 where episodes do not end
        print(f"sb3-ext oracle: {error}", file=sys.stderr)
        return 2
    console = Console()
    console.print(estimators_table(results, options), targets_table(setting), maximisation_table(setting))
    file: Path = options.output / "oracle.png"
    draw(results).savefig(file, dpi=150)
    console.print(f"picture: {os.path.relpath(file)}")
    wrong = [name for name, found in results.items() if ESTIMATORS[name].unbiased and found.sigmas >= 5]
    if wrong:
        console.print(f"[red]biased, but said not to be:[/red] {', '.join(wrong)}")
    return bool(wrong)


def world(env_id: str | None) -> "TabularMDP":
    """The exact model of an environment.

    Raises:
        ValueError: If there is no such environment, or it has no transition table.
    """
    import gymnasium as gym

    import sb3_ext.envs
    from sb3_ext.tabular import TabularMDP

    if env_id is None:
        return sb3_ext.envs.GridWorld(WORLD, slip=0.2, step_reward=-0.1).mdp
    try:
        return TabularMDP.from_env(gym.make(env_id))
    except gym.error.Error as error:
        raise ValueError(error) from None


def make_setting(mdp: "TabularMDP", options: argparse.Namespace) -> "Setting":
    """A policy and a reference, drawn at random."""
    import numpy as np

    from sb3_ext.oracle import Setting
    from sb3_ext.oracle.setting import softmax

    generator = np.random.default_rng(options.seed)
    logits, other = (generator.normal(scale=0.7, size=(mdp.n_states, mdp.n_actions)) for _ in range(2))
    sizes = options.horizon, options.batch_size, options.group_size
    return Setting(mdp, logits, options.gamma, *sizes, reference=softmax(other), learning_rate=0.5)


def estimators_table(results: "dict[str, Measured]", options: argparse.Namespace) -> "Table":
    """A row for each estimator, a section for each family."""
    from rich import box
    from rich.table import Table

    from sb3_ext.oracle import ESTIMATORS

    title = f"estimates from {options.batch_size} episodes, {options.batches} of them (after k steps: a quarter)"
    columns = ("estimator", "claims 0", "bias", "noise", "sigmas", "cosine", "variance")
    table = Table(*columns, title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.columns[0].no_wrap = True
    for column in table.columns[2:]:
        column.justify = "right"
    for family in dict.fromkeys(estimator.family for estimator in ESTIMATORS.values()):
        table.add_section()
        table.add_row(f"[bold]{family}")
        for name in (name for name in results if ESTIMATORS[name].family == family):
            found = results[name]
            verdict = ("yes" if found.sigmas < 5 else "[red]NO[/red]") if ESTIMATORS[name].unbiased else "no"
            numbers = (f"{found.bias:.3f}", f"{found.noise:.3f}", f"{found.sigmas:.1f}", f"{found.cosine:.3f}")
            table.add_row(name, verdict, *numbers, f"{found.variance:.2f}")
    return table


def targets_table(setting: "Setting") -> "Table":
    """Targets of Q-learning and DQN, right and wrong, against T*Q, exact over all transitions."""
    import numpy as np
    import torch as th
    from rich.table import Table

    from sb3_ext.common import double_dqn_targets, dqn_targets
    from sb3_ext.oracle import Transitions, compare_targets
    from sb3_ext.tabular.rules import q_learning_target

    generator = np.random.default_rng(0)
    q, online = (generator.normal(size=setting.logits.shape) for _ in range(2))
    gamma = setting.gamma

    def q_learning(batch: Transitions) -> np.ndarray:
        discounts = np.where(batch.terminated, 0.0, gamma)
        steps = zip(batch.reward, discounts, batch.next_state, strict=True)
        return np.array([q_learning_target(reward, discount, q[state]) for reward, discount, state in steps])

    def dqn(batch: Transitions, ended: np.ndarray | None = None, double: bool = False) -> th.Tensor:
        ended = batch.terminated if ended is None else ended
        rewards, next_values, ends = (th.as_tensor(x) for x in (batch.reward, q[batch.next_state], ended))
        if double:
            return double_dqn_targets(rewards, gamma, next_values, ends, th.as_tensor(online[batch.next_state]))
        return dqn_targets(rewards, gamma, next_values, ends)

    table = Table(
        "target", "mean |error|", "largest", title="targets against T*Q for a table Q drawn at random, exactly"
    )
    rows: dict[str, Callable[[Transitions], np.ndarray | th.Tensor]] = {
        "Q-learning (tabular/rules.py)": q_learning,
        "DQN (common/td_losses.py)": dqn,
        "DQN that takes time limits for ends": lambda batch: dqn(batch, batch.terminated | batch.truncated),
        "DQN that forgets the ends": lambda batch: dqn(batch, np.zeros_like(batch.terminated)),
        "Double DQN with another online network": lambda batch: dqn(batch, double=True),
    }
    for name, target in rows.items():
        found = compare_targets(setting.mdp, target, q, gamma, truncated=True)
        table.add_row(name, f"{found.mean_error:.2g}", f"{found.max_error:.2g}")
    return table


def maximisation_table(setting: "Setting") -> "Table":
    """How much a maximum over noisy values overestimates the target, and what two tables make of it; exactly."""
    from rich.table import Table

    from sb3_ext.oracle import gaussian_maximization_bias, target_bias
    from sb3_ext.tabular import value_iteration

    mdp = setting.mdp
    q_star = value_iteration(mdp, setting.gamma).q_values
    title = "bias of the target where Q* is seen with Gaussian noise, mean over states and actions, exactly"
    table = Table("noise (standard deviation)", "one table: max", "two tables: Double", title=title)
    for noise in (0.01, 0.1, 1.0):
        bias = target_bias(mdp, gaussian_maximization_bias(q_star, noise), setting.gamma)
        table.add_row(f"{noise:g}", f"{bias.single.mean():+.4f}", f"{bias.double.mean():+.4f}")
    return table


def draw(results: "dict[str, Measured]") -> "Figure":
    """Bias and variance side by side, one line an estimator."""
    from matplotlib.figure import Figure

    from sb3_ext.oracle import ESTIMATORS

    families = list(dict.fromkeys(estimator.family for estimator in ESTIMATORS.values()))
    names = [name for family in families for name in results if ESTIMATORS[name].family == family]
    figure = Figure(figsize=(11, 0.24 * len(names) + 1.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, name in enumerate(names):
        found, color = results[name], "C0" if ESTIMATORS[name].unbiased else "C1"
        left.plot([found.noise], [place], "|", color="0.5", markersize=9)
        left.plot([max(found.bias, 1e-4)], [place], "o", color=color, markersize=5)
        right.barh(place, found.variance, color=color, height=0.6)
    left.set(xscale="log", xlabel="bias / |exact gradient|", yticks=range(len(names)), yticklabels=names)
    left.set_title("bias: dots; a grey bar: chance alone", fontsize=10)
    right.set(xscale="log", xlabel="variance of one estimate / |exact gradient|²")
    right.set_title("variance; blue: unbiased, orange: not", fontsize=10)
    left.set_ylim(len(names) - 0.4, -0.6)
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        edges = [sum(ESTIMATORS[name].family in families[:i] for name in names) - 0.5 for i in range(1, len(families))]
        for edge in edges:
            axes.axhline(edge, color="0.8", linewidth=0.8)
    return figure
