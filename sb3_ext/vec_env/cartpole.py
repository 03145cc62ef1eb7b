"""CartPole for many environments at once, with the reset on the *same* step that SB3 expects.

Gymnasium's ``CartPoleVectorEnv`` computes the dynamics of all carts as one batch, but it resets a finished one on the
*next* step, and all carts share one random generator. Here a finished cart is reset at once, its last observation is
reported in ``infos["final_obs"]``, and every cart owns a generator that is seeded, and drawn from, exactly as
``gym.make("CartPole-v1")`` does it: the batch starts from the very states that ``n`` single environments start from,
through automatic resets too. Only the few carts that finished are touched in Python.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.envs.classic_control import utils
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode

START_LOW, START_HIGH = -0.05, 0.05  # every state variable starts uniformly between these (m, m/s, rad, rad/s)


class SameStepCartPole(CartPoleVectorEnv):
    """Gymnasium's vectorised CartPole with same-step resets and one random generator per environment.

    Args:
        num_envs: Number of carts, at least 1.
        max_episode_steps: Time limit in steps, at least 1 (CartPole-v1: 500).
        render_mode: ``None`` or ``"rgb_array"``.
        sutton_barto_reward: Reward 0 on each step and -1 at the fall, instead of 1 on each step.

    Raises:
        ValueError: If ``num_envs``, ``max_episode_steps`` or ``render_mode`` is out of range.
    """

    state: Any  # float64 [4, num_envs], None before the first reset
    metadata = {**CartPoleVectorEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int = 500,
        render_mode: str | None = None,
        sutton_barto_reward: bool = False,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {num_envs}")
        if max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be at least 1, got {max_episode_steps}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"SameStepCartPole renders 'rgb_array' only, got render_mode={render_mode!r}")
        super().__init__(num_envs, max_episode_steps, render_mode, sutton_barto_reward)
        self._generators = [seeding.np_random(None)[0] for _ in range(num_envs)]

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Starts every cart anew.

        Args:
            seed: An integer ``s`` gives cart ``i`` the seed ``s + i``; a list gives each cart its own seed; where it is
                None, the cart's generator goes on.
            options: ``low`` and ``high`` of the start states, for this reset only, as in Gymnasium.

        Returns:
            Observations [num_envs, 4] and an empty info.
        """
        seeds = _seed_list(seed, self.num_envs)
        for index, cart_seed in enumerate(seeds):
            if cart_seed is not None:
                self._generators[index] = seeding.np_random(cart_seed)[0]
        low, high = utils.maybe_parse_reset_bounds(options, START_LOW, START_HIGH)
        starts = [generator.uniform(low=low, high=high, size=(4,)) for generator in self._generators]
        self.state = np.array(starts).T.copy()  # [4, num_envs]
        self.steps = np.zeros(self.num_envs, dtype=np.int32)
        self.prev_done = np.zeros(self.num_envs, dtype=np.bool_)
        return self._observations(), {}

    def step(
        self, action: npt.NDArray[np.integer[Any]]
    ) -> tuple[
        npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.bool_], dict[str, Any]
    ]:
        """Steps every cart and resets at once those that finished.

        Args:
            action: Integers [num_envs], 0 pushes to the left and 1 to the right.

        Returns:
            Observations [num_envs, 4] (a finished cart's is the first of its next episode), rewards, terminated,
            truncated [num_envs], and infos with ``final_obs`` [num_envs] where a cart finished.

        Raises:
            ValueError: If an action is not 0 or 1, or there is not one integer for each cart.
            RuntimeError: If called before ``reset``.
        """
        action = np.asarray(action)
        _check_actions(action, self.num_envs)
        if self.state is None:
            raise RuntimeError("call reset() before step()")
        observations, rewards, terminated, truncated, infos = super().step(action)
        self.prev_done.fill(False)  # nothing is left for Gymnasium's own reset, on the next step
        observations = np.ascontiguousarray(observations)
        (finished,) = np.nonzero(terminated | truncated)
        if len(finished):
            infos = self._restart(finished, observations)
        return observations, rewards, terminated, truncated, infos

    def reseed(self, seeds: Sequence[int]) -> None:
        """Gives each cart a generator of its own, as its seed at a reset would, and leaves the carts where they are.

        Raises:
            ValueError: If there is not one seed for each cart.
        """
        self._generators = [seeding.np_random(seed)[0] for seed in _seed_list(seeds, self.num_envs)]

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """One value for each cart: its own ``state`` [4] and ``steps``, else the attribute that all carts share.

        Raises:
            AttributeError: If there is no such attribute.
        """
        if name == "state" and self.state is not None:
            return tuple(self.state.T.copy())
        if name == "steps":
            return tuple(self.steps.tolist())
        return (getattr(self, name),) * self.num_envs

    def _restart(self, finished: npt.NDArray[np.intp], observations: npt.NDArray[np.float32]) -> dict[str, Any]:
        """Draws new start states for the finished carts, in place, and returns their last observations as infos."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        mask = np.zeros(self.num_envs, dtype=np.bool_)
        mask[finished] = True
        starts = np.empty((len(finished), 4))
        last_observations = observations[finished]
        for row, index in enumerate(finished.tolist()):
            final_obs[index] = last_observations[row]
            starts[row] = self._generators[index].random(4)
        starts = START_LOW + (START_HIGH - START_LOW) * starts  # what Generator.uniform computes, one by one
        self.state[:, finished] = starts.T
        self.steps[finished] = 0
        observations[finished] = starts
        return {"final_obs": final_obs, "_final_obs": mask}

    def _observations(self) -> npt.NDArray[np.float32]:
        return np.ascontiguousarray(self.state.T, dtype=np.float32)


def _seed_list(seed: int | Sequence[int | None] | None, num_envs: int) -> list[int | None]:
    """Spells out a seed as one per environment: ``s`` means ``s, s + 1, ...``."""
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + index for index in range(num_envs)]
    if len(seed) != num_envs:
        raise ValueError(f"got {len(seed)} seeds for {num_envs} environments")
    return list(seed)


def _check_actions(action: npt.NDArray[np.integer[Any]], num_envs: int) -> None:
    """Refuses anything but one 0 or 1 for each cart (cheaper and clearer than Gymnasium's assertion)."""
    if action.dtype.kind not in "iu" or action.shape != (num_envs,):
        raise ValueError(f"CartPole needs an integer array of {num_envs} actions, got {action!r}")
    if action.min() < 0 or action.max() > 1:
        raise ValueError(f"CartPole's actions are 0 and 1, got {sorted(set(action.tolist()) - {0, 1})}")
