"""What ``enjoy`` and ``record-video`` share: find the model, make its environments, film them, mask actions."""

import argparse
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import rl_zoo3
from rl_zoo3.utils import create_test_env, get_model_path
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.vec_env import VecEnv, VecVideoRecorder

from sb3_ext.algos import TABLE
from sb3_ext.zoo.rl_zoo import has_screen, replaced, run

FOLDERS = ("logs", str(Path(__file__).parent / "results"))
"""Where models are looked for without ``-f``: what ``train`` wrote, then what ships with the project."""
OF_THE_HUB = "rl-trained-agents"
"""RL Zoo's default folder, which it fills from the Hugging Face Hub."""


class Player:
    """One run of RL Zoo's ``enjoy`` or ``record_video``.

    Args:
        command: "enjoy" or "record-video".
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.films = False
        """whether windows are replaced by a film (``enjoy``)"""
        self.film: Path | None = None
        """the film to be written, if there is to be one"""

    def run(self, arguments: list[str], description: str, example: str) -> int:
        """Plays, and says where the film is."""
        rl_zoo3.ALGOS["ppo_mask"] = PlayingMaskablePPO
        make = self.make_envs
        with replaced(rl_zoo3, "create_test_env", make), replaced(rl_zoo3.utils, "create_test_env", make):
            status = run(self.command, arguments, description, example, self.check)
        if self.film is not None and self.film.exists():
            print(f"film  {self.film}")
        return status

    def check(self, options: argparse.Namespace) -> None:
        """Finds the model, and decides on the film; may change the options.

        Raises:
            ValueError: If there is no model, or a film is asked for where nothing is drawn.
        """
        prefix, folder = find_model(options)
        folder = Path(getattr(options, "output_folder", None) or folder / "videos").absolute()
        film = folder / f"{prefix}-step-0-to-step-{options.n_timesteps}.mp4"
        drawn = draws_pictures(options.env.gym_id)
        if self.command == "record-video":
            if not drawn:
                raise ValueError(f"{options.env.gym_id} draws no pictures (render_mode='rgb_array')")
            self.film = film
        elif not (options.no_render or has_screen()):
            print("no screen here: " + ("a film is written instead" if drawn else "nothing is shown"))
            self.films, options.no_render = drawn, not drawn
            self.film, self.length, self.prefix = film if drawn else None, options.n_timesteps, prefix
        if self.film is not None:
            self.film.unlink(missing_ok=True)  # of an earlier run

    def make_envs(
        self, env_id: str, *, hyperparams: dict[str, Any], env_kwargs: dict[str, Any] | None = None, **settings: Any
    ) -> VecEnv:
        """In place of RL Zoo's ``create_test_env``; the ``env_kwargs`` of the training's file hold here, too."""
        kwargs = {**hyperparams.pop("env_kwargs", {}), **(env_kwargs or {})}
        if self.films:
            kwargs["render_mode"] = "rgb_array"
        try:
            env = create_test_env(env_id, hyperparams=hyperparams, env_kwargs=kwargs, **settings)
        except TypeError as error:  # an argument that the environment does not take
            raise ValueError(f"{env_id}: {error}") from error
        PlayingMaskablePPO.playing = env
        if not self.films:
            return env
        assert self.film is not None
        return Film(env, str(self.film.parent), lambda step: step == 0, self.length, self.prefix)


class Film(VecVideoRecorder):
    """Films in place of showing a window."""

    def render(self, mode: str | None = None) -> None:
        """Nothing: every step is filmed as it is."""


class PlayingMaskablePPO(MaskablePPO):
    """MaskablePPO that asks the environment it plays in for the masks, which RL Zoo does not hand over."""

    playing: VecEnv | None = None

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
        action_masks: np.ndarray | None = None,
    ) -> Any:
        """As MaskablePPO's."""
        env = PlayingMaskablePPO.playing
        if action_masks is None and env is not None and is_masking_supported(env):
            action_masks = get_action_masks(env)
        return super().predict(observation, state, episode_start, deterministic, action_masks)


def find_model(options: argparse.Namespace) -> tuple[str, Path]:
    """Makes sure that there is a model, and sets ``options.folder`` if none was given.

    Returns:
        A name for its film, and the folder of its training.

    Raises:
        ValueError: If there is none; it says how to train one.
    """
    algo, env_id = options.algo, options.env.gym_id
    chosen = options.folder != OF_THE_HUB
    wanted = (options.load_best, options.load_checkpoint, options.load_last_checkpoint)
    problems = []
    for folder in [options.folder] if chosen else [*FOLDERS, OF_THE_HUB]:
        for run_id in _runs(options.exp_id, Path(folder, algo), options.env):
            try:
                prefix, _, path = get_model_path(run_id, folder, algo, options.env, *wanted)
            except (AssertionError, ValueError) as error:
                problems.append(str(error))
            else:
                options.folder, options.exp_id = folder, run_id
                return prefix, Path(path)
    on_the_hub = not TABLE[algo].path.startswith("sb3_ext") and algo != "ppo_mask"
    if not chosen and on_the_hub and options.exp_id == 0 and not any(wanted):
        return f"final-model-{algo}-{options.env}", Path(OF_THE_HUB) / algo / f"{options.env}_1"  # RL Zoo asks the Hub
    where = f" -f {options.folder}" if chosen else ""
    raise ValueError(f"{problems[0]}; train one: sb3-ext train --algo {algo} --env {env_id}{where}")


def _runs(exp_id: int, folder: Path, env_name: str) -> list[int]:
    """The runs to look at: the latest first, as one whose set-up failed leaves a folder without a model."""
    if exp_id != 0:
        return [exp_id]
    numbers = [path.name.removeprefix(f"{env_name}_") for path in folder.glob(f"{env_name}_*")]
    return sorted((int(number) for number in numbers if number.isdigit()), reverse=True) or [1]


def draws_pictures(env_id: str) -> bool:
    """Whether the environment can be filmed, as far as its class says."""
    entry_point = gym.spec(env_id).entry_point
    creator: Any = gym.envs.registration.load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return "rgb_array" in getattr(creator, "metadata", {}).get("render_modes", ["rgb_array"])
