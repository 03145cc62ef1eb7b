"""What ``A2CScratch`` and ``PPOScratch`` share: SB3's way of playing a rollout, and a slot for the advantages.

    A_t = delta_t + gamma lambda A_{t+1} within an episode                      Schulman et al. 2016, eq. 16
    delta_t = R_{t+1} + gamma V(S_{t+1}) - V(S_t),  V of a terminal state being 0

SB3's rollout buffer computes that, after ``collect_rollouts`` has added gamma V of the state reached to the reward
where time ran out. A function in the slot sees what happened: plain rewards, the states reached, how episodes ended.
"""

from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.ppo import CnnPolicy, MlpPolicy, MultiInputPolicy

from sb3_ext.common.slots import GAE, result_of


class OnPolicyScratch(OnPolicyAlgorithm):
    """SB3's ``OnPolicyAlgorithm`` with a slot for the advantages.

    Args:
        *args: SB3's.
        advantage: a function of your own in the place of generalised advantage estimation
            (``sb3_ext.common.slots.GAE``), called for each environment with what it has played.
        **kwargs: SB3's.

    Raises:
        ValueError: while learning, if the function gives anything but finite numbers of the right shape.
    """

    policy_aliases: ClassVar = {"MlpPolicy": MlpPolicy, "CnnPolicy": CnnPolicy, "MultiInputPolicy": MultiInputPolicy}

    def __init__(self, *args: Any, advantage: GAE | None = None, **kwargs: Any):
        kwargs |= {"_init_setup_model": False, "supported_action_spaces": (Box, Discrete, MultiDiscrete, MultiBinary)}
        super().__init__(*args, **kwargs)
        self.advantage = advantage
        self._endings: list[dict[int, dict[str, Any]]] = []  # of each step: the infos of environments that are done

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> bool:
        """As SB3's, then the function in the slot."""
        self._endings = []
        goes_on = super().collect_rollouts(*args, **kwargs)
        if goes_on and self.advantage is not None:
            self._estimate_advantages(self.advantage)
        return goes_on

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: np.ndarray | None = None) -> None:
        super()._update_info_buffer(infos, dones)
        if self.advantage is not None and dones is not None:  # SB3 calls this after each step of all environments
            self._endings.append({int(env): infos[env] for env in np.flatnonzero(dones)})

    def _estimate_advantages(self, advantage: GAE) -> None:
        """Put advantages, and returns A + V, into the rollout buffer, both [n_steps, n_envs]."""
        buffer = self.rollout_buffer
        terminated, truncated, next_values = self._what_followed()
        rewards = buffer.rewards - np.where(truncated, self.gamma * next_values, 0)
        for env in range(self.n_envs):
            columns = [array[:, env].astype(np.float64) for array in (rewards, buffer.values, next_values)]
            ends = terminated[:, env], truncated[:, env]
            buffer.advantages[:, env] = result_of(
                advantage, (len(rewards),), *columns, *ends, self.gamma, self.gae_lambda
            )
        buffer.returns = buffer.advantages + buffer.values

    def _what_followed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which steps terminated, which were truncated, and V of the states they led to; each [n_steps, n_envs]."""
        terminated, truncated = (np.zeros(self.rollout_buffer.values.shape, bool) for _ in range(2))
        next_values = np.roll(self.rollout_buffer.values, -1, axis=0)
        with th.no_grad():
            next_values[-1] = self._values(obs_as_tensor(self._last_obs, self.device))  # type: ignore[arg-type]
            for step, infos in enumerate(self._endings):
                for env, info in infos.items():
                    truncated[step, env] = info.get("TimeLimit.truncated", False)
                    terminated[step, env] = not truncated[step, env]
                    next_values[step, env] = self._values(self.policy.obs_to_tensor(info["terminal_observation"])[0])[0]
        return terminated, truncated, next_values

    def _values(self, observations: Any) -> np.ndarray:
        return self.policy.predict_values(observations).flatten().cpu().numpy()

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_endings"]
