"""``TabularPolicy``: a table of action values as an SB3 policy."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule

from sb3_ext.common.exploration import EpsilonGreedy, Exploration
from sb3_ext.common.slots import result_of
from sb3_ext.tabular.agent import KEPT


class TabularPolicy(BasePolicy):
    """Q(s, a) as a table, and the actions that follow from it.

    What the agent keeps for good lies in its ``state_dict``: the table(s), the visits, the clock of the schedules and,
    with Dyna-Q, the model. They stay on the CPU, where the compiled loop shares them.

    Greedy actions (``predict(..., deterministic=True)``) break ties at random, but once and for all, by a number drawn
    for each state, so that the same table acts the same each time, before and after saving. With
    ``deterministic=False`` actions are drawn as in training, at the present point of the exploration's schedule.

    Args:
        observation_space: Discrete, S states; the first may have another number than 0.
        action_space: Discrete, A actions; likewise.
        lr_schedule: Not used; SB3 passes it.
        shapes: Shape of each array that is kept; by default one table of values and one of visits.
        initial_value: Q(s, a) before anything is learned; above all that can be reached it is optimistic.
        exploration: How actions are drawn with ``deterministic=False``.
        seed: Of the random numbers of ``predict``.
    """

    observation_space: spaces.Discrete
    action_space: spaces.Discrete
    lottery: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Discrete,
        action_space: spaces.Discrete,
        lr_schedule: Schedule | None = None,
        shapes: dict[str, tuple[int, ...]] | None = None,
        initial_value: float = 0.0,
        exploration: Exploration | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(observation_space, action_space)
        table = (1, int(observation_space.n), int(action_space.n))
        self.shapes = shapes or {"q_tables": table, "visits": table, "clock": (2,)}
        self.initial_value = initial_value
        self.exploration = exploration or EpsilonGreedy(0.0)
        self._generator = np.random.default_rng(seed)
        for name, shape in self.shapes.items():
            array = th.from_numpy(np.zeros(shape, KEPT[name]))
            if name == "q_tables":
                self.q_tables = th.nn.Parameter(array.fill_(initial_value), requires_grad=False)
            else:
                self.register_buffer(name, array)
        self.register_buffer("lottery", th.from_numpy(self._generator.random(int(observation_space.n))))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        data.pop("normalize_images")
        return data | {"shapes": self.shapes, "initial_value": self.initial_value, "exploration": self.exploration}

    @property
    def q_table(self) -> npt.NDArray[np.float64]:
        """Q(s, a) [S, A], a copy; with Double Q-learning's two tables, their mean."""
        return self.q_tables.numpy().mean(axis=0)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays that are kept, as views: what is written into them is in the ``state_dict``."""
        return {name: getattr(self, name).detach().numpy() for name in self.shapes}

    def action_probabilities(
        self, states: npt.NDArray[np.integer[Any]], deterministic: bool = True
    ) -> npt.NDArray[np.float64]:
        """The probability of each action, [n, A], in states [n] counted from 0.

        Args:
            states: Integers.
            deterministic: Of the greedy action that ``predict`` takes (1 or 0); else of the policy that explores.
        """
        values = self.q_tables.numpy()[:, states].mean(axis=0)
        if deterministic:
            chances = np.zeros_like(values)
            chances[np.arange(len(values)), self._greedy(states, values)] = 1.0
            return chances
        clock, visits = (getattr(self, name).numpy() for name in ("clock", "visits"))
        progress = min(clock[0] / max(clock[1], 1), 1.0)
        arguments = values, visits[:, states].sum(axis=0).astype(float), progress
        return result_of(self.exploration.probabilities, values.shape, *arguments)

    def _greedy(self, states: npt.NDArray[Any], values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The best action in each state; which of several, the state's number decides."""
        is_best = values == values.max(axis=1, keepdims=True)
        place = (self.lottery.numpy()[states] * is_best.sum(axis=1)).astype(np.int64)
        return (is_best.cumsum(axis=1) > place[:, None]).argmax(axis=1)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        assert isinstance(observation, th.Tensor)
        states = observation.numpy().astype(np.int64).reshape(-1) - int(self.observation_space.start)
        wrong = (states < 0) | (states >= self.observation_space.n)
        if wrong.any():
            raise ValueError(
                f"observation {int(observation.reshape(-1)[wrong.argmax()])} is not in {self.observation_space}"
            )
        chances = self.action_probabilities(states, deterministic)
        if deterministic:
            actions = chances.argmax(axis=1)
        else:
            uniform = self._generator.random((len(states), 1))
            actions = np.minimum((uniform >= chances.cumsum(axis=1)).sum(axis=1), chances.shape[1] - 1)
        return th.as_tensor(actions + int(self.action_space.start))

    def load_from_vector(self, vector: np.ndarray) -> None:
        """Fills the table(s) from a vector, as ``parameters_to_vector`` gives it."""
        self.q_tables.copy_(th.as_tensor(vector, dtype=th.float64).reshape(self.q_tables.shape))
