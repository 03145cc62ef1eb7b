"""Finds what a training left behind, and loads its models: as ``sb3-ext enjoy`` does, for a path as well."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sb3_ext.algos import TABLE, load
from sb3_ext.zoo.watch.playing import Player


@dataclass
class Saved:
    """A training's folder, or one model.

    Attributes:
        algo: Short name of the algorithm.
        env_id: Gymnasium's id.
        models: Name and file of each, in the order of training.
        folder: Where the settings of the training are looked for: RL Zoo's ``ENV_N``.
        seed: Of the environments.
    """

    algo: str
    env_id: str
    models: list[tuple[str, Path]]
    folder: Path
    seed: int = 0

    def describe(self) -> dict[str, Any]:
        """What the page is told."""
        return {"algo": self.algo, "env": self.env_id, "models": [name for name, _ in self.models]}

    def player(self, index: int) -> Player:
        """A player of one of the models.

        Raises:
            MessageError: If there is no such model, or it cannot be loaded.
        """
        from sb3_ext.zoo.rl_zoo import MISTAKES
        from sb3_ext.zoo.watch.checks import MessageError

        if not 0 <= index < len(self.models):
            raise MessageError(f"there are models 0 to {len(self.models) - 1}, got {index}")
        name, path = self.models[index]
        try:
            env, draws = self._make_env()
            return Player(self._load(path), env, name, draws)
        except MISTAKES as error:
            raise MessageError(f"{path}: {error}") from error

    def _make_env(self) -> tuple[Any, bool]:
        """The environment as in training, with the statistics by which observations were normalised."""
        import yaml
        from huggingface_sb3 import EnvironmentName
        from rl_zoo3.utils import create_test_env, get_saved_hyperparams
        from stable_baselines3.common.vec_env import DummyVecEnv

        from sb3_ext.zoo.playing import draws_pictures

        settings = self.folder / str(EnvironmentName(self.env_id))
        hyperparams, stats_path = get_saved_hyperparams(str(settings), test_mode=True)
        kwargs = dict(hyperparams.pop("env_kwargs", None) or {})
        if (settings / "args.yml").is_file():
            arguments = yaml.load((settings / "args.yml").read_text(), Loader=yaml.UnsafeLoader)  # RL Zoo's own
            kwargs = arguments.get("env_kwargs") or kwargs
        draws = draws_pictures(self.env_id)
        if draws:
            kwargs["render_mode"] = "rgb_array"
        env = create_test_env(
            self.env_id, n_envs=1, stats_path=stats_path, seed=self.seed, should_render=False, hyperparams=hyperparams,
            env_kwargs=kwargs, vec_env_cls=DummyVecEnv,
        )  # fmt: skip
        return env, draws

    def _load(self, path: Path) -> Any:
        from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

        cls = load(self.algo)
        schedules = {"learning_rate": 0.0, "lr_schedule": lambda _: 0.0, "clip_range": lambda _: 0.0}
        ours = TABLE[self.algo].path.startswith("sb3_ext")
        small = {"buffer_size": 1} if not ours and issubclass(cls, OffPolicyAlgorithm) else {}  # it only plays
        return cls.load(path, device="cpu", custom_objects=None if ours else schedules, seed=self.seed, **small)


def find_saved(options: argparse.Namespace) -> Saved:
    """What the command line names: a path, or ``--algo`` and ``--env`` as ``sb3-ext enjoy`` finds them.

    Raises:
        ValueError: If there is nothing, or the path does not say which algorithm and environment it is of.
    """
    if options.model is not None and not options.model.exists():
        raise ValueError(f"there is no {options.model}")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pictures, no windows
    from sb3_ext.zoo.rl_zoo import check_environment, import_rl_zoo

    import_rl_zoo()
    import sb3_ext.envs  # noqa: F401  registers the ids

    if options.model is None:
        path = _by_name(options)
        return Saved(options.algo, options.env, models_of(path), path, options.seed)
    path = options.model
    folder = path if path.is_dir() else path.parent
    models = models_of(path) if path.is_dir() else [(path.name, path)]
    if not models:
        raise ValueError(f"there is no model (*.zip) in {path}")
    algo = options.algo or _algo_of(folder)
    env_id = options.env or _env_of(folder)
    check_environment(env_id)
    return Saved(algo, env_id, models, folder, options.seed)


def _by_name(options: argparse.Namespace) -> Path:
    """The folder of the training that ``enjoy`` would take."""
    from huggingface_sb3 import EnvironmentName

    from sb3_ext.zoo.playing import OF_THE_HUB, find_model
    from sb3_ext.zoo.rl_zoo import check_environment

    if options.algo is None or options.env is None:
        raise ValueError("name the algorithm (--algo) and the environment (--env), or the path of a model")
    check_environment(options.env)
    wanted = argparse.Namespace(
        algo=options.algo, env=EnvironmentName(options.env), folder=options.folder or OF_THE_HUB,
        exp_id=options.exp_id, load_best=False, load_checkpoint=None, load_last_checkpoint=False,
    )  # fmt: skip
    _, folder = find_model(wanted)
    if not models_of(folder):
        raise ValueError(
            f"there is no model of {options.algo} on {options.env}; train one: "
            f"sb3-ext train --algo {options.algo} --env {options.env}"
        )
    return folder


def models_of(folder: Path) -> list[tuple[str, Path]]:
    """The models in a training's folder: checkpoints in their order, the best, the last."""
    checkpoints = {path: int(path.stem.split("_")[-2]) for path in folder.glob("rl_model_[0-9]*_steps.zip")}
    models = [(f"after {checkpoints[path]:,} steps", path) for path in sorted(checkpoints, key=checkpoints.__getitem__)]
    others = sorted(path for path in folder.glob("*.zip") if path not in checkpoints)
    best = [("best in evaluation", path) for path in others if path.name == "best_model.zip"]
    return models + best + [(f"last: {path.name}", path) for path in others if path.name != "best_model.zip"]


def _algo_of(folder: Path) -> str:
    for name in (folder.absolute().parent.name, folder.absolute().name):
        if name in TABLE:
            return name
    raise ValueError(f"{folder} does not say of which algorithm it is; name it: --algo ALGO")


def _env_of(folder: Path) -> str:
    """The id whose name for files a training's folder begins with: ENV_N."""
    import gymnasium
    from huggingface_sb3 import EnvironmentName

    name = folder.absolute().name.rpartition("_")[0]
    for env_id in gymnasium.registry:
        if name and str(EnvironmentName(env_id)) == name:
            return env_id
    raise ValueError(f"{folder} does not say of which environment it is; name it: --env ID")
