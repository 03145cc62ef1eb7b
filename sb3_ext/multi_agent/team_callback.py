"""Logs what the agents got together, where SB3's own numbers are of one agent each."""

from collections import deque

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import safe_mean


class TeamCallback(BaseCallback):
    """Logs, over the last episodes of the copies (as many as ``stats_window_size``) and at the end of each rollout:

    ``rollout/team_ep_rew_mean`` (return added up over all agents), ``rollout/team_ep_len_mean`` (environment steps),
    and ``time/env_steps``, the environment steps so far, where ``time/total_timesteps`` counts each agent's.

    ``episodes`` keeps them: ``{"r": return, "l": length, "t": seconds}``.
    """

    def _init_callback(self) -> None:
        self.episodes: deque[dict[str, float]] = deque(maxlen=self.model._stats_window_size)

    def _on_step(self) -> bool:
        self.episodes.extend(info["team_episode"] for info in self.locals["infos"] if "team_episode" in info)
        return True

    def _on_rollout_end(self) -> None:
        if self.episodes:
            self.logger.record("rollout/team_ep_rew_mean", safe_mean([episode["r"] for episode in self.episodes]))
            self.logger.record("rollout/team_ep_len_mean", safe_mean([episode["l"] for episode in self.episodes]))
        self.logger.record("time/env_steps", self.training_env.unwrapped.env_steps)  # type: ignore[attr-defined]
