"""Independent Q-learners in the grid games, beside the exact solutions.

Carry: the best that two can do together is the solution of the joint decision process (value iteration). Tag: a game of
two sides has a value (Shapley), and a learned policy is as good as what the best response to it leaves; no policy
without chance can be best there, so the softmax of the learned tables plays, too.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from sb3_ext.envs.multi.shapley import fix_policy, markov_game_values
from sb3_ext.tabular.planning import expected_return, value_iteration
from sb3_ext.zoo.multi_agent.examples import Example
from sb3_ext.zoo.multi_agent.pictures import film
from sb3_ext.zoo.multi_agent.training import train, with_options

N_LOOKS = 25  # exact evaluations during a training
Floats = np.ndarray


class Looks(BaseCallback):
    """Evaluates what all agents have learned, exactly, at equal intervals.

    Args:
        every: Environment steps in between.
        measure: From the agents' tables [S, 5] to numbers by name.
    """

    def __init__(self, every: int, measure: Callable[[list[Floats]], dict[str, float]]) -> None:
        super().__init__()
        self.every, self.measure = max(every, 1), measure
        self.steps: list[int] = []
        self.found: dict[str, list[float]] = {}

    def _on_step(self) -> bool:
        env: Any = self.training_env.unwrapped
        if env.env_steps >= self.every * (len(self.steps) + 1):
            self.look(env.env_steps, [learner.model for learner in env.hub.learners])
        return True

    def look(self, n_steps: int, models: list[Any]) -> None:
        """Evaluates the models as they are."""
        self.steps.append(n_steps)
        for name, value in self.measure([np.asarray(model.policy.q_table) for model in models]).items():
            self.found.setdefault(name, []).append(value)


def greedy(table: Floats) -> Floats:
    """The best action of each state, as probabilities [S, A]."""
    return np.eye(table.shape[1])[table.argmax(axis=1)]


def softmax(table: Floats, temperature: float) -> Floats:
    """Probabilities [S, A] in proportion to exp(Q / temperature)."""
    weights = np.exp((table - table.max(axis=1, keepdims=True)) / temperature)
    return weights / weights.sum(axis=1, keepdims=True)


def measure_carry(env: Any, gamma: float, tables: list[Floats]) -> dict[str, float]:
    """What the greedy policies earn together."""
    first, second = (table.argmax(axis=1) for table in tables)
    return {"greedy": expected_return(env.mdp, first * 5 + second, gamma)}


def measure_tag(env: Any, gamma: float, temperature: float, tables: list[Floats]) -> dict[str, float]:
    """What a best response leaves the chaser, and what it takes from the runner: the value of the game lies between."""
    found = {}
    for name, policy in (("greedy", greedy), ("softmax", partial(softmax, temperature=temperature))):
        chaser, runner = (policy(table) for table in tables)
        worst = value_iteration(fix_policy(env.mdp, row_policy=chaser), gamma)
        best = value_iteration(fix_policy(env.mdp, column_policy=runner), gamma)
        found[f"{name} chaser, best runner"] = -float(env.mdp.start @ worst.values)
        found[f"{name} runner, best chaser"] = float(env.mdp.start @ best.values)
    return found


def run(name: str, example: Example, options: argparse.Namespace) -> int:
    """The example from training to pictures; 130 if interrupted."""
    models = with_options(example.ways[options.way], options.n_timesteps, options.n_envs)
    first = next(iter(models))
    n_steps, gamma = models[first].n_timesteps, models[first].hyperparams["gamma"]
    env = example.make_env()
    uniform = expected_return(env.mdp, np.full((env.mdp.n_states, 25), 1 / 25), gamma)
    temperature = example.settings.get("temperature")
    if temperature is None:
        exact = float(env.mdp.start @ value_iteration(env.mdp, gamma).values)
        measure = partial(measure_carry, env, gamma)
    else:
        exact = float(env.mdp.start @ markov_game_values(env.mdp, n_columns=5, gamma=gamma).values)
        measure = partial(measure_tag, env, gamma, temperature)
    looks = Looks(n_steps // N_LOOKS, measure)
    with tqdm(total=n_steps, unit="step", unit_scale=True, desc=name, mininterval=0.5) as progress:
        trained = train(example, options.way, models, options.seed, progress.update, {first: looks})
    looks.look(looks.steps[-1] if looks.steps else 0, list(trained.models.values()))
    for file in trained.save(options.output):
        print(f"model  {file}")
    print(f"expected discounted return from the start, gamma = {gamma}, computed exactly")
    known = {"random play": uniform, "optimum" if temperature is None else "value of the game": exact}
    for what, value in {**known, **{name: values[-1] for name, values in looks.found.items()}}.items():
        print(f"  {what:32} {value:.3f}")
    draw(looks, exact, f"{name}: independent Q-learning", options.output / "curve.png")
    tables = {agent: np.asarray(model.policy.q_table) for agent, model in trained.models.items()}
    play = {a: greedy(table) if temperature is None else softmax(table, temperature) for a, table in tables.items()}
    film(partial(example.make_env, render_mode="rgb_array"), lambda agent: partial(_choose, play[agent]),
         options.output / "play.gif", seed=options.seed, **example.settings["film"])  # fmt: skip
    print(f"curve  {options.output / 'curve.png'}\nfilm   {options.output / 'play.gif'}")
    return 130 if trained.interrupted else 0


def _choose(policy: Floats, observation: Any, mask: Any, agent: str, generator: np.random.Generator) -> int:
    return int(generator.choice(policy.shape[1], p=policy[int(observation)]))


def draw(looks: Looks, exact: float, title: str, path: Path) -> None:
    """The measures over environment steps, beside the exact solution."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(exact, color="0.4", linestyle="--", linewidth=1, label="exact solution")
    for index, (name, values) in enumerate(looks.found.items()):
        axes.plot(looks.steps, values, color=f"C{index // 2}", linestyle="-" if index % 2 == 0 else ":", label=name)
    axes.set(title=title, xlabel="environment steps", ylabel="discounted return of the first agent")
    axes.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:g}k")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=100)
