"""Shows each agent's row the state of the whole environment beside its own observation, for a centralised critic.

    env = CentralizedObservation(PettingZooVecEnv(simple_spread_v3.parallel_env, n_envs=8, seed=0))
    model = PPO(CentralizedCriticPolicy, env).learn(500_000)

Nothing of it is needed to act: the model plays on the environment's own observations.
"""

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_ext.multi_agent.centralized_critic import OWN, STATE
from sb3_ext.multi_agent.copies import EnvCopy
from sb3_ext.multi_agent.pettingzoo_vec_env import PettingZooVecEnv


class CentralizedObservation(VecEnvWrapper):
    """Makes of a ``PettingZooVecEnv`` one whose observations are ``{"observation": own, "state": everybody's}``.

    The state is the environment's ``state()`` where it declares a ``state_space``, else the observations of all agents
    joined along their last axis (numbers: a vector of them), zeros for those who are not alive. All rows of a copy see
    the same one. A ``terminal_observation`` holds the state in which the agent ended, not that of the next episode.

    Args:
        env: A ``PettingZooVecEnv``, or SB3's wrappers around one.
        use_state: Whether the state is the environment's own. Default: if it has one.

    Raises:
        TypeError: If there is no ``PettingZooVecEnv`` inside, or observations that cannot be joined.
        ValueError: If the environment is to give a state and has none.

    Example:
        >>> from mpe2 import simple_spread_v3
        >>> env = CentralizedObservation(PettingZooVecEnv(simple_spread_v3.parallel_env, n_envs=2, seed=0))
        >>> {key: rows.shape for key, rows in env.reset().items()}  # 3 agents in 2 copies
        {'observation': (6, 18), 'state': (6, 54)}
    """

    def __init__(self, env: VecEnv, use_state: bool | None = None) -> None:
        if not isinstance(env.unwrapped, PettingZooVecEnv):
            raise TypeError(f"CentralizedObservation wraps a PettingZooVecEnv, got {env}")
        self._copies: list[EnvCopy] = env.unwrapped.copies
        self._n_agents = len(env.unwrapped.agents)
        first = self._copies[0].env
        space = getattr(first, "state_space", None)
        if use_state and space is None:
            raise ValueError(f"{first} has no state_space; leave out use_state=True to join the observations")
        self._use_state = space is not None if use_state is None else use_state
        if self._use_state:
            for copy in self._copies:
                copy.keeps_state = True
        else:
            space = _joined_space(env.observation_space, self._n_agents)
        self._state_space: spaces.Space[Any] = space  # type: ignore[assignment]
        super().__init__(env, spaces.Dict({OWN: env.observation_space, STATE: self._state_space}))

    def reset(self) -> VecEnvObs:
        """Observations, a dictionary of [rows, ...]."""
        rows = self.venv.reset()
        return self._with_state(rows, self._states(rows))

    def step_wait(self) -> VecEnvStepReturn:
        """As the wrapped environment's, with the state in observations and terminal observations."""
        rows: Any
        rows, rewards, dones, infos = self.venv.step_wait()
        states = self._states(rows)
        if dones.any():
            for index, copy in enumerate(self._copies):
                of_copy = slice(index * self._n_agents, (index + 1) * self._n_agents)
                self._add_last_state(copy, infos[of_copy], rows[of_copy], states[index])
        return self._with_state(rows, states), rewards, dones, infos

    def _add_last_state(self, copy: EnvCopy, infos: list[dict[str, Any]], rows: Any, state: Any) -> None:
        if not any("terminal_observation" in info for info in infos):
            return
        last = [info.get("terminal_observation", row) for info, row in zip(infos, rows, strict=True)]
        if not self._use_state:
            state = self._joined(np.stack(last))
        elif copy.restarted:
            state = np.asarray(copy.last_state, self._state_space.dtype)
        for info in infos:
            if "terminal_observation" in info:
                info["terminal_observation"] = {OWN: info["terminal_observation"], STATE: np.array(state)}

    def _states(self, rows: Any) -> np.ndarray:
        """Of each copy at present, [n_envs, ...]."""
        if self._use_state:
            return np.stack([np.asarray(copy.env.state(), self._state_space.dtype) for copy in self._copies])
        return np.stack([self._joined(of_copy) for of_copy in np.split(rows, len(self._copies))])

    def _joined(self, rows: np.ndarray) -> np.ndarray:
        """The observations of one copy's agents [n_agents, ...] as one."""
        return rows if rows.ndim == 1 else np.concatenate(rows, axis=-1)

    def _with_state(self, rows: Any, states: np.ndarray) -> dict[str, np.ndarray]:
        return {OWN: rows, STATE: np.repeat(states, self._n_agents, axis=0)}


def _joined_space(space: spaces.Space[Any], n_agents: int) -> spaces.Space[Any]:
    if isinstance(space, spaces.Box) and space.shape:
        low, high = (np.concatenate([bound] * n_agents, axis=-1) for bound in (space.low, space.high))
        return spaces.Box(low, high, dtype=space.dtype)
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return spaces.MultiDiscrete([space.n] * n_agents)
    raise TypeError(f"the observations of all agents can be joined if they are Box or Discrete, got {space}")
