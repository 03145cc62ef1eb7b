"""Runs a command of RL Zoo with ours registered, and turns a user's mistakes into one line instead of a traceback."""

import argparse
import difflib
import os
import runpy
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import gymnasium

Check = Callable[[argparse.Namespace], None]
MISTAKES = (ValueError, AssertionError, ImportError, OSError, gymnasium.error.Error)
"""What RL Zoo, SB3 and our classes raise for what a user can put right; ``--verbose 2`` shows where."""


class Parser(argparse.ArgumentParser):
    """RL Zoo's own options, as it adds them, with an example and with mistakes explained.

    Args:
        command: As in ``sb3-ext COMMAND``.
        description: One line.
        example: The end of ``--help``.
        check: Looks at the options once the environment is known to exist; it may change them and raise ``MISTAKES``.
    """

    verbose = 1

    def __init__(self, command: str, description: str, example: str, check: Check) -> None:
        super().__init__(
            f"sb3-ext {command}",
            description=description,
            epilog=example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.check = check

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """As RL Zoo says, but for three options that know more here."""
        if "--algo" in names:
            known = settings.pop("choices")
            settings.update(type=lambda text: nearest("algorithm", text, known), metavar="ALGO")
            settings["help"] = "short name of the algorithm (`sb3-ext algos` lists them; default: ppo)"
        elif "--env" in names:
            settings["help"] = "environment id (default: CartPole-v1)"
        elif "--vec-env" in names:
            settings["choices"] = ["auto", *settings["choices"]]
            settings["help"] = "VecEnv type; auto takes the fastest (sb3_ext.vec_env; default: dummy)"
        return super().add_argument(*names, **settings)

    def parse_args(self, *arguments: Any, **settings: Any) -> Any:
        """The options, checked; a mistake ends the program with status 2 and one line."""
        try:
            options = super().parse_args(*arguments, **settings)
        except Exception as error:  # whatever RL Zoo's eval of a name:value pair may raise
            self.error(f"{error}; RL Zoo reads name:value pairs as Python, text needs quotes: name:\"'text'\"")
        Parser.verbose = getattr(options, "verbose", 1)
        try:
            for package in getattr(options, "gym_packages", ()):
                import_module(package)
            check_environment(str(getattr(options.env, "gym_id", options.env)))
            self.check(options)
        except MISTAKES as error:
            self.error(str(error))
        return options

    def error(self, message: str) -> NoReturn:
        """One line, without the usage, which has forty."""
        self.exit(2, f"{self.prog}: {message}\n")


def run(command: str, arguments: list[str], description: str, example: str, check: Check) -> int:
    """Runs RL Zoo's command of the same name in this process, with ours registered.

    Args:
        command: "train", "enjoy" or "record-video".
        arguments: Its command line.
        description: One line for ``--help``.
        example: The end of ``--help``.
        check: See :class:`Parser`.

    Returns:
        0, or 2 for a user's mistake, which is printed. A training that was interrupted raises ``SystemExit(130)``.
    """
    import_rl_zoo()
    from sb3_ext.zoo.registration import register

    register()
    original = argparse.ArgumentParser

    def make_parser() -> Parser:
        argparse.ArgumentParser = original  # type: ignore[misc]  # RL Zoo's is the first; all others are not ours
        return Parser(command, description, example, check)

    try:
        with (
            replaced(sys, "argv", [f"sb3-ext {command}", *arguments]),
            replaced(argparse, "ArgumentParser", make_parser),
        ):
            runpy.run_module(f"rl_zoo3.{command.replace('-', '_')}", run_name="__main__")
    except MISTAKES as error:
        if Parser.verbose > 1:
            raise
        reason = str(error) or f"{type(error).__name__} (--verbose 2 shows where)"
        print(f"sb3-ext {command}: {reason}", file=sys.stderr)
        return 2
    return 0


def import_rl_zoo() -> None:
    """Imports RL Zoo and takes back what that does to Gymnasium.

    RL Zoo replaces ``TimeLimit``, for a key in ``info`` that SB3's ``VecEnv``s write themselves. With Gymnasium's own,
    environments behave as everywhere else in this process.
    """
    homes: Iterable[Any] = (gymnasium.wrappers, gymnasium.wrappers.common, gymnasium.envs.registration)
    original = gymnasium.wrappers.TimeLimit

    import rl_zoo3.import_envs  # noqa: F401

    for home in homes:
        home.TimeLimit = original


def has_screen() -> bool:
    """Whether a window can be opened."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of a module is another one for a while."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def nearest(kind: str, text: str, known: Iterable[str]) -> str:
    """The text, if it is known.

    Raises:
        ArgumentTypeError: If not; it names what is spelled most like it.
    """
    names = list(known)
    if text in names:
        return text
    close = difflib.get_close_matches(text.lower(), names, n=1, cutoff=0.4)
    advice = f"did you mean {close[0]}?" if close else f"choose from {', '.join(names)}"
    raise argparse.ArgumentTypeError(f"there is no {kind} {text!r}; {advice}")


def check_environment(env_id: str) -> None:
    """Refuses an id that Gymnasium does not know.

    Raises:
        ValueError: It names the nearest.
    """
    known = gymnasium.registry
    if env_id in known:
        return
    if env_id.partition(":")[2] in known:
        raise ValueError(f"write --env {env_id.partition(':')[2]}; RL Zoo takes no module in front of an id")
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(env_id.lower(), names, n=1)
    advice = f"did you mean {names[close[0]]}?" if close else "`gymnasium.pprint_registry()` lists those there are"
    raise ValueError(f"there is no environment {env_id!r}; {advice}")
