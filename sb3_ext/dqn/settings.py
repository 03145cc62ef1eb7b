"""Settings of ``RainbowDQN``: what it refuses (also saved models with other switches), and which buffer it takes."""

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.type_aliases import TrainFrequencyUnit

from sb3_ext.common.distributional import make_atoms
from sb3_ext.common.prioritized import check_share
from sb3_ext.dqn.policies import RainbowPolicy
from sb3_ext.dqn.prioritized_buffer import PrioritizedDictReplayBuffer, PrioritizedReplayBuffer
from sb3_ext.dqn.uniform_buffer import UniformDictReplayBuffer, UniformReplayBuffer

SWITCHES = ("double", "dueling", "prioritized", "noisy", "distributional", "n_steps", "replay", "target_network")
OF_NETWORK = ("dueling", "noisy", "distributional", "n_atoms", "v_min", "v_max")
"""What the policy has to know."""
UNIFORM = (UniformReplayBuffer, UniformDictReplayBuffer)
PRIORITIZED = (PrioritizedReplayBuffer, PrioritizedDictReplayBuffer)
"""For plain observations, and for Dict ones."""


def switches(model: Any) -> dict[str, Any]:
    """What a saved model must agree with, and its class."""
    return {"class": type(model).__name__, **{name: getattr(model, name) for name in (*SWITCHES, *OF_NETWORK)}}


def check_saved(model: Any, saved: dict[str, Any], takes_all: bool) -> None:
    """Refuse to load a model that was saved with other switches.

    Args:
        model: with the switches that it is to have.
        saved: those of the file.
        takes_all: the class is made for any switches.

    Raises:
        ValueError: naming those that differ.
    """
    own = switches(model)
    changed = [name for name in own if name != "class" and own[name] != saved.get(name)]
    if changed:
        there, here = (", ".join(f"{name}={of.get(name)!r}" for name in changed) for of in (saved, own))
        raise ValueError(f"the model was saved with {there} and cannot be loaded with {here}; train a new one")
    if not takes_all and own["class"] != saved["class"]:
        raise ValueError(
            f"the model was saved by {saved['class']}, whose switches are not those of {own['class']}; load it with "
            f"{saved['class']}.load, or with RainbowDQN.load, which takes all"
        )


def check_parameters(model: Any) -> None:
    """Refuse settings that no training could follow.

    Raises:
        ValueError: naming what was given, and what is possible.
    """
    space = model.action_space
    if isinstance(space, spaces.Discrete) and space.start != 0:
        raise ValueError(
            f"{type(model).__name__} counts actions from 0, got {space}; shift it with "
            "gymnasium.wrappers.TransformAction"
        )
    check_share("alpha", model.alpha)
    check_share("beta", model.beta)
    make_atoms(model.v_min, model.v_max, model.n_atoms)
    if model.n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {model.n_steps}")
    if model.replay:
        _check_size(model)
    asked = [name for name in ("dueling", "noisy", "distributional") if getattr(model, name)]
    if asked and not issubclass(model.policy_class, RainbowPolicy):
        raise ValueError(
            f"{asked[0]}=True needs a policy of sb3_ext.dqn, got {model.policy_class.__name__}: take "
            f"{', '.join(model.policy_aliases)} or a subclass of RainbowPolicy"
        )
    if model.prioritized and not model.replay:
        raise ValueError("prioritized=True has nothing to draw from with replay=False: set one of the two")
    given = model.replay_buffer_class
    if (model.prioritized or not model.replay) and given is not None and not issubclass(given, UniformReplayBuffer):
        switch = "prioritized=True" if model.prioritized else "replay=False"
        raise ValueError(f"{switch} brings its own buffer: leave out replay_buffer_class={given.__name__}")


def _check_size(model: Any) -> None:
    """Of the replay buffer."""
    size, n_rows = model.buffer_size, model.buffer_size // model.n_envs
    if size < model.batch_size:
        raise ValueError(f"buffer_size={size} is smaller than batch_size={model.batch_size}")
    if n_rows < model.n_steps:
        raise ValueError(
            f"buffer_size={size} holds {n_rows} steps of each of {model.n_envs} environments, fewer than "
            f"n_steps={model.n_steps}"
        )


def brings_buffer(model: Any) -> bool:
    """Whether the switches ask for a buffer of ours: SB3's know no priorities, and no n steps of Dict observations."""
    given = model.replay_buffer_class
    n_steps_of_dict = isinstance(model.observation_space, spaces.Dict) and model.n_steps > 1
    return model.prioritized or not model.replay or given in UNIFORM or (n_steps_of_dict and given is None)


def make_buffer(model: Any) -> UniformReplayBuffer:
    """The buffer that the switches ask for; without replay it is as small as may be."""
    settings = {"n_steps": model.n_steps, "gamma": model.gamma, **model.replay_buffer_kwargs}
    if model.prioritized:
        settings |= {"alpha": model.alpha, "beta": model.beta, "weighted_loss": True}
    size = model.buffer_size
    if not model.replay:
        model._convert_train_freq()
        if model.train_freq.unit == TrainFrequencyUnit.STEP:
            size = max(model.train_freq.frequency, model.n_steps) * model.n_envs
    kinds = PRIORITIZED if model.prioritized else UNIFORM
    kind: Any = kinds[isinstance(model.observation_space, spaces.Dict)]
    return kind(
        size,
        model.observation_space,
        model.action_space,
        device=model.device,
        n_envs=model.n_envs,
        optimize_memory_usage=model.optimize_memory_usage,
        **settings,
    )
