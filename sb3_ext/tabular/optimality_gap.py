"""``OptimalityGapCallback``: how far the policy that is being trained is from the best one, exactly.

    gap = J* - J(pi),     J(pi) = sum_s start(s) v_pi(s),     J* = max over all policies

Returns of episodes are noisy, and say nothing of what would have been possible. Where the model of the world is known,
both terms can be computed instead: the policy is asked what it does in every state, and its Bellman equation (Sutton &
Barto, 2nd ed., equation 4.4) is solved. Read before: ``planning.py``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.tabular.mdp import TabularMDP
from sb3_ext.tabular.planning import expected_return, modified_policy_iteration

Observations = npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]
TOLERANCE = 1e-10  # of J* and J(pi)
CHUNK_SIZE = 4096  # states that go through a network at a time


class OptimalityGapCallback(BaseCallback):
    """Logs J* - J(pi) of the present policy, during the training of any SB3 algorithm on a tabular world.

    For algorithms that learn action probabilities (PPO, A2C, TRPO, REINFORCE) pi is the stochastic policy that is being
    learned, or with ``deterministic=True`` the one that takes its most probable actions. For those that learn values
    (DQN, QRDQN, the tabular ones) pi is the greedy policy.

    Logs ``optimality/gap``, ``optimality/return`` (J(pi)) and ``optimality/optimal`` (J*). Nothing else is changed: no
    random number is drawn and the environment is not stepped.

    Args:
        mdp: The world. Default: that of the (first) training environment, its ``mdp`` or Gymnasium's ``P``.
        gamma: Discount of both terms, in [0, 1]. Default: the model's. With 1, they are the mean undiscounted returns
            of an episode, and the gap of a policy that goes on for ever at a cost is infinite.
        eval_freq: Calls (steps of the VecEnv) between two evaluations, at least 1.
        observations: What the policy sees in each state, [S, ...], or a dictionary of such; as the environment gives
            them, before ``VecNormalize``. Default: the states themselves where observations are Discrete, else what the
            environment's method ``observe(states)`` says (``GridWorld`` has it).
        deterministic: Whether pi takes its most probable actions.
        verbose: As for every callback.

    Attributes:
        timesteps: The time steps at which the policy was evaluated.
        gaps: The gap then.

    Raises:
        ValueError: If eval_freq is below 1; when the training starts, if the world or the observations cannot be found
            or do not fit, if the policy is no function of the observation alone, or for gamma = 1 if J* does not exist.

    Example:
        >>> from stable_baselines3 import A2C
        >>> callback = OptimalityGapCallback(gamma=0.9, eval_freq=10)
        >>> _ = A2C("MlpPolicy", "FrozenLake-v1", seed=0).learn(20, callback=callback)
        >>> callback.timesteps, round(callback.optimal, 4), 0 <= callback.gaps[-1] <= callback.optimal
        ([10, 20], 0.0689, True)
    """

    def __init__(
        self,
        mdp: TabularMDP | None = None,
        gamma: float | None = None,
        eval_freq: int = 1000,
        observations: Observations | None = None,
        deterministic: bool = False,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        if eval_freq < 1:
            raise ValueError(f"eval_freq must be at least 1, got {eval_freq}")
        self.mdp, self.gamma, self.observations = mdp, gamma, observations
        self.eval_freq = eval_freq
        self.deterministic = deterministic
        self.timesteps: list[int] = []
        self.gaps: list[float] = []
        self.optimal = np.nan

    def calls_until_due(self) -> int:
        """After how many further calls it must be called; a loop that leaves calls out adds them to ``n_calls``."""
        return self.eval_freq - self.n_calls % self.eval_freq

    def _on_training_start(self) -> None:
        self._mdp = training_mdp(self.training_env) if self.mdp is None else self.mdp
        self._gamma = float(self.model.gamma if self.gamma is None else self.gamma)  # type: ignore[attr-defined]
        check_policy(self.model)
        self._observations = self.observations
        if self._observations is None and not hasattr(self.model.policy, "action_probabilities"):
            self._observations = state_observations(self.model, self.training_env, self._mdp.n_states)
        n_actions = self._policy().shape[1]  # what does not fit fails here, not after a thousand steps
        if n_actions != self._mdp.n_actions:
            raise ValueError(f"the world has {self._mdp.n_actions} actions and the model {n_actions}")
        best = modified_policy_iteration(self._mdp, self._gamma, TOLERANCE)
        self.optimal = expected_return(self._mdp, best.policy, self._gamma, TOLERANCE)

    def _on_step(self) -> bool:
        if self.n_calls % self.eval_freq == 0:
            return_ = expected_return(self._mdp, self._policy(), self._gamma, TOLERANCE)
            self.timesteps.append(self.num_timesteps)
            self.gaps.append(self.optimal - return_)
            for name, value in (("gap", self.gaps[-1]), ("return", return_), ("optimal", self.optimal)):
                self.logger.record(f"optimality/{name}", value)
        return True

    def _policy(self) -> npt.NDArray[np.float64]:
        return action_probabilities(self.model, self._observations, self._mdp.n_states, self.deterministic)


def check_policy(model: BaseAlgorithm) -> None:
    """Refuses policies that are no function from states to (probabilities of) actions.

    Raises:
        ValueError: If actions are not Discrete, or the policy needs more than an observation.
    """
    if not isinstance(model.action_space, spaces.Discrete):
        raise ValueError(f"a tabular world needs Discrete actions, got {model.action_space}")
    if hasattr(model.policy, "lstm_actor") or type(model).__name__.startswith("Maskable"):
        raise ValueError(f"{type(model).__name__} acts by more than the observation (a memory, or action masks)")


def training_mdp(env: VecEnv) -> TabularMDP:
    """The model that the first environment publishes.

    Raises:
        ValueError: If it publishes none.
    """
    if env.has_attr("mdp"):
        mdp = env.get_attr("mdp", 0)[0]
        if isinstance(mdp, TabularMDP):
            return mdp
    if env.has_attr("P"):
        start = env.get_attr("initial_state_distrib", 0)[0] if env.has_attr("initial_state_distrib") else None
        return TabularMDP.from_P(env.get_attr("P", 0)[0], start)
    raise ValueError(
        "the training environment has no transition table: neither 'mdp' (a TabularMDP) nor Gymnasium's 'P'; give "
        "OptimalityGapCallback(mdp=...), built with TabularMDP.from_arrays"
    )


def state_observations(model: BaseAlgorithm, env: VecEnv, n_states: int) -> Observations:
    """What the agent sees in each state, before normalisation, [S, ...] or a dictionary of such.

    Raises:
        ValueError: If that cannot be found out.
    """
    space = model.observation_space
    if isinstance(space, spaces.Discrete):
        if space.n != n_states:
            raise ValueError(
                f"the world has {n_states} states and there are {space.n} observations: give "
                "OptimalityGapCallback(observations=...), the observation of each state"
            )
        return np.arange(n_states) + space.start
    if env.has_attr("observe"):
        return env.env_method("observe", np.arange(n_states), indices=0)[0]
    raise ValueError(
        f"which of the observations {space} belongs to which state? Give OptimalityGapCallback(observations=...), an "
        "array [S, ...], or give the environment a method observe(states)"
    )


def action_probabilities(
    model: BaseAlgorithm, observations: Observations | None, n_states: int, deterministic: bool
) -> npt.NDArray[np.float64]:
    """Pi(a | s) [S, A] of a model's present policy; 0 or 1 where it is greedy.

    Args:
        model: An SB3 model with Discrete actions.
        observations: Of all states, before normalisation; not needed by a policy that has ``action_probabilities``.
        n_states: S.
        deterministic: Whether it takes its most probable actions.

    Raises:
        ValueError: If observations do not fit the observation space.
    """
    policy: Any = model.policy
    if hasattr(policy, "action_probabilities"):
        probabilities = policy.action_probabilities(np.arange(n_states))
    else:
        assert observations is not None
        probabilities = _asked(model, policy, _checked(model, observations, n_states), n_states)
    return _greedy(probabilities) if deterministic else np.asarray(probabilities, dtype=np.float64)


def _asked(model: BaseAlgorithm, policy: Any, observations: Observations, n_states: int) -> npt.NDArray[np.float64]:
    """What a network does in all states, asked in chunks; its mode (training or not) is as before afterwards."""
    n_actions, was_training = int(model.action_space.n), policy.training  # type: ignore[attr-defined]
    policy.set_training_mode(False)
    rows = []
    with th.no_grad():
        for begin in range(0, n_states, CHUNK_SIZE):
            part = _at(observations, slice(begin, begin + CHUNK_SIZE))
            if hasattr(policy, "get_distribution"):
                tensor, _ = policy.obs_to_tensor(part)
                rows.append(policy.get_distribution(tensor).distribution.probs.cpu().numpy().astype(np.float64))
            else:
                rows.append(np.eye(n_actions)[policy.predict(part, deterministic=True)[0]])
    policy.set_training_mode(was_training)
    return np.concatenate(rows)


def _checked(model: BaseAlgorithm, observations: Observations, n_states: int) -> Observations:
    """The observations as the policy wants them: one for each state, normalised where the training's are.

    Raises:
        ValueError: If they do not fit the observation space.
    """
    space = model.observation_space
    inner = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
    arrays = dict(observations) if isinstance(observations, Mapping) else {"": np.asarray(observations)}
    for name, part in inner.items():
        shape = (n_states, *(part.shape or ()))
        given = np.shape(arrays.get(name, ()))
        as_image = (n_states, *given[-1:], *given[1:-1])  # SB3 moves the channels of images to the front itself
        if shape not in (given, as_image):
            raise ValueError(f"observations{f'[{name!r}]' if name else ''} must be {list(shape)}, got {list(given)}")
    if isinstance(observations, Mapping):
        observations = {name: np.asarray(arrays[name]) for name in inner}
    else:
        observations = arrays[""]
    normalizer = model.get_vec_normalize_env()
    return observations if normalizer is None else normalizer.normalize_obs(observations)


def _at(observations: Observations, chosen: slice) -> Observations:
    if isinstance(observations, Mapping):
        return {name: array[chosen] for name, array in observations.items()}
    return observations[chosen]


def _greedy(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 for the first of the most probable actions, 0 for the others."""
    return np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
