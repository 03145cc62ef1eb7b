"""What SFT and DPO share: SB3 algorithms that learn from texts that are there, instead of writing their own."""

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from tqdm import tqdm

from sb3_ext.rlhf.policies import CausalLMPolicy

SelfOfflineAlgorithm = TypeVar("SelfOfflineAlgorithm", bound="OfflineAlgorithm")


class OfflineAlgorithm(BaseAlgorithm):
    """Base class: batches of examples, a gradient step each. Its arguments are those of the subclasses.

    A timestep is a token of a response that was learned from, as PPO's is one that it wrote. ``env`` says which texts
    there are; nothing is played in it, but callbacks may.
    """

    policy: CausalLMPolicy

    def __init__(
        self,
        policy: type[CausalLMPolicy],
        env: GymEnv | str | None,
        *,
        batch_size: int,
        max_grad_norm: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, support_multi_env=True, supported_action_spaces=(spaces.Discrete,), **kwargs)
        self.batch_size = batch_size
        self.max_grad_norm = max_grad_norm

    def _setup_model(self) -> None:
        if not isinstance(self.batch_size, int | np.integer) or self.batch_size < 1:
            raise ValueError(f"batch_size must be a whole number, at least 1, got {self.batch_size}")
        if not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be above 0 (math.inf does not clip), got {self.max_grad_norm}")
        if not hasattr(self, "observation_space"):
            raise ValueError(f"{type(self).__name__} needs an env, which says which texts there are")
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        seed = None if self.seed is None else [self.seed, self.num_timesteps]
        self.shuffling = np.random.default_rng(seed)
        self.policy = self.policy_class(  # type: ignore[assignment]
            self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs
        )
        self.policy = self.policy.to(self.device)

    # ---- What subclasses say ------------------------------------------------------------------------------------

    def _check_data(self) -> None:
        """Refuses data that cannot be learned from."""
        raise NotImplementedError

    def _example_lengths(self) -> NDArray[np.integer]:
        """Tokens of responses in each example, [n]."""
        raise NotImplementedError

    def _loss(self, rows: NDArray[np.integer]) -> tuple[th.Tensor, dict[str, float]]:
        """The loss of some examples, and what is to be logged of them."""
        raise NotImplementedError

    # ---- Learn --------------------------------------------------------------------------------------------------

    @property
    def epoch_timesteps(self) -> int:
        """Timesteps in which every example is seen once."""
        self._check_data()
        return int(self._example_lengths().sum())

    def _batches(self) -> Iterator[NDArray[np.integer]]:
        """Rows of one batch after the other, each example once an epoch."""
        n = len(self._example_lengths())
        while True:
            order = self.shuffling.permutation(n)
            yield from np.split(order, range(self.batch_size, n, self.batch_size))

    def learn(
        self: SelfOfflineAlgorithm,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 10,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfOfflineAlgorithm:
        """Learn from at least ``total_timesteps`` tokens; callbacks and logs as in SB3's ``learn``, once a batch.

        Raises:
            ValueError: if ``total_timesteps`` is negative, or the data cannot be learned from.
        """
        if not total_timesteps >= 0:
            raise ValueError(f"total_timesteps must be 0 or more, got {total_timesteps}")
        self._check_data()
        if self.env is None:
            raise ValueError(f"{type(self).__name__} has no env, which callbacks may need: set_env(env)")
        name = type(self).__name__ if tb_log_name is None else tb_log_name
        total_timesteps, callback = self._setup_learn(total_timesteps, callback, reset_num_timesteps, name, False)
        callback.on_training_start(locals(), globals())
        lengths, batches = self._example_lengths(), self._batches()
        with tqdm(total=total_timesteps - self.num_timesteps, unit="token", unit_scale=True,
                  disable=not progress_bar, leave=False) as bar:  # fmt: skip
            while self.num_timesteps < total_timesteps:
                rows = next(batches)
                self._train_on(rows)
                n_tokens = int(lengths[rows].sum())
                self.num_timesteps += n_tokens
                bar.update(n_tokens)
                callback.update_locals(locals())
                if not callback.on_step():
                    break
                self._update_current_progress_remaining(min(self.num_timesteps, total_timesteps), total_timesteps)
                if log_interval is not None and self._n_updates % log_interval == 0:
                    self._dump_logs()
        callback.on_training_end()
        return self

    def _train_on(self, rows: NDArray[np.integer]) -> None:
        """A gradient step on some examples."""
        self._update_learning_rate(self.policy.optimizer)
        self.policy.set_training_mode(True)
        loss, logged = self._loss(rows)
        self.policy.optimizer.zero_grad()
        loss.backward()
        th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm, error_if_nonfinite=True)
        self.policy.optimizer.step()
        self.policy.set_training_mode(False)
        self._n_updates += 1
        for key, value in {"loss": loss.item(), **logged}.items():
            self.logger.record_mean(f"train/{key}", value)

    def _dump_logs(self) -> None:
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(step=self.num_timesteps)

    # ---- Save ---------------------------------------------------------------------------------------------------

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "shuffling"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []
