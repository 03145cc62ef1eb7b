"""What the commands share: train by a recipe, and evaluate what came out."""

import inspect
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, sync_envs_normalization

from sb3_ext.algos import load
from sb3_ext.vec_env import make_vec_env
from sb3_ext.zoo.recipes import Recipe

EVALUATION_SEED = 10_000_000  # far from the seeds of trainings, so that no episode is one that was trained on
SPACING = 1_000  # between seeds of trainings, or of evaluations, that are to be independent: environment i adds i
TIME_LIMIT = 1_000  # steps of an evaluation episode where the environment has no limit of its own


def train(
    recipe: Recipe,
    env_id: str,
    seed: int,
    backend: str = "auto",
    callback: MaybeCallback = None,
    device: str = "cpu",
    make_env: Callable[..., VecEnv] = make_vec_env,
) -> tuple[BaseAlgorithm, VecEnv]:
    """Make the environments and the model, and learn.

    Args:
        recipe: what to do.
        env_id: registered id.
        seed: of environments and model.
        backend: as in :func:`sb3_ext.vec_env.make_vec_env`; "dummy" is SB3's own function.
        callback: as in SB3's ``learn``.
        device: small networks are fastest on the CPU.
        make_env: makes the environments; takes the id, ``n_envs``, ``seed``, ``env_kwargs`` and ``backend``.

    Returns:
        The model, and its environments for the caller to close.
    """
    env = make_env(env_id, n_envs=recipe.n_envs, seed=seed, env_kwargs=recipe.env_kwargs, backend=backend)
    try:
        algorithm = load(recipe.algo)
        arguments = _with_noise(recipe.arguments(), env)
        if recipe.normalize is not None:
            gamma = recipe.hyperparams.get("gamma", inspect.signature(algorithm).parameters["gamma"].default)
            env = VecNormalize(env, **{"gamma": gamma, **recipe.normalize})
        model = algorithm(env=env, seed=seed, device=device, **arguments)
        return model.learn(recipe.n_timesteps, callback=callback), env
    except BaseException:
        env.close()
        raise


def check_fit(recipe: Recipe, env_id: str) -> None:
    """Make the environments and the model once, without training.

    Raises:
        ValueError: if the class does not take a hyperparameter, or the algorithm not this environment; it says why.
    """
    from sb3_ext.zoo.hyperparameters import check_arguments

    check_arguments(recipe.algo, recipe.hyperparams)
    try:
        env = make_vec_env(env_id, n_envs=recipe.n_envs, env_kwargs=recipe.env_kwargs)
        try:
            if recipe.algo == "ppo_mask" and not env.has_attr("action_masks"):
                raise ValueError("the environment has no method `action_masks`")
            load(recipe.algo)(env=env, device="cpu", **_with_noise(recipe.arguments(), env))
        finally:
            env.close()
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{recipe.algo} on {env_id}: {reason}") from error


def _with_noise(arguments: dict[str, Any], env: VecEnv) -> dict[str, Any]:
    """RL Zoo's ``noise_type`` and ``noise_std``, of a file that says how TD3 and DDPG explore, as the class takes them.

    Raises:
        ValueError: for a type other than "normal" and "ornstein-uhlenbeck".
    """
    kind, std = arguments.pop("noise_type", None), arguments.pop("noise_std", 0.1)
    if kind is None:
        return arguments
    noises: dict[str, type[ActionNoise]] = {
        "normal": NormalActionNoise, "ornstein-uhlenbeck": OrnsteinUhlenbeckActionNoise
    }  # fmt: skip
    if kind not in noises:
        raise ValueError(f"noise_type must be one of {', '.join(noises)}, got {kind!r}")
    shape = env.action_space.shape
    assert shape is not None  # the algorithms with noise refuse other spaces
    return {**arguments, "action_noise": noises[kind](np.zeros(shape), np.full(shape, std))}  # type: ignore[call-arg]


def spec_of(env_id: str) -> EnvSpec:
    """Gymnasium's registration entry of an id; what stands before a colon is imported first.

    Raises:
        ValueError: if the module cannot be imported, or there is no such id.
    """
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            import_module(module)
        return gym.spec(name)
    except Exception as error:  # whatever the module raises
        raise ValueError(f"{env_id}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}") from error


def evaluate(
    model: BaseAlgorithm,
    env_id: str,
    n_episodes: int = 100,
    seed: int = 0,
    n_envs: int = 20,
    backend: str = "auto",
    env_kwargs: dict[str, Any] | None = None,
) -> np.ndarray:
    """Returns of greedy episodes, by the raw reward, with the statistics of ``VecNormalize`` as training left them.

    Every environment plays the same number of episodes (or one more), so that short ones are not favoured. Where the
    environment has no time limit, an episode ends after :data:`TIME_LIMIT` steps: a greedy policy may walk for ever.

    Args:
        model: the policy; MaskablePPO plays with its masks.
        env_id: registered id.
        n_episodes: episodes in all.
        seed: which episodes; the same number, the same episodes. Numbers that are less than :data:`SPACING` apart
            share episodes.
        n_envs: at most so many environments at once.
        backend: as in :func:`sb3_ext.vec_env.make_vec_env`.
        env_kwargs: arguments of the environment.

    Returns:
        [n_episodes]
    """
    kwargs = dict(env_kwargs or {})
    if spec_of(env_id).max_episode_steps is None:
        kwargs.setdefault("max_episode_steps", TIME_LIMIT)
    env = make_vec_env(
        env_id, n_envs=min(n_envs, n_episodes), seed=EVALUATION_SEED + seed, env_kwargs=kwargs, backend=backend
    )
    trained = model.get_vec_normalize_env()
    if trained is not None:
        env = VecNormalize(
            env,
            training=False,
            norm_obs=trained.norm_obs,
            norm_reward=False,
            clip_obs=trained.clip_obs,
            epsilon=trained.epsilon,
            norm_obs_keys=trained.norm_obs_keys,
        )
        sync_envs_normalization(trained, env)
    play: Any = evaluate_policy
    if "action_masks" in inspect.signature(model.predict).parameters:
        from sb3_contrib.common.maskable.evaluation import evaluate_policy as play
    returns, _ = play(model, env, n_eval_episodes=n_episodes, deterministic=True, return_episode_rewards=True)
    env.close()
    return np.array(returns)


class EpisodeLog(BaseCallback):
    """Notes when training episodes ended and what they returned, and can stop the training at a target.

    It counts the episodes that ``rollout/ep_rew_mean`` counts: all, and with REINFORCE those within each environment's
    share (what an environment still ends beyond it are its short episodes).

    Args:
        target: stop once the mean over the last ``window`` episodes is at least this; None never stops.
        window: episodes in that mean.

    Attributes:
        timesteps: environment steps when each episode ended.
        returns: raw return of each episode.
        seconds: from making this object to the target, None until then.
    """

    def __init__(self, target: float | None = None, window: int = 100) -> None:
        super().__init__()
        self.target = target
        self.window = window
        self.timesteps: list[int] = []
        self.returns: list[float] = []
        self.seconds: float | None = None
        self._started = time.perf_counter()

    def _on_step(self) -> bool:
        ended = self.locals["dones"]
        if not ended.any():
            return True
        ended = ended & getattr(self.locals.get("rollout_buffer"), "active", True)
        episodes = [float(self.locals["infos"][i]["episode"]["r"]) for i in np.flatnonzero(ended)]
        self.timesteps += [self.num_timesteps] * len(episodes)
        self.returns += episodes
        if self.target is None or len(self.returns) < self.window:
            return True
        if np.mean(self.returns[-self.window :]) < self.target:
            return True
        self.seconds = time.perf_counter() - self._started
        return False


class UpdateLog(BaseCallback):
    """Notes before each rollout what ``rollout/ep_rew_mean`` is and what the last update logged: curves to draw.

    Args:
        *names: of logged values, such as "train/value_loss".

    Attributes:
        table: one row a rollout, from the first ended episode on: environment steps, mean return of the last 100
            episodes, and the values by name, not a number where there was none.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        self._rows: list[list[float]] = []

    @property
    def table(self) -> np.ndarray:
        """The rows so far, [n_rows, 2 + len(names)]."""
        return np.array(self._rows, dtype=np.float64).reshape(-1, 2 + len(self.names))

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.model.ep_info_buffer:
            logged = [float(self.logger.name_to_value.get(name, np.nan)) for name in self.names]
            returns = [episode["r"] for episode in self.model.ep_info_buffer]
            self._rows.append([float(self.num_timesteps), float(np.mean(returns)), *logged])
