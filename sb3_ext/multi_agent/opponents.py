"""Players of turn-based games: what they see, and how a random player, a function or a trained model chooses."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm


class Opponent(Protocol):
    """A player: any function or object that is called like this and returns an action.

    Args of the call:
        observation: What the agent sees, without the mask.
        action_mask: bool [n_actions], True where the action is legal; None where actions are not Discrete.
        agent: The seat that it plays, for example ``"player_0"``.
        generator: The only source of randomness, so that the same seed gives the same game.
    """

    def __call__(
        self, observation: Any, action_mask: np.ndarray | None, agent: str, generator: np.random.Generator, /
    ) -> Any:
        """Chooses the agent's action."""


class RandomOpponent:
    """Draws legal actions uniformly.

    Args:
        action_space: Where to draw from if actions are not Discrete.
    """

    name = "random"

    def __init__(self, action_space: spaces.Space[Any] | None = None) -> None:
        self.action_space = action_space

    def __call__(
        self, observation: Any, action_mask: np.ndarray | None, agent: str, generator: np.random.Generator
    ) -> Any:
        """Draws one action.

        Raises:
            ValueError: If there is neither a mask nor an action space.
        """
        if action_mask is not None:
            legal = np.flatnonzero(action_mask)
            return int(legal[generator.integers(len(legal))])
        if self.action_space is None:
            raise ValueError(f"{agent} has no Discrete actions: use RandomOpponent(env.action_space({agent!r}))")
        self.action_space.seed(int(generator.integers(2**31)))
        return self.action_space.sample()


class ModelOpponent:
    """Plays as an SB3 model or policy does, masked where the policy takes masks (MaskablePPO).

    It asks the policy, not the algorithm: a DQN is greedy, without the exploration of its training. A model whose
    environment is in a ``VecNormalize`` sees observations normalised by that; to a loaded one, give it by ``set_env``.

    Args:
        model: Anything with SB3's ``predict``.
        deterministic: Whether to play the best action instead of drawing one.
        name: How results call it.
    """

    def __init__(self, model: Any, deterministic: bool = False, name: str | None = None) -> None:
        self.policy = getattr(model, "policy", model)
        self.deterministic = deterministic
        self.name = name or type(model).__name__
        self._takes_masks = "action_masks" in inspect.signature(self.policy.predict).parameters
        self._normalize = model.get_vec_normalize_env() if isinstance(model, BaseAlgorithm) else None

    def __call__(
        self, observation: Any, action_mask: np.ndarray | None, agent: str, generator: np.random.Generator
    ) -> Any:
        """Predicts one action, drawing from ``generator`` alone.

        Raises:
            NotImplementedError: If the policy is recurrent.
        """
        masks = {"action_masks": action_mask} if self._takes_masks and action_mask is not None else {}
        with _torch_draws_from(generator):
            seen = self._normalized(observation)
            action, state = self.policy.predict(seen, deterministic=self.deterministic, **masks)
        if state is not None:
            raise NotImplementedError(f"{self.name} is recurrent, which opponents are not: nothing keeps its state")
        return action

    def _normalized(self, observation: Any) -> Any:
        normalize = self._normalize
        if normalize is None or not normalize.norm_obs:
            return observation
        if isinstance(normalize.obs_rms, dict) and not isinstance(observation, dict):  # a centralised critic's actor
            own = normalize.obs_rms.get("observation")
            return observation if own is None else normalize._normalize_obs(observation, own).astype(np.float32)
        return normalize.normalize_obs(observation)


@contextmanager
def _torch_draws_from(generator: np.random.Generator) -> Iterator[None]:
    """Seeds torch's CPU generator from ``generator`` and restores it: the learner's own draws do not notice."""
    torch_generator = torch.default_generator
    state = torch_generator.get_state()
    torch_generator.manual_seed(int(generator.integers(2**63)))
    try:
        yield
    finally:
        torch_generator.set_state(state)


def as_opponent(player: Any, deterministic: bool = False, action_space: spaces.Space[Any] | None = None) -> Opponent:
    """Makes a player of what one has: ``"random"``, an SB3 model or policy, or a function.

    Args:
        player: The thing.
        deterministic: Whether a model plays its best action instead of drawing one.
        action_space: Where ``"random"`` draws from if actions are not Discrete.

    Raises:
        TypeError: If it is none of these.
    """
    if isinstance(player, str) and player == "random":
        return RandomOpponent(action_space)
    if hasattr(player, "predict"):
        return ModelOpponent(player, deterministic)
    if callable(player):
        return player
    raise TypeError(
        f"{player!r} is no player; give 'random', an SB3 model,"
        " or a function (observation, action_mask, agent, generator) -> action"
    )


def opponent_name(opponent: Any) -> str:
    """How results call a player: its ``name``, or the function's.

    >>> opponent_name(RandomOpponent())
    'random'
    """
    return str(getattr(opponent, "name", None) or getattr(opponent, "__name__", None) or type(opponent).__name__)
