"""REINFORCE: make actions that were followed by high returns more likely.

    grad J(theta) = E[ sum_t grad log pi(A_t|S_t, theta) (G_t - b(S_t)) ]          Sutton & Barto (2nd ed.), eq. 13.11

Play whole episodes, weigh the log-probability of each action by what came after it, take one gradient step, throw the
data away. Three steps lead from Williams (1992) to the algorithm of today:

    weight = G_0          returns="total", baseline="none"    an action is credited with the whole episode
    weight = G_t          returns="to_go", baseline="none"    ... only with what came after it
    weight = G_t - b_t    returns="to_go", baseline="mean"    ... measured against other episodes at the same time
                          returns="to_go", baseline="value"   ... or against a learned V(S_t)

Each makes the gradient scatter less without changing what it is on average: watch ``train/grad_variance`` (which
``normalize_advantage`` would hide). With gamma < 1 the averages of G_0 and G_t agree if G_t is weighed by gamma^t, as
in eq. 13.8. What deviates from the book: that factor is dropped unless
``discounted_gradient=True``, because with it late states hardly learn; episodes come from parallel environments, the
same number from each (``common/episodes.py`` says why); a truncated episode is bootstrapped with V where there is a V.

Read next: ``common/returns.py`` for G_t and ``common/losses.py`` for the loss; then SB3's A2C, which replaces the rest
of the episode by V.
"""

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule, TensorDict
from stable_baselines3.common.utils import explained_variance, obs_as_tensor
from torch.nn import functional as F

from sb3_ext.common import (
    Episodes,
    discounted_returns,
    entropy_loss,
    flat_gradient,
    gradient_variance,
    leave_one_out_baseline,
    policy_gradient_loss,
    rescale,
    take,
)
from sb3_ext.common.slots import DiscountedReturns, result_of
from sb3_ext.episodic import EpisodicAlgorithm

N_GRADIENT_GROUPS = 4  # the batch gradient is added up in this many parts; their spread estimates its variance


class Credit(NamedTuple):
    """What an update gives each step credit for; arrays with one episode a column, 0 after its end."""

    returns_to_go: np.ndarray
    """G_t, [T, n_episodes]"""
    credited: np.ndarray
    """what the action is credited with: G_t or G_0, [T, n_episodes]"""
    baseline: np.ndarray
    """what that is measured against, [T, n_episodes]"""
    weights: th.Tensor
    """the factor of each step's grad log pi, [N]"""


class REINFORCE(EpisodicAlgorithm):
    """Monte Carlo policy gradient (Williams 1992) with optional baselines.

    Parameters not listed are those of :class:`stable_baselines3.PPO`.

    Args:
        policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy" or a policy class. Its value network is used only with
            ``baseline="value"``. With ``device="auto"`` MlpPolicy stays on the CPU, where it is faster.
        env: environment, VecEnv or id; actions Discrete, MultiDiscrete, MultiBinary or Box.
        n_episodes: whole episodes per update, shared out equally: each environment plays
            ``ceil(n_episodes / n_envs)``. What it does after its last one counts in ``num_timesteps`` but reaches
            neither the loss nor ``rollout/ep_rew_mean``; then all are reset (so a ``Monitor`` must allow early resets).
        returns: what an action is credited with: "total" (the whole episode's return) or "to_go" (what came after it).
        baseline: "none", "mean" (what the other episodes of the batch got from the same time on) or "value" (V(S_t),
            fitted to the returns after each policy update). With returns="total" it is that of the episode's start.
        advantage: a function of your own in the place of ``returns`` (``sb3_ext.common.slots.DiscountedReturns``): from
            an episode's rewards, [T], and gamma to what each action is credited with, [T]. The baseline is subtracted
            from that: ``baseline="none"`` where the function has one of its own. It is saved with the model: by its
            name if it is an importable module's, else with its code.
        discounted_gradient: weigh G_t by gamma^t, as eq. 13.8 does. Default: False, the usual form.
        normalize_advantage: divide the weights by their root mean square over the batch. This only rescales:
            subtracting the mean would be a baseline by itself.
        ent_coef: weight of the entropy bonus, a number or a schedule of the remaining progress.
        n_value_updates: gradient steps on the value function after each policy update. They move a shared feature
            extractor too; ``policy_kwargs=dict(share_features_extractor=False)`` keeps the two apart.
        max_grad_norm: longer gradients are shortened to this. The loss adds up the steps of an episode, so gradients
            are longer than A2C's: SB3's usual 0.5 would shorten nearly all of them. Default: not at all.
        max_episode_steps: an episode that lasts longer is cut there and treated as truncated, with a warning: an
            environment without a time limit cannot hang the training. (A VecEnv cannot reset one environment alone: if
            that one owes another episode, it starts where this one was cut.)

    A truncated episode's return is the sum of the rewards it got ("as it ended"), plus, with ``baseline="value"``, the
    discounted value of the state it reached.

    Logs, beside SB3's ``rollout/`` and ``time/``: ``rollout/episodes`` (episodes in the update),
    ``rollout/masked_fraction`` (share of steps beyond a quota), ``train/policy_loss``, ``train/entropy_loss`` (minus
    the mean entropy, nats), ``train/ent_coef``, ``train/grad_norm`` (before clipping), ``train/grad_variance`` (see
    :func:`sb3_ext.common.gradient_variance`), ``train/explained_variance`` (of the returns, by the baseline),
    ``train/value_loss``, ``train/std`` (continuous actions), ``train/learning_rate``, ``train/n_updates``.

    Raises:
        ValueError: for an unknown ``returns`` or ``baseline``, ``discounted_gradient`` with ``returns="total"`` (which
            carries its gamma^t already), ``advantage`` with ``returns="total"``, a count that is not a whole number
            above 0, gamma outside [0, 1], a max_grad_norm that is not above 0, ``baseline="mean"`` with one episode per
            update (there is no other to compare with), or a Discrete space that does not start at 0; while learning,
            for a reward or observation that is not finite, naming the environment, or a result of ``advantage`` that
            is not finite numbers of the right shape.
    """

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-2,
        n_episodes: int = 8,
        gamma: float = 0.99,
        returns: Literal["total", "to_go"] = "to_go",
        baseline: Literal["none", "mean", "value"] = "mean",
        discounted_gradient: bool = False,
        normalize_advantage: bool = False,
        ent_coef: float | Schedule = 0.0,
        n_value_updates: int = 10,
        max_grad_norm: float = math.inf,
        max_episode_steps: int = 10_000,
        advantage: DiscountedReturns | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ):
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            gamma=gamma,
            ent_coef=ent_coef,  # a schedule becomes a number at each update
            max_grad_norm=max_grad_norm,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
        )
        self.n_episodes = n_episodes
        self.returns = returns
        self.baseline = baseline
        self.discounted_gradient = discounted_gradient
        self.normalize_advantage = normalize_advantage
        self.n_value_updates = n_value_updates
        self.max_episode_steps = max_episode_steps
        self.advantage = advantage
        if _init_setup_model:
            self._setup_model()

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._check_choice("returns", ("total", "to_go"))
        self._check_choice("baseline", ("none", "mean", "value"))
        for name in ("n_episodes", "n_value_updates", "max_episode_steps"):
            self._check_count(name)
        if self.discounted_gradient and self.returns == "total":
            raise ValueError('discounted_gradient=True weighs G_t by gamma^t, so it needs returns="to_go", got "total"')
        if self.advantage is not None and self.returns == "total":
            raise ValueError('advantage= takes the place of returns="total": give one of the two')
        if self.baseline == "mean" and self._episodes_per_env * self.n_envs == 1:
            raise ValueError('baseline="mean" compares episodes with each other: n_episodes must be at least 2, got 1')

    @property
    def _episodes_per_env(self) -> int:
        return -(-self.n_episodes // self.n_envs)

    # ---- Learn --------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """One policy gradient step on the episodes just played, then the value function, if there is one."""
        self._update_learning_rate(self.policy.optimizer)
        episodes = self.rollout_buffer.episodes()
        observations = obs_as_tensor(episodes.observations, self.device)

        credit = self.assign_credit(episodes, observations)
        self.policy.set_training_mode(True)
        self._update_policy(episodes, observations, credit.weights)
        if self.baseline == "value":
            returns_to_go = th.as_tensor(episodes.flatten(credit.returns_to_go), device=self.device)
            self._update_value(observations, returns_to_go)

        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        if self.baseline != "none":
            explained = explained_variance(episodes.flatten(credit.baseline), episodes.flatten(credit.credited))
            self.logger.record("train/explained_variance", explained)

    def assign_credit(self, episodes: Episodes, observations: th.Tensor | TensorDict) -> Credit:
        """From rewards to the weight of each step's grad log pi: return, baseline, scale."""
        mask = episodes.mask()
        values, returns_to_go = self._evaluate(episodes, observations)
        credited = returns_to_go if self.advantage is None else self._own_credit(episodes, self.advantage)
        baseline = leave_one_out_baseline(credited, mask) if self.baseline == "mean" else values
        if self.returns == "total":
            credited, baseline = np.where(mask, returns_to_go[0], 0), np.where(mask, baseline[0], 0)

        weights = credited - baseline
        if self.discounted_gradient:
            weights = weights * self.gamma ** np.arange(len(weights))[:, None]
        if self.normalize_advantage:
            weights = rescale(weights, mask)
        weights_of_steps = th.as_tensor(episodes.flatten(weights), dtype=th.float32, device=self.device)
        return Credit(returns_to_go, credited, baseline, weights_of_steps)

    def _own_credit(self, episodes: Episodes, advantage: DiscountedReturns) -> np.ndarray:
        """What a function in the slot credits each step with, [T, n_episodes]."""
        credited = np.zeros(episodes.mask().shape, np.float32)
        rewards = episodes.pad(episodes.rewards.astype(np.float64))
        for episode, length in enumerate(episodes.lengths):
            credited[:length, episode] = result_of(advantage, (length,), rewards[:length, episode], self.gamma)
        return credited

    def _evaluate(self, episodes: Episodes, observations: th.Tensor | TensorDict) -> tuple[np.ndarray, np.ndarray]:
        """V(S_t) (0 without a value baseline) and the return-to-go of every step, both [T, n_episodes]."""
        shape = episodes.mask().shape
        values, next_values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        if self.baseline == "value":
            values = episodes.pad(self._values(observations, len(episodes.rewards)))
            if episodes.last_observations is not None:
                truncated = np.flatnonzero(~episodes.terminated)
                last_observations = obs_as_tensor(episodes.last_observations, self.device)
                next_values[episodes.lengths[truncated] - 1, truncated] = self._values(
                    last_observations, len(truncated)
                )
        rewards = episodes.pad(episodes.rewards.astype(np.float32))
        discounts = episodes.discounts(self.gamma).astype(np.float32)
        return values, discounted_returns(rewards, discounts, episodes.ends(), next_values)

    def _update_policy(self, episodes: Episodes, observations: th.Tensor | TensorDict, weights: th.Tensor) -> None:
        """One step along the policy gradient, added up over groups of episodes to see how much it scatters."""
        ent_coef = self.ent_coef_schedule(self._current_progress_remaining)
        actions = th.as_tensor(episodes.actions, device=self.device)
        groups = np.array_split(np.arange(episodes.n_episodes), min(N_GRADIENT_GROUPS, episodes.n_episodes))

        self.policy.optimizer.zero_grad()
        gradients, policy_losses, entropy_losses = [], [], []
        for group in groups:
            for steps in self._chunks(np.isin(episodes.episode, group)):
                distribution = self.policy.get_distribution(take(observations, steps))
                log_probs = distribution.log_prob(actions[steps])
                policy_loss = policy_gradient_loss(log_probs, weights[steps], n_episodes=episodes.n_episodes)
                bonus = entropy_loss(distribution.entropy(), log_probs) * len(steps) / episodes.n_episodes
                (policy_loss + ent_coef * bonus).backward()  # the parts' losses add up to the batch's
                policy_losses.append(policy_loss.item())
                entropy_losses.append(bonus.item() * episodes.n_episodes / len(episodes.rewards))
            gradients.append(flat_gradient(self.policy))
        norm = th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm, error_if_nonfinite=True)
        self.policy.optimizer.step()

        if len(groups) > 1:
            sizes = th.tensor([len(group) for group in groups], device=self.device)
            parts = th.diff(th.stack(gradients), dim=0, prepend=th.zeros_like(gradients[0])[None])
            variance = gradient_variance(parts * episodes.n_episodes / sizes[:, None], sizes)
            self.logger.record("train/grad_variance", variance)
        self.logger.record("train/grad_norm", norm.item())
        self.logger.record("train/policy_loss", sum(policy_losses))
        self.logger.record("train/entropy_loss", sum(entropy_losses))
        self.logger.record("train/ent_coef", ent_coef)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", th.exp(self.policy.log_std).mean().item())

    def _update_value(self, observations: th.Tensor | TensorDict, returns: th.Tensor) -> None:
        """Fit V to the returns, [N], by a few gradient steps on their squared error."""
        for _ in range(self.n_value_updates):
            self.policy.optimizer.zero_grad()
            value_losses = []
            for steps in self._chunks(np.ones(len(returns), dtype=bool)):
                predicted = self.policy.predict_values(take(observations, steps)).flatten()
                value_loss = F.mse_loss(predicted, returns[steps], reduction="sum") / len(returns)
                value_loss.backward()
                value_losses.append(value_loss.item())
            th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm, error_if_nonfinite=True)
            self.policy.optimizer.step()
        self.logger.record("train/value_loss", sum(value_losses))

    def _values(self, observations: th.Tensor | TensorDict, n_steps: int) -> np.ndarray:
        """V of a batch of observations as data, [n_steps]."""
        with th.no_grad():
            chunks = self._chunks(np.ones(n_steps, dtype=bool))
            values = [self.policy.predict_values(take(observations, steps)).flatten() for steps in chunks]
        return th.cat(values).cpu().numpy()
