"""Independent policy gradients in games of one table: where do they go from a biased start, and what does theory say?

Each player is an actor-critic with one logit for each action. With small steps, and an exact critic, the logits follow

    d theta_i(a) / dt = pi_i(a) [ u_i(a, pi_-i) - u_i(pi) ]

(the policy gradient of a softmax, Sutton & Barto, 2nd ed., section 13.1), which is drawn beside what was learned. From
it theory says: in the prisoner's dilemma both come to defect; in the stag hunt the start decides; in
rock-paper-scissors they run in circles round 1/3 and never arrive there, while their average does.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from sb3_ext.envs.multi.equilibria import mixed_equilibrium, pure_equilibria, zero_sum_equilibrium
from sb3_ext.envs.multi.matrix_game import GAMES
from sb3_ext.zoo.multi_agent.examples import Example
from sb3_ext.zoo.multi_agent.training import train, with_options

Floats = np.ndarray
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])  # of the triangle of three probabilities


class Trajectory(BaseCallback):
    """Starts both players at given strategies and notes how these change with every update.

    Args:
        start: Probabilities of the players' actions [2, A].
    """

    def __init__(self, start: Floats) -> None:
        super().__init__()
        self.start = start
        self.strategies: list[Floats] = []

    def _on_training_start(self) -> None:
        for model, probabilities in zip(self._models(), self.start, strict=True):
            with torch.no_grad():
                model.policy.action_net.weight.zero_()
                model.policy.action_net.bias.copy_(torch.log(torch.as_tensor(probabilities, dtype=torch.float32)))

    def _on_rollout_start(self) -> None:
        self.strategies.append(np.stack([strategy(model) for model in self._models()]))

    def _on_step(self) -> bool:
        return True

    def _models(self) -> list[Any]:
        return [learner.model for learner in self.training_env.unwrapped.hub.learners]  # type: ignore[attr-defined]


def strategy(model: Any) -> Floats:
    """Probabilities of a player's actions [A]."""
    with torch.no_grad():
        distribution = model.policy.get_distribution(model.policy.obs_to_tensor(np.array([0]))[0]).distribution
    return distribution.probs[0].double().numpy()


def theory(payoffs: Floats, start: Floats, n_steps: int, step: float = 0.01) -> Floats:
    """The flow of the policy gradient from a start [2, A], in small steps, [n_steps + 1, 2, A]."""
    logits, path = np.log(start), [start]
    for _ in range(n_steps):
        first, second = path[-1]
        worth = np.stack([payoffs[0] @ second, first @ payoffs[1]])  # of each action against the other's strategy
        strategies = path[-1]
        logits = logits + step * strategies * (worth - (strategies * worth).sum(axis=1, keepdims=True))
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        path.append(weights / weights.sum(axis=1, keepdims=True))
    return np.array(path)


def run(name: str, example: Example, options: argparse.Namespace) -> int:
    """Trains from each start, draws; 130 if interrupted."""
    models = with_options(example.ways[options.way], options.n_timesteps, options.n_envs)
    first, game = next(iter(models)), GAMES[name]
    starts = np.array(example.settings["starts"])
    paths, interrupted = [], False
    with tqdm(total=models[first].n_timesteps * len(starts), unit="step", unit_scale=True, desc=name) as progress:
        for start in starts:
            trajectory = Trajectory(start)
            trained = train(example, options.way, models, options.seed, progress.update, {first: trajectory})
            paths.append(np.array(trajectory.strategies))
            if interrupted := trained.interrupted:
                break
    for file in trained.save(options.output):
        print(f"model  {file} (of the last start)")
    print(report(name, paths))
    step = 2 * models[first].hyperparams["learning_rate"]  # weight and bias of a logit both move
    flows = [theory(game.payoffs, path[0], 10 * len(path), step / 10) for path in paths]
    draw(name, paths, flows, options.output / "trajectories.png")
    print(f"drawn  {options.output / 'trajectories.png'}")
    return 130 if interrupted else 0


def report(name: str, paths: list[Floats]) -> str:
    """Where each trajectory began and ended, its average, and the equilibria."""
    game = GAMES[name]
    lines = [game.about, f"strategies ({', '.join(game.actions)}) of the first and the second player:"]
    for path in paths:
        for what, strategies in (("start", path[0]), ("end", path[-1]), ("average", path.mean(axis=0))):
            lines.append(f"  {what:8} {strategies[0].round(3)}  {strategies[1].round(3)}")
    pure = [" and ".join(game.actions[action] for action in actions) for actions in pure_equilibria(game.payoffs)]
    lines.append("pure equilibria: " + (", ".join(pure) or "none"))
    mixed: Any = mixed_equilibrium(game.payoffs) if len(game.actions) == 2 else zero_sum_equilibrium(game.first)[1:]
    if mixed is not None:
        lines.append(f"mixed equilibrium: {mixed[0].round(3)}  {mixed[1].round(3)}")
    return "\n".join(lines)


def draw(name: str, paths: list[Floats], flows: list[Floats], file: Path) -> None:
    """Two actions: a square of the players' probabilities of the first one; three: a triangle for each player."""
    game, figure = GAMES[name], Figure(figsize=(5.5, 5), layout="constrained")
    if len(game.actions) == 2:
        axes = figure.subplots()
        for index, (path, flow) in enumerate(zip(paths, flows, strict=True)):
            _trace(axes, path[:, :, 0], flow[:, :, 0], f"C{index}", index == 0)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", title=name.replace("_", " "),
                 xlabel=f"first player: probability of {game.actions[0]}",
                 ylabel=f"second player: probability of {game.actions[0]}")  # fmt: skip
        for actions in pure_equilibria(game.payoffs):
            axes.plot(*(1.0 - np.array(actions)), "k*", markersize=14, label="pure equilibrium", zorder=3)
        mixed = mixed_equilibrium(game.payoffs)
        if mixed is not None:
            axes.plot(mixed[0][0], mixed[1][0], "kx", markersize=9, label="mixed equilibrium", zorder=3)
        _legend(axes)
    else:
        figure.set_size_inches(10, 5)
        for player, axes in enumerate(figure.subplots(1, 2)):
            axes.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color="0.7", linewidth=1)
            for index, (path, flow) in enumerate(zip(paths, flows, strict=True)):
                _trace(axes, path[:, player] @ CORNERS, flow[:, player] @ CORNERS, f"C{index}", index == 0)
                axes.plot(*(path[:, player].mean(axis=0) @ CORNERS), "D", color="k", label="average", zorder=3)
            axes.plot(*CORNERS.mean(axis=0), "kx", markersize=9, label="equilibrium", zorder=3)
            for corner, action in zip(CORNERS, game.actions, strict=True):
                axes.annotate(action, corner, ha="center", va="bottom" if corner[1] else "top")
            axes.set(aspect="equal", title=f"{name.replace('_', ' ')}: {('first', 'second')[player]} player")
            axes.axis("off")
        _legend(axes)
    figure.savefig(file, dpi=100)


def _trace(axes: Any, path: Floats, flow: Floats, color: str, is_first: bool) -> None:
    """What was learned, and the flow of theory, both [n, 2]."""
    axes.plot(*flow.T, color=color, linewidth=1, linestyle="--", label="theory" if is_first else None)
    axes.plot(*path.T, color=color, linewidth=1.5, alpha=0.7, label="learned" if is_first else None)
    axes.plot(*path[0], "o", color=color, label="start" if is_first else None)


def _legend(axes: Any) -> None:
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(handles.values(), handles.keys(), frameon=False, fontsize=8)
