"""``DoctorCallback``: watches a training of any SB3 algorithm for warning signs.

It looks a hundred times in a training (twenty where tables are learned, which takes no time) at what is logged, at
weights, gradients and values (``probes.py``), and five times for signs (``signs.py``), earlier if weights have grown so
far that the training may die of it; for NaN at every step. It draws no random number and changes nothing: the same
training without it has the same result.
"""

import math
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.envs.wrappers.reward_terms import RETURN_KEYS
from sb3_ext.zoo.doctor import probes
from sb3_ext.zoo.doctor.finding import Finding
from sb3_ext.zoo.doctor.record import Record
from sb3_ext.zoo.doctor.signs import examine
from sb3_ext.zoo.doctor.signs_of_learning import WEIGHTS_GROW

N_LOOKS, N_LOOKS_AT_TABLES, N_EXAMINATIONS = 100, 20, 5  # in a training
N_EPISODES = 30  # at most so many of the latest are noted at a look
MAY_BE_NAN = "train/explained_variance"  # of returns that are all the same
ROUNDED = 1e-3  # Monitor rounds returns, and rewards are float32
EPISODE = {"r": "return", "l": "length", **{key: key for key in RETURN_KEYS}}
FACTS = ("gamma", "target_update_interval", "learning_starts", "ent_coef")


class DoctorCallback(BaseCallback):
    """Watches a training for warning signs; says each once: what was seen, what it likely means, what to try.

    Args:
        verbose: 1 prints each finding, 0 none.

    Attributes:
        findings: what was found, in the order in which it was seen.
        record: what was noted of the training.

    Example:
        >>> from stable_baselines3 import PPO
        >>> doctor = DoctorCallback()
        >>> model = PPO("MlpPolicy", "CartPole-v1", learning_rate=1.0, n_steps=64, seed=0, device="cpu")
        >>> model = model.learn(128, callback=doctor)  # doctest: +ELLIPSIS
        steps too large: the norm of the weights is ... times what it was at first
        ...
        >>> "steps too large" in [finding.sign for finding in doctor.findings]
        True
    """

    def __init__(self, verbose: int = 1) -> None:
        super().__init__(verbose)
        self.record = Record()
        self.findings: list[Finding] = []

    def calls_until_due(self) -> float:
        """Steps until the next look: the compiled engine of the tabular algorithms plays on until then."""
        return max(math.ceil((self._next_look - self.model.num_timesteps) / self.training_env.num_envs), 1)

    def examine(self) -> list[Finding]:
        """Look for signs in what was noted so far; what is new is printed and added to ``findings``.

        Returns:
            What is new.
        """
        known = {finding.sign for finding in self.findings}
        new = [finding for finding in examine(self.record) if finding.sign not in known]
        self.findings += new
        if self.verbose:
            for finding in new:
                print(finding, flush=True)
        return new

    def _on_training_start(self) -> None:
        model: Any = self.model
        if self.num_timesteps < self.record.last_step:  # another training
            self.record, self.findings = Record(), []
        to_go = model._total_timesteps - self.num_timesteps
        self.record.n_timesteps = model._total_timesteps
        self.record.facts |= {
            name: getattr(model, name) for name in FACTS if isinstance(getattr(model, name, None), int | float)
        }
        if steps := probes.gradient_steps(model):
            self.record.facts["gradient_steps"] = steps
        self._by_gradient = any(each.requires_grad for each in model.policy.parameters())
        self._interval = max(to_go // (N_LOOKS if self._by_gradient else N_LOOKS_AT_TABLES), 1)
        self._next_look = self.num_timesteps
        self._between_examinations = max(to_go // N_EXAMINATIONS, 1)
        self._next_examination = self.num_timesteps + self._between_examinations
        self._weights = probes.Weights(model.policy)
        self._n_updates, self._is_fresh, self._wants_rollout = model._n_updates, False, True
        self._latest_episode: Any = None
        normalized = model.get_vec_normalize_env()
        self._sees_rewards = self._by_gradient and not (normalized is not None and normalized.norm_reward)
        unknown = self.num_timesteps > 0  # the training may go on amid episodes
        self._paid = np.full(self.training_env.num_envs, np.nan if unknown else 0.0)
        self._sees_ends, self._last_end = False, self.num_timesteps

    def _on_step(self) -> bool:
        if probes.non_finite(self.locals.get("rewards")):
            self._note_non_finite("rewards")
        if probes.non_finite(self.locals.get("new_obs")):
            self._note_non_finite("new_obs")
        if self.model._n_updates != self._n_updates:
            self._note_update()
        if "dones" in self.locals:  # not in the populations of ARS
            self._sees_ends = True
            self._note_ends()
        if self.num_timesteps >= self._next_look:
            self._look()
        return True

    def _note_update(self) -> None:
        """There was one since the last step; whether it logged NaN."""
        self._n_updates, self._is_fresh = self.model._n_updates, True
        if any(value != value and name != MAY_BE_NAN for name, value in self.logger.name_to_value.items()):
            self._note_non_finite("what is logged")

    def _note_ends(self) -> None:
        """Episodes that end now; raw and shaped return, where they differ.

        ``RewardTerms`` report both, in their infos; else Monitor knows the raw one if what shapes it lies outside.
        """
        if self._sees_rewards:
            self._paid = self._paid + self.locals["rewards"]  # three times as fast as +=, which has to cast in place
        dones = self.locals["dones"]
        if not np.count_nonzero(dones):  # four times as fast as any()
            return
        self._last_end = self.num_timesteps
        for env in np.flatnonzero(dones):
            info, paid = self.locals["infos"][env], self._paid[env]
            self._paid[env] = 0.0
            meant = info.get("episode", {})
            if RETURN_KEYS[0] in meant:
                continue
            if RETURN_KEYS[0] in info:
                self.record.add(self.num_timesteps, {f"episode/{key}": info[key] for key in RETURN_KEYS})
            elif self._sees_rewards and "r" in meant and abs(paid - meant["r"]) > ROUNDED * (1 + abs(paid)):
                returns = zip(RETURN_KEYS, (meant["r"], paid), strict=True)
                self.record.add(self.num_timesteps, {f"episode/{key}": float(value) for key, value in returns})

    def _on_rollout_end(self) -> None:
        if self._wants_rollout:  # its buffer is full now, and about to be used
            self._wants_rollout = False
            self.record.add(self.num_timesteps, probes.of_rollout(self.model))

    def _on_training_end(self) -> None:
        if self.model._n_updates != self._n_updates:
            self._note_update()
        self._look()
        if self._by_gradient:
            self.record.facts["n_updates"] = self.model._n_updates
        self.examine()

    def _note_non_finite(self, name: str) -> None:
        if f"nonfinite/{name}" not in self.record:
            self.record.add(self.num_timesteps, {f"nonfinite/{name}": 1.0})
            self.examine()

    def _look(self) -> None:
        model: Any = self.model
        self._next_look = self.num_timesteps + self._interval
        self._wants_rollout = True
        numbers = {**probes.observation_scale(model._last_obs, model.observation_space), **probes.of_replay(model)}
        if self._is_fresh or not self._by_gradient:
            self._is_fresh = False
            numbers |= {"doctor/updates": float(model._n_updates), **self._look_at_learning()}
        if "rewards" in self.locals and "doctor/rewards" not in numbers:
            numbers["doctor/rewards"] = float(np.abs(self.locals["rewards"]).mean())
        if self._by_gradient and self._sees_ends:
            numbers["doctor/since_an_end"] = (self.num_timesteps - self._last_end) / self.training_env.num_envs
        self.record.add(self.num_timesteps, numbers)
        self._note_episodes()
        if self.num_timesteps >= self._next_examination:
            self._next_examination += self._between_examinations
            self.examine()
        elif numbers.get("doctor/weights", 0.0) > WEIGHTS_GROW:
            self.examine()

    def _look_at_learning(self) -> dict[str, float]:
        """What the latest update logged, and what it did to the weights."""
        logged = self.logger.name_to_value.items()
        numbers = {name: float(value) for name, value in logged if isinstance(value, int | float | np.number)}
        numbers |= self._weights.look()
        for part in ("actor", "critic"):
            self.record.facts[f"unmoved_{part}"] = self._weights.names_unmoved(critic=part == "critic")
        return numbers

    def _note_episodes(self) -> None:
        """Those that have ended since the last look."""
        new: list[Any] = []
        for episode in reversed(self.model.ep_info_buffer or ()):
            if episode is self._latest_episode or len(new) == N_EPISODES:
                break
            new.append(episode)
        for episode in reversed(new):
            known = {f"episode/{name}": float(episode[key]) for key, name in EPISODE.items() if key in episode}
            self.record.add(self.num_timesteps, known)
        self._latest_episode = new[0] if new else self._latest_episode
