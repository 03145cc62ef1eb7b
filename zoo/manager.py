"""RL Zoo's ``ExperimentManager``, with our hyperparameter files and where our algorithms need something else.

What RL Zoo does with an algorithm that it does not know, tried one by one, and what is different here is in the
methods' docstrings. Everything else is RL Zoo's.
"""

import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
from rl_zoo3 import exp_manager
from rl_zoo3.exp_manager import ExperimentManager
from sb3_contrib.common.maskable.callbacks import MaskableEvalCallback
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_ext.vec_env import make_vec_env
from sb3_ext.zoo.hyperparameters import (
    FALLBACK,
    SCHEDULES,
    check_arguments,
    default_file,
    fallback,
    fitting_policy,
    is_written,
    schedule,
)
from sb3_ext.zoo.yaml_check import WHOLE_NUMBERS, check_value, read_entries

WRONG_ARGUMENTS = (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, RuntimeError, TypeError)
"""What classes raise for an argument that they cannot use, beside ValueError."""

LONGEST_EVALUATION = 1000  # steps of an episode, where the environment has no time limit


class Manager(ExperimentManager):
    """RL Zoo's manager of one training; takes what that takes, and ``vec_env_type="auto"``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.backend = kwargs.get("vec_env_type", "dummy")
        self.given_file = kwargs.get("config")
        self.interrupted = False
        if self.backend == "auto":
            kwargs["vec_env_type"] = "dummy"  # until create_envs
        super().__init__(*args, **kwargs)

    def setup_experiment(self) -> tuple[BaseAlgorithm, dict[str, Any]] | None:
        """What a class makes of an argument of the wrong type is the user's mistake, here.

        Raises:
            ValueError: For such an argument, of the algorithm or of the environment.
        """
        try:
            return super().setup_experiment()
        except WRONG_ARGUMENTS as error:
            reason = (str(error) or "nothing said").splitlines()[0]
            raise ValueError(f"{self.algo} on {self.env_name.gym_id}: {type(error).__name__}: {reason}") from error

    def read_hyperparameters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Ours from our files; a file of hyperparameters is checked, and a missing entry is no error.

        Raises:
            ValueError: For a file that is refused, an entry that a given file lacks, or a name that the class does not
                take.
        """
        env_id = self.env_name.gym_id
        file = Path(self.given_file or default_file(self.algo))
        if str(file).endswith((".yml", ".yaml")):  # as RL Zoo decides: the file may be called just ".yml"
            trusted = getattr(self.args, "gym_packages", ())
            known = read_entries(file, trusted) if self.given_file or file.exists() else {}
            if env_id not in known and not (self._is_atari and "atari" in known):
                file = self._stand_in(file, known)
        else:
            print(f"{file} is Python: it runs as your own code")
        self.config = str(file)
        hyperparams, saved = super().read_hyperparameters()
        try:
            check_arguments(self.algo, hyperparams)
            for name in WHOLE_NUMBERS & hyperparams.keys():
                check_value(name, hyperparams[name])
        except ValueError as error:
            raise ValueError(f"{file}, {env_id}: {error}") from error
        missing = [name for name in ("n_timesteps", "policy") if name not in hyperparams]
        if missing:
            raise ValueError(f"{file}, {env_id}: {missing[0]} is missing")
        return hyperparams, saved

    def _stand_in(self, file: Path, known: dict[str, dict[str, Any]]) -> Path:
        """The file to read for an environment without an entry, and the policy that fits its observations."""
        env_id = self.env_name.gym_id
        if self.given_file and "default" not in known:
            raise ValueError(f"{file} has no entry {env_id!r}; it has {', '.join(known) or 'none'}")
        settings: dict[str, Any] = {}
        if "default" not in known:
            print(f"No hyperparameters for {self.algo} on {env_id}: the class's own defaults")
            file, settings = FALLBACK, fallback(self.algo)
        wished = known.get("default", {}).get("policy")
        policy = fitting_policy(self.algo, env_id, self.env_kwargs, wished)
        self.custom_hyperparams = {**settings, "policy": policy, **(self.custom_hyperparams or {})}
        return file

    @staticmethod
    def _preprocess_schedules(hyperparams: dict[str, Any]) -> dict[str, Any]:
        """Text becomes SB3's own linear schedule: with RL Zoo's class every saved model would need RL Zoo.

        A rate by visits ("1/N", "lin_1/N^0.5") is left for our tabular algorithms to read.
        """
        ours = {key: schedule(value) for key, value in hyperparams.items() if key in SCHEDULES and is_written(value)}
        others = {key: value for key, value in hyperparams.items() if key not in ours}
        return {**ExperimentManager._preprocess_schedules(others), **ours}

    def create_callbacks(self) -> None:
        """MaskablePPO is evaluated with its masks."""
        original = exp_manager.EvalCallback
        if self.algo == "ppo_mask":
            exp_manager.EvalCallback = MaskableEvalCallback  # type: ignore[misc]
        try:
            super().create_callbacks()
        finally:
            exp_manager.EvalCallback = original  # type: ignore[misc]

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """Those of evaluations take the file's ``env_kwargs``, too, and get a time limit if they have none.

        With ``--vec-env auto`` they come from :func:`sb3_ext.vec_env.make_vec_env`.
        """
        if self._eval_env_kwargs_args is None:
            self.eval_env_kwargs = self.env_kwargs
        env_id = self.env_name.gym_id
        limited = gym.spec(env_id).max_episode_steps or "max_episode_steps" in self.eval_env_kwargs
        if eval_env and not limited and not self._is_atari:  # Atari games count their frames themselves
            print(f"{env_id} has no time limit: an episode of an evaluation ends after {LONGEST_EVALUATION} steps")
            self._eval_env_kwargs_args = {**self.eval_env_kwargs, "max_episode_steps": LONGEST_EVALUATION}
            self.eval_env_kwargs = self._eval_env_kwargs_args
        if self.backend == "auto":
            kwargs = self.eval_env_kwargs if eval_env else self.env_kwargs
            folder = None if eval_env or no_log else self.save_path
            purpose = "evaluation" if eval_env else "training"
            self.vec_env_class = self._fast_envs(purpose, kwargs, folder)  # type: ignore[assignment]  # is called only
        return super().create_envs(n_envs, eval_env, no_log)

    def _fast_envs(self, purpose: str, env_kwargs: dict[str, Any], folder: str | None) -> Callable[..., VecEnv]:
        """What takes the place of ``DummyVecEnv``: it gets RL Zoo's functions that make one environment each."""

        def make(env_fns: list[Callable[[], gym.Env]]) -> VecEnv:
            obstacle = "env_wrapper" if self.env_wrapper else "masking actions" if self.algo == "ppo_mask" else None
            if obstacle is not None:
                print(f"--vec-env auto, {purpose}: DummyVecEnv, for {obstacle} needs environments one by one")
                return DummyVecEnv(env_fns)
            env = make_vec_env(
                self.env_name.gym_id,
                len(env_fns),
                self.seed,
                env_kwargs=env_kwargs,
                monitor_dir=folder,
                monitor_kwargs=self.monitor_kwargs,
            )
            print(f"--vec-env auto, {purpose}: {type(env.unwrapped).__name__}")
            return env

        return make

    def objective(self, trial: Any) -> float:
        """MaskablePPO is evaluated with its masks in RL Zoo's own search, too."""
        original = exp_manager.TrialEvalCallback
        if self.algo == "ppo_mask":
            masked = type("MaskedTrialEvalCallback", (original, MaskableEvalCallback), {})
            exp_manager.TrialEvalCallback = masked  # type: ignore[misc, assignment]
        try:
            return super().objective(trial)
        finally:
            exp_manager.TrialEvalCallback = original  # type: ignore[misc]

    def learn(self, model: BaseAlgorithm) -> None:
        """RL Zoo keeps silent about Ctrl-C; here it is noted, for :meth:`save_trained_model`."""
        noting = NotingInterruption(model)
        super().learn(noting)  # type: ignore[arg-type]
        self.interrupted = noting.interrupted

    def save_trained_model(self, model: BaseAlgorithm) -> None:
        """After Ctrl-C it says what is kept and how to go on, and ends the program with status 130.

        Raises:
            ValueError: If the model cannot be written; half of one is not left behind.
        """
        try:
            super().save_trained_model(model)
        except OSError as error:
            file = Path(self.save_path) / f"{self.env_name}.zip"
            file.unlink(missing_ok=True)
            raise ValueError(f"cannot write {file}: {error.strerror}; the trained model is lost") from error
        if self.interrupted:
            saved = f"{self.save_path}/{self.env_name}.zip"
            left = max(self.n_timesteps - model.num_timesteps, 1)
            arguments = shlex.join(sys.argv[1:])
            print(f"interrupted after {model.num_timesteps} of {self.n_timesteps} steps; saved: {saved}")
            print(f"go on with: {Path(sys.argv[0]).name} {arguments} -i {shlex.quote(saved)} -n {left}")
            raise SystemExit(130)


class NotingInterruption:
    """A model that notes Ctrl-C while it learns; everything else is the model's."""

    def __init__(self, model: BaseAlgorithm) -> None:
        self.model = model
        self.interrupted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def learn(self, *args: Any, **kwargs: Any) -> BaseAlgorithm:
        """As the model's; after Ctrl-C a second one is ignored, for what follows saves the model."""
        try:
            return self.model.learn(*args, **kwargs)
        except KeyboardInterrupt:
            self.interrupted = True
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise
