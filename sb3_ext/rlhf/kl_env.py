"""The rewards of RLHF around any environment: a score at the last token, and a price for leaving the reference.

    R_t = - beta (log pi(y_t | x, y_<t) - log ref(y_t | x, y_<t)) + [y_t is the last token] score(x, y)

Summed over a response that is ``score - beta log pi(y|x)/ref(y|x)``, whose expectation is the objective
``E[score] - beta KL(pi || ref)`` (Ziegler et al. 2019; ``common/kl_control.py``). Any SB3 algorithm then is RLHF.
"""

from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_ext.common import adapted_beta, refuse_non_finite
from sb3_ext.common.preferences import check_beta
from sb3_ext.rlhf.policies import text_shape
from sb3_ext.rlhf.reference import check_same_shape, frozen_copy
from sb3_ext.rlhf.texts import Score, Texts, checked_scores


class ScoreVecEnv(VecEnvWrapper):
    """Replaces the reward of a finished text by what a score function says of it; 0 before, and for one that a time
    limit cuts.

    The environment's own reward stays in ``info["true_reward"]`` of the last step, the score in ``info["score"]``.

    Args:
        venv: token worlds.
        score: from texts to their scores, say a ``RewardModel``.

    Raises:
        ValueError: for other spaces; while stepping for a score that is not finite.
    """

    def __init__(self, venv: VecEnv, score: Score) -> None:
        super().__init__(venv)
        self.pad = text_shape(venv.observation_space)[0]
        self.score = score
        self._prompt_lengths = np.zeros(venv.num_envs, dtype=np.int64)

    def reset(self) -> VecEnvObs:
        """Resets the environments."""
        observations = self.venv.reset()
        self._prompt_lengths = (observations != self.pad).sum(axis=1)  # type: ignore[union-attr]
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """Steps the environments and scores what is finished."""
        observations, rewards, dones, infos = self.venv.step_wait()
        refuse_non_finite("reward", rewards)
        scores = np.zeros_like(rewards)
        ended = np.flatnonzero(dones)
        finished = [i for i in ended.tolist() if not infos[i].get("TimeLimit.truncated", False)]
        if finished:
            tokens = np.stack([infos[i]["terminal_observation"] for i in finished])
            scores[finished] = checked_scores(self.score, Texts(tokens, self._prompt_lengths[finished]))
        self._prompt_lengths[ended] = (observations[ended] != self.pad).sum(axis=1)  # type: ignore[index]
        for i in ended.tolist():
            infos[i]["true_reward"], infos[i]["score"] = float(rewards[i]), float(scores[i])
        return observations, scores, dones, infos


class KLRewardVecEnv(VecEnvWrapper):
    """Charges each action ``beta (log pi - log ref)``; the reward of the environments, or a score, stays on top.

    The policy that acts must be known: ``attach(model)`` once the model is made, or ``KLRewardCallback`` in ``learn``.
    At the end of an episode its info has ``kl`` (the sum of the log-ratios, nats) and ``score`` (what it was paid
    without the penalty).

    Args:
        venv: environments with discrete actions. (A ``VecMonitor`` inside shows returns without the penalty.)
        reference: the policy that is held on to; a copy is kept.
        beta: weight of the penalty, above 0.
        score: if given, replaces the reward of finished texts, see :class:`ScoreVecEnv`.
        target_kl: if given, beta is adapted so that KL(pi || ref) of an episode comes near it, above 0
            (Ziegler et al. 2019): after every ``adapt_every`` episodes.
        adapt_gain: how fast beta moves, in (0, 5).
        adapt_every: episodes whose mean KL moves beta once.

    Raises:
        ValueError: for a number out of range, or, when the policy is attached, a reference of another shape; while
            stepping for a reward or score that is not finite.
        RuntimeError: for a step without a policy.
    """

    def __init__(
        self,
        venv: VecEnv,
        reference: BasePolicy,
        beta: float = 0.1,
        score: Score | None = None,
        target_kl: float | None = None,
        adapt_gain: float = 0.1,
        adapt_every: int = 64,
    ) -> None:
        check_beta(beta)
        if target_kl is not None:
            adapted_beta(beta, 0.0, target_kl, adapt_gain)  # which checks them
            if adapt_every < 1:
                raise ValueError(f"adapt_every must be at least 1, got {adapt_every}")
        super().__init__(venv if score is None else ScoreVecEnv(venv, score))
        self.reference = frozen_copy(reference)
        self.beta, self.target_kl, self.adapt_gain, self.adapt_every = beta, target_kl, adapt_gain, adapt_every
        self.policy: ActorCriticPolicy | None = None
        self._observations: Any = None
        self._log_ratios = np.zeros(venv.num_envs)
        self._kl = np.zeros(venv.num_envs)  # of the running episodes
        self._paid = np.zeros(venv.num_envs)
        self._finished_kl: list[float] = []

    def attach(self, model: BaseAlgorithm | ActorCriticPolicy) -> None:
        """Says whose actions will be charged.

        Raises:
            ValueError: if its policy has another shape than the reference.
        """
        policy: Any = model.policy if isinstance(model, BaseAlgorithm) else model
        check_same_shape(policy, self.reference)
        self.policy = policy

    def reset(self) -> VecEnvObs:
        """Resets the environments."""
        self._observations = self.venv.reset()
        self._kl[:] = self._paid[:] = 0
        return self._observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Notes how much more probable the actions are than under the reference.

        Raises:
            RuntimeError: if no policy is attached.
        """
        if self.policy is None:
            raise RuntimeError(
                "KLRewardVecEnv does not know whose actions these are: call env.attach(model), or "
                "model.learn(..., callback=KLRewardCallback())"
            )
        with th.no_grad():
            observations, _ = self.policy.obs_to_tensor(self._observations)
            taken = th.as_tensor(actions, device=self.policy.device)
            log_probs, ref_log_probs = (
                each.get_distribution(observations).log_prob(taken)  # type: ignore[operator]
                for each in (self.policy, self.reference)
            )
        self._log_ratios = (log_probs - ref_log_probs).double().cpu().numpy()
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Steps the environments and charges the penalty."""
        self._observations, rewards, dones, infos = self.venv.step_wait()
        refuse_non_finite("reward", rewards)
        self._kl += self._log_ratios
        self._paid += rewards
        charged = (rewards - self.beta * self._log_ratios).astype(np.float32)
        for i in np.flatnonzero(dones).tolist():
            infos[i]["kl"], infos[i]["score"] = float(self._kl[i]), float(self._paid[i])
            if self.target_kl is not None:
                self._finished_kl.append(self._kl[i])
        self._kl[dones] = self._paid[dones] = 0
        if self.target_kl is not None and len(self._finished_kl) >= self.adapt_every:
            self.beta = adapted_beta(self.beta, float(np.mean(self._finished_kl)), self.target_kl, self.adapt_gain)
            self._finished_kl = []
        return self._observations, charged, dones, infos


class KLRewardCallback(BaseCallback):
    """Attaches the model to the :class:`KLRewardVecEnv` around its environments, and logs what happens there.

    Logs ``rollout/kl`` (of whole responses, nats), ``rollout/score``, ``rollout/true_reward`` (where a score replaces
    it) and ``rollout/beta``, means over the episodes of a rollout; ``history`` keeps them, with the timesteps.

    Raises:
        ValueError: if the environments are in no KLRewardVecEnv.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: list[dict[str, float]] = []
        self._episodes: list[dict[str, float]] = []

    def _init_callback(self) -> None:
        env: Any = self.training_env
        while not isinstance(env, KLRewardVecEnv):
            if not isinstance(env, VecEnvWrapper):
                raise ValueError("KLRewardCallback needs environments inside a KLRewardVecEnv, there is none")
            env = env.venv
        self.kl_env = env
        env.attach(self.model)

    def _on_step(self) -> bool:
        for i in np.flatnonzero(self.locals["dones"]).tolist():
            info = self.locals["infos"][i]
            self._episodes.append({key: info[key] for key in ("kl", "score", "true_reward") if key in info})
        return True

    def _on_rollout_end(self) -> None:
        if not self._episodes:
            return
        means = {key: float(np.mean([each[key] for each in self._episodes])) for key in self._episodes[0]}
        row = {"timesteps": float(self.num_timesteps), **means, "beta": self.kl_env.beta}
        self.history.append(row)
        for key, value in row.items():
            if key != "timesteps":
                self.logger.record(f"rollout/{key}", value)
        self._episodes = []
