"""``--train``, in the worker: the same training with the learner's function and with ours, for some seeds.

Budgets are equal and small: a curve that rises is what is to be seen, not the best that the algorithm can do.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sb3_ext.zoo.check.exercise import Function

TELL_EVERY = 250  # environment steps
CARTPOLE, CLIFF, FOUR_ROOMS = "CartPole-v1", "sb3_ext.envs:sb3_ext/CliffWalking-v0", "sb3_ext.envs:sb3_ext/FourRooms-v0"


@dataclass(frozen=True)
class Training:
    """What is trained to see what a function does.

    Attributes:
        algo: short name of the algorithm (``sb3-ext algos``).
        env_id: the task.
        n_timesteps: environment steps.
        settings: arguments of the algorithm.
        slot: from the learner's function to the arguments of its slot.
        n_envs: parallel environments.
        env_settings: from the learner's function, or None for ours, to the arguments of ``make_vec_env``.
    """

    algo: str
    env_id: str
    n_timesteps: int
    settings: dict[str, Any] = field(default_factory=dict)
    slot: Callable[[Function], dict[str, Any]] = lambda function: {}
    n_envs: int = 8
    env_settings: Callable[[Function | None], dict[str, Any]] = lambda function: {}


class OwnChances:
    """An exploration by the learner's ``epsilon_greedy``."""

    def __init__(self, function: Function, epsilon: float) -> None:
        self.function, self.epsilon = function, epsilon

    def probabilities(self, q_values: Any, counts: Any, progress: float) -> Any:
        """Of each action; of one state [A] or of several [n, A]."""
        if np.ndim(q_values) == 1:
            return self.function(q_values, self.epsilon)
        return np.stack([np.asarray(self.function(row, self.epsilon)) for row in q_values])


def _by_target(target: Function) -> dict[str, Any]:
    """Q-learning by the learner's ``td_target``."""

    def update(q: float, reward: float, values: Any, terminated: bool, learning_rate: float, gamma: float) -> float:
        return q + learning_rate * (float(target(reward, gamma, float(values.max()), terminated)) - q)

    return {"update": update}


def _shaped(function: Function | None) -> dict[str, Any]:
    """Four rooms with a potential, the learner's or minus the steps to the goal.

    A potential may be multiplied, and any number added to it: here it goes from 0.82 to 1, as the discounted return
    does from the start to the goal. Much lower, and Q values that begin at 0 would be too pessimistic to explore. The
    way to the goal takes 20 steps, and an episode at most 50: by chance it is hardly ever found.
    """
    from functools import partial

    from sb3_ext.envs import PotentialShaping
    from sb3_ext.zoo.check.exercises.potentials import kind_of, values_of, world

    free, steps, _ = world()
    values = -steps[free] if function is None else values_of(function, kind_of(function))
    potential = np.zeros(len(steps))
    potential[free] = 1.0 - 0.18 * (values.max() - values) / (np.ptp(values) or 1.0)
    return {"wrapper_class": partial(PotentialShaping, potential=potential, gamma=0.99), "backend": "dummy",
            "env_kwargs": {"max_episode_steps": 50}}  # fmt: skip


def _exactly(n_arguments: int, name: str) -> Callable[[Function], dict[str, Any]]:
    """A slot whose function is called with so many arguments, whatever else it could take."""
    if n_arguments == 4:
        return lambda function: {name: lambda a, b, c, d: function(a, b, c, d)}
    return lambda function: {name: lambda a, b, c, d, e: function(a, b, c, d, e)}


PPO = {"n_steps": 32, "batch_size": 256, "learning_rate": 1e-3, "gae_lambda": 0.8, "gamma": 0.98}
DQN = {
    "learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 20_000, "learning_starts": 1000, "train_freq": 256,
    "gradient_steps": 96, "target_update_interval": 10, "exploration_fraction": 0.16, "exploration_final_eps": 0.04,
}  # fmt: skip
Q_LEARNING = {"learning_rate": 0.5, "exploration": 0.1, "gamma": 0.99, "initial_value": 0.0, "engine": "step"}
TRAININGS = {
    "discounted_returns": Training("reinforce", CARTPOLE, 40_000, slot=lambda own: {"advantage": own}),
    "td_target": Training("q_learning", CLIFF, 10_000, Q_LEARNING, _by_target, 1),
    "epsilon_greedy": Training("q_learning", CLIFF, 10_000, Q_LEARNING,
                               lambda own: {"exploration": OwnChances(own, 0.1)}, 1),
    "q_learning_update": Training("q_learning", CLIFF, 10_000, Q_LEARNING, lambda own: {"update": own}, 1),
    "dqn_targets": Training("dqn_scratch", CARTPOLE, 12_000, DQN, _exactly(4, "target"), 1),
    "double_dqn_targets": Training("dqn_scratch", CARTPOLE, 12_000, DQN, _exactly(5, "target"), 1),
    "policy_gradient_loss": Training("a2c_scratch", CARTPOLE, 40_000, slot=lambda own: {"loss": own}),
    "gae": Training("ppo_scratch", CARTPOLE, 30_000, PPO, lambda own: {"advantage": own}),
    "clipped_surrogate": Training("ppo_scratch", CARTPOLE, 30_000, PPO, lambda own: {"loss": own}),
    "potential": Training("q_learning", FOUR_ROOMS, 10_000, Q_LEARNING, n_envs=1, env_settings=_shaped),
    "group_advantages": Training("grpo", CARTPOLE, 30_000, slot=lambda own: {"advantage": own}),
}  # fmt: skip
"""Name of the function -> what to train. Those that are missing have no slot of their own."""


def train_both(name: str, function: Function, request: dict[str, Any], tell: Callable[..., None]) -> None:
    """Train with the learner's function and with ours, and tell each run and how far it is."""
    for seed in range(request["seeds"]):
        for whose, own in (("yours", function), ("ours", None)):
            tell("run", whose=whose, seed=seed)
            try:
                timesteps, returns = train(name, own, seed, lambda n: tell("progress", steps=n))
            except Exception as error:
                from sb3_ext.zoo.check.grading import raised

                tell("stopped", whose=whose, seed=seed, reason=raised(error, request["file"])[1])
                return
            tell("trained", whose=whose, seed=seed, timesteps=timesteps, returns=returns)


def train(
    name: str, function: Function | None, seed: int, progress: Callable[[int], None] = lambda n: None
) -> tuple[list[int], list[float]]:
    """One training.

    Args:
        name: of the function.
        function: the learner's; None for ours.
        seed: of environments and model.
        progress: is told of further environment steps.

    Returns:
        When each training episode ended, in environment steps, and its return.
    """
    import torch

    from sb3_ext.algos import load
    from sb3_ext.common import double_dqn_targets
    from sb3_ext.vec_env import make_vec_env
    from sb3_ext.zoo.training import EpisodeLog

    class Log(EpisodeLog):
        told = 0

        def _on_step(self) -> bool:
            if self.num_timesteps - self.told >= TELL_EVERY:
                progress(self.num_timesteps - self.told)
                self.told = self.num_timesteps
            return super()._on_step()

    torch.set_num_threads(1)
    what = TRAININGS[name]
    settings = {**what.settings, **(what.slot(function) if function is not None else {})}
    if name == "double_dqn_targets" and function is None:
        settings["target"] = double_dqn_targets
    env = make_vec_env(what.env_id, n_envs=what.n_envs, seed=seed, **what.env_settings(function))
    log = Log()
    try:
        policy = "TabularPolicy" if what.algo == "q_learning" else "MlpPolicy"
        load(what.algo)(policy, env, seed=seed, device="cpu", **settings).learn(what.n_timesteps, callback=log)
    finally:
        env.close()
    return log.timesteps, log.returns
