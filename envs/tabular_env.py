"""Any ``TabularMDP`` as a Gymnasium environment."""

from bisect import bisect_right
from typing import Any, SupportsInt

import gymnasium as gym
import numpy as np

from sb3_ext.tabular.mdp import TabularMDP


class TabularEnv(gym.Env[Any, Any]):
    """Plays a finite Markov decision process.

    ### Action space
    ``Discrete(A)``.

    ### Observation space
    ``Discrete(S)``: the state.

    ### Starting state
    Drawn from ``mdp.start``.

    ### Rewards
    Those of the outcome that is drawn.

    ### Episode end
    ``terminated`` where the outcome says so; it never truncates (``gymnasium.wrappers.TimeLimit`` does).

    Args:
        mdp: The process.

    Example:
        >>> mdp = TabularMDP.from_arrays(next_state=[[1], [1]], reward=[[-1.0], [0.0]], terminated=[[True], [True]])
        >>> env = TabularEnv(mdp)
        >>> env.reset(seed=0)[0] in (0, 1), env.step(0)[2]
        (True, True)
    """

    metadata: dict[str, Any] = {"render_modes": []}
    plays_its_model = "pcg64"  # a compiled loop may play in its place: one number of np_random a start and a step

    def __init__(self, mdp: TabularMDP) -> None:
        self.mdp = mdp
        self.observation_space = gym.spaces.Discrete(mdp.n_states)
        self.action_space = gym.spaces.Discrete(mdp.n_actions)
        self.state: int | None = None
        last = mdp.n_outcomes - 1 - np.argmax(mdp.probability[..., ::-1] > 0, axis=-1)  # the last possible outcome
        cumulative = np.cumsum(mdp.probability, axis=-1)
        beyond = np.arange(mdp.n_outcomes) >= last[..., None]
        cumulative[beyond] = 1.0  # rounding must not let a number fall beyond it
        self._thresholds: list[list[list[float]]] = cumulative.tolist()
        self._next_state: list[list[list[int]]] = mdp.next_state.tolist()
        self._reward: list[list[list[float]]] = mdp.reward.tolist()
        self._terminated: list[list[list[bool]]] = mdp.terminated.tolist()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Draws a first state."""
        super().reset(seed=seed)
        self.state = int(self.mdp.sample_start(self.np_random))
        return self.state, {}

    def step(self, action: SupportsInt) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Draws an outcome.

        Raises:
            ValueError: If the action is none.
            RuntimeError: If called before ``reset``.
        """
        if self.state is None:
            raise RuntimeError("call reset() before step()")
        move = int(action)
        if not 0 <= move < self.mdp.n_actions:
            raise ValueError(f"the actions are 0 to {self.mdp.n_actions - 1}, got {move}")
        state = self.state
        outcome = bisect_right(self._thresholds[state][move], self.np_random.random())
        self.state = self._next_state[state][move][outcome]
        return self.state, self._reward[state][move][outcome], self._terminated[state][move][outcome], False, {}

    def clone_state(self) -> int:
        """The state, for ``restore_state``.

        Raises:
            RuntimeError: If called before ``reset``.
        """
        if self.state is None:
            raise RuntimeError("call reset() before clone_state()")
        return self.state

    def restore_state(self, state: int) -> None:
        """Goes to a state; the random numbers go on.

        Raises:
            ValueError: If it is none.
        """
        if not 0 <= state < self.mdp.n_states:
            raise ValueError(f"the states are 0 to {self.mdp.n_states - 1}, got {state}")
        self.state = int(state)
