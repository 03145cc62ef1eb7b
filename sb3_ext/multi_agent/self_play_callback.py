"""Callback that makes self-play of a training: snapshots, ratings, and their curves in the logger."""

from collections import deque

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize, unwrap_vec_wrapper

from sb3_ext.multi_agent.opponent_pool import OpponentPool


class SelfPlayCallback(BaseCallback):
    """Adds snapshots of the learner to the pool and rates the learner by its training games.

    Every episode that ends in a :class:`SelfPlayEnv` is a game for Elo (see :mod:`sb3_ext.multi_agent.elo`), played as
    in training: both sides draw their actions. With more than two players it is one game against each of the others.
    The pool's folder holds all that is needed to go on, so a resumed training takes a new callback on the same folder.

    Logs after each rollout: ``self_play/elo``, ``self_play/win_rate``, ``self_play/draw_rate``,
    ``self_play/loss_rate`` (of the last ``window`` games), ``self_play/pool_size`` and ``self_play/games`` (since the
    training began).

    Args:
        pool: Where the environments draw their opponents from, or another pool object on the same folder.
        every: Time steps between snapshots. The first one is taken before training, unless the pool has some.
        k: The largest change of the rating by one game, in points.
        window: Games that the rates average over.
        verbose: As in SB3.

    Raises:
        ValueError: At the start of training with VecNormalize'd observations, which opponents do not see.
    """

    def __init__(
        self, pool: OpponentPool, every: int = 50_000, k: float = 16.0, window: int = 200, verbose: int = 0
    ) -> None:
        super().__init__(verbose)
        if every < 1:
            raise ValueError(f"there are at least 1 time steps between snapshots, got every={every}")
        self.pool = pool
        self.every = every
        self.k = k
        self.games = 0
        self._results: deque[int] = deque(maxlen=window)
        self._unrecorded: list[tuple[str, int]] = []
        self._next_snapshot = 0

    def _on_training_start(self) -> None:
        normalizer = unwrap_vec_wrapper(self.training_env, VecNormalize)
        if isinstance(normalizer, VecNormalize) and normalizer.norm_obs:
            raise ValueError("opponents see observations that are not normalised: use VecNormalize(norm_obs=False)")
        if not self.pool.snapshots:
            self.pool.add(self.model)
        self._next_snapshot = self.num_timesteps + self.every

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if game := info.get("self_play"):
                self.games += 1
                self._results.append(game["result"])
                self._unrecorded += [(name, game["results"][agent]) for agent, name in game["opponents"].items()]
        if self.num_timesteps >= self._next_snapshot:
            self._record()
            name = self.pool.add(self.model)
            self._next_snapshot = self.num_timesteps + self.every
            if self.verbose:
                print(f"self-play: {name} at {self.num_timesteps} steps, Elo {self.pool.elo:.0f}")
        return True

    def _on_rollout_end(self) -> None:
        self._record()
        self.logger.record("self_play/elo", self.pool.elo)
        self.logger.record("self_play/pool_size", len(self.pool.snapshots))
        self.logger.record("self_play/games", self.games)
        if self._results:
            results = np.array(self._results)
            for result, name in ((1, "win_rate"), (0, "draw_rate"), (-1, "loss_rate")):
                self.logger.record(f"self_play/{name}", float(np.mean(results == result)))

    def _on_training_end(self) -> None:
        self._record()

    def _record(self) -> None:
        """Writes the games since the last time."""
        if self._unrecorded:
            self.pool.record(self._unrecorded, self.k)
            self._unrecorded = []
