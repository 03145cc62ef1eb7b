"""``sb3-ext tune`` for the examples that one model learns: importing this registers them as ids.

    sb3-ext tune --gym-packages sb3_ext.zoo.multi_agent.tuning --env multi/simple_spread-v0 --algo ppo

Behind an id is a ``PettingZooVecEnv``: ``n_envs`` copies, a row for each agent. So a time step is an agent's, and the
return that is searched for is an agent's mean. ``sb3-ext multi-agent NAME --tune N`` fills in the rest.
"""

import argparse
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import yaml
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.multi_agent import PettingZooVecEnv
from sb3_ext.zoo.multi_agent.examples import EXAMPLES, Example
from sb3_ext.zoo.multi_agent.training import with_options


class Rows:
    """What Gymnasium knows of an example: no environment for one agent, but ``make_vec_env`` finds the rows.

    Args:
        name: Of the example.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, **kwargs: Any) -> gym.Env[Any, Any]:
        """Refuses.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"multi/{self.name}-v0 has several agents; make it with sb3_ext.vec_env.make_vec_env")

    def sb3_vec_env(self, **kwargs: Any) -> Callable[..., VecEnv]:
        """Makes the rows from a number of copies; the example's own time limit holds."""

        def make(n_envs: int, **settings: Any) -> VecEnv:
            return PettingZooVecEnv(EXAMPLES[self.name].make_env, n_envs)

        return make


TUNABLE = [name for name, e in EXAMPLES.items() if "shared" in e.ways and not e.settings.get("deaths")]
for _name in TUNABLE:
    if f"multi/{_name}-v0" not in gym.registry:
        gym.register(f"multi/{_name}-v0", entry_point=Rows(_name))


def run(name: str, example: Example, options: argparse.Namespace) -> int:
    """Calls ``sb3-ext tune`` with the example's hyperparameters for what is not searched.

    Raises:
        ValueError: For an example that is not learned by one model of agents that live to the end.
    """
    from sb3_ext.zoo import tune

    if name not in TUNABLE:
        raise ValueError(f"--tune is for what one model learns from agents that live to the end: {', '.join(TUNABLE)}")
    (recipe,) = with_options(example.ways["shared"], options.n_timesteps, options.n_envs).values()
    env = example.make_env()
    entry = {**recipe.entry(), "n_timesteps": recipe.n_timesteps * len(env.possible_agents)}
    env.close()
    file = options.output / "hyperparams.yml"
    file.write_text(yaml.safe_dump({f"multi/{name}-v0": entry}))
    return tune.main(
        ["--algo", recipe.algo, "--env", f"multi/{name}-v0", "--gym-packages", __name__, "--conf-file", str(file),
         "--n-trials", str(options.tune), "--workers", str(options.jobs), "--n-seeds", str(options.seeds),
         "--seed", str(options.seed), "--output", str(options.output / "tune")]
    )  # fmt: skip
