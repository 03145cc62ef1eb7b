"""Hyperparameter files are checked before RL Zoo reads them, so that a file cannot run code.

RL Zoo gives some strings of a file to ``eval`` (``EVALUATED``) and imports and calls what others name (``MODULES``).
Here a file is parsed only: a string for ``eval`` must be made of literals, ``dict(...)`` and the names in ``NAMES``; a
name to import must be a class in one of the key's ``MODULES``, or in a package that the user trusts on the command line
(``--gym-packages``). Hyperparameters in Python (``-conf my_file.py``) and on the command line are the user's own code.
"""

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

EVALUATED = ("monitor_kwargs", "normalize", "policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs")
SCHEDULES = ("clip_range", "clip_range_vf", "delta_std", "learning_rate")
WHOLE_NUMBERS = frozenset({"frame_stack", "n_envs", "n_timesteps"})

NAMES = re.compile(r"HerReplayBuffer|RMSpropTFLike|(nn|th\.nn|th\.optim)\.[A-Z]\w*")
"""What may stand in a string for ``eval`` beside literals: classes that RL Zoo knows by these names."""

WRAPPERS = (
    "ae.wrapper",
    "gymnasium.wrappers",
    "minigrid.wrappers",
    "rl_zoo3.wrappers",
    "sb3_contrib.common.wrappers",
    "sb3_ext.envs",
    "stable_baselines3.common.atari_wrappers",
)
MODULES = {
    "callback": ("rl_zoo3.callbacks", "sb3_contrib.common.maskable.callbacks", "stable_baselines3.common.callbacks"),
    "env_wrapper": WRAPPERS,
    "policy": ("sb3_contrib.common", "sb3_ext.grpo", "sb3_ext.tabular", "stable_baselines3.common.policies"),
    "vec_env_wrapper": ("sb3_contrib.common.vec_env", "stable_baselines3.common.vec_env"),
}
"""Where a file may name a class, for each key that takes one; an algorithm is none of them, for it loads files."""

_CLASS = re.compile(r"(?:[A-Za-z_]\w*\.)+[A-Z]\w*")
_PLAIN = re.compile(r"[A-Za-z_][\w.+-]*")
_SCHEDULE = re.compile(r"lin_(\d*\.?\d+(?:e[+-]?\d+)?)")
_TABULAR_RATE = re.compile(r"(?:lin_)?\d*\.?\d+(?:/N(?:\^\d*\.?\d+)?)?")  # "1/N", "lin_0.5/N^0.8": sb3_ext.tabular


def read_entries(file: Path, trusted: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """The entries of a hyperparameter file in RL Zoo's format, all of them checked.

    Args:
        file: The file (YAML).
        trusted: Packages whose classes the file may name, beside ``MODULES``.

    Returns:
        For each environment id (or "default", "atari") the hyperparameters, with their strings as they stand.

    Raises:
        ValueError: If the file cannot be read, is not YAML, or holds what might run as code; it names file, line and
            key.
    """
    try:
        text = file.read_text(encoding="utf-8")
        entries = yaml.safe_load(text)
        lines = _lines(text)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ValueError(f"{file}, line {line}: not valid YAML here: {error.problem}") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:  # a wrong byte, a wrong !!float, nested too deep
        raise ValueError(f"{file}: not valid YAML: {error}") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{file}: must map environment ids to hyperparameters, got {_shown(entries)}")
    for name, entry in entries.items():
        if not isinstance(name, str) or not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
            line = lines.get((str(name), None), 1)
            raise ValueError(f"{file}, line {line}: {name} must hold hyperparameters by name")
        for key, value in entry.items():
            try:
                check_value(key, value, trusted)
            except RecursionError:
                raise ValueError(f"{file}, {name}, {key}: refers to itself") from None
            except ValueError as error:
                line = lines.get((name, key), lines.get((name, None), 1))
                raise ValueError(f"{file}, line {line}, {name}, {key}: {error}") from error
    return entries


def check_value(key: str, value: Any, trusted: Iterable[str] = ()) -> None:
    """Refuses a hyperparameter that RL Zoo would run as code.

    Raises:
        ValueError: If it is one; the message says what may stand there.

    Example:
        >>> check_value("policy_kwargs", "dict(net_arch=[64, 64], activation_fn=nn.ReLU)")
        >>> check_value("normalize", "exit()")
        Traceback (most recent call last):
        ...
        ValueError: 'exit()' is not a literal or dict(...) of literals; code is not run
    """
    if key in MODULES and not (key == "policy" and isinstance(value, str) and value.isidentifier()):
        for name in _class_names(value):
            _check_class(name, (*MODULES[key], *trusted))
    elif key in WHOLE_NUMBERS:
        _check_whole_number(value)
    elif not isinstance(value, str):
        return  # RL Zoo hands data on as it is
    elif key in EVALUATED:
        _check_expression(value)
    elif key in SCHEDULES:
        if not _SCHEDULE.fullmatch(value) and not (key == "learning_rate" and _TABULAR_RATE.fullmatch(value)):
            raise ValueError(f"{value!r} is not a schedule; write a number (!!float 1e-3) or lin_<number> (lin_1e-3)")
    elif not _PLAIN.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not a number (!!float 1e-3) or a name; code is not run")


def _class_names(value: Any) -> list[Any]:
    """The names in the value of ``env_wrapper`` and its like: a name, or a list of names and {name: arguments}."""
    if value is None:
        return []
    names: list[Any] = []
    for item in value if isinstance(value, list) else [value]:
        names += list(item) if isinstance(item, dict) else [item]
    return names


def _check_class(name: Any, modules: Iterable[str]) -> None:
    if not isinstance(name, str) or not _CLASS.fullmatch(name):
        raise ValueError(f"{_shown(name)} is not the dotted name of a class (package.module.Class)")
    if not any(name.startswith(f"{module}.") for module in modules):
        raise ValueError(
            f"{name} is not in {', '.join(modules)}; for a class of your own trust its package (--gym-packages "
            f"{name.partition('.')[0]}) or write the hyperparameters in Python (-conf my_file.py)"
        )


def _check_whole_number(value: Any) -> None:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    if not whole or value < 1:
        raise ValueError(f"must be a whole number, at least 1, got {_shown(value)}")


def _check_expression(text: str) -> None:
    """Only literals, ``dict(name=...)`` and ``NAMES``."""
    try:
        harmless = _is_harmless(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        harmless = False
    if not harmless:
        raise ValueError(f"{_shown(text)} is not a literal or dict(...) of literals; code is not run")


def evaluate_literal(text: str, with_classes: bool = False) -> Any:
    """The value of a string that RL Zoo would run, without running it.

    Args:
        text: literals and ``dict(name=...)`` of them.
        with_classes: whether classes of PyTorch may be among them, as ``nn.ReLU`` or ``th.optim.Adam``.

    Raises:
        ValueError: If it is anything else.

    Example:
        >>> evaluate_literal("dict(net_arch=[64, 64])")
        {'net_arch': [64, 64]}
    """
    _check_expression(text)
    try:
        return _value_of(ast.parse(text.strip(), mode="eval").body, with_classes)
    except AttributeError as error:
        raise ValueError(f"{_shown(text)}: {error}") from error


def _value_of(node: ast.AST, with_classes: bool) -> Any:
    """The value of what ``_is_harmless`` let through."""
    if isinstance(node, ast.Call):
        return {word.arg: _value_of(word.value, with_classes) for word in node.keywords}
    if isinstance(node, ast.Dict):
        keys = [_value_of(key, with_classes) for key in node.keys if key is not None]
        return dict(zip(keys, [_value_of(value, with_classes) for value in node.values], strict=True))
    if isinstance(node, ast.List | ast.Tuple):
        values = [_value_of(each, with_classes) for each in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    if isinstance(node, ast.Name | ast.Attribute):
        name = ast.unparse(node).removeprefix("th.")
        if not with_classes or not name.startswith(("nn.", "optim.")):
            raise ValueError(f"{name} is a class, where a literal or dict(...) of literals must stand")
        import torch

        package, _, member = name.partition(".")
        return getattr(getattr(torch, package), member)
    assert isinstance(node, ast.expr)
    return ast.literal_eval(node)


def _is_harmless(node: ast.AST) -> bool:
    """Whether evaluating it can only give data, or a class of ``NAMES``."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.List | ast.Tuple):
        return all(map(_is_harmless, node.elts))
    if isinstance(node, ast.Dict):
        return all(key is not None and _is_harmless(key) for key in node.keys) and all(map(_is_harmless, node.values))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub | ast.UAdd) and isinstance(node.operand, ast.Constant)
    if isinstance(node, ast.Call):
        is_dict = isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args
        return is_dict and all(word.arg is not None and _is_harmless(word.value) for word in node.keywords)
    return isinstance(node, ast.Name | ast.Attribute) and NAMES.fullmatch(ast.unparse(node)) is not None


def _lines(text: str) -> dict[tuple[str, str | None], int]:
    """Where each entry (environment, None) and each of its keys stands, counted from 1."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines: dict[tuple[str, str | None], int] = {}
    for name, entry in root.value if isinstance(root, yaml.MappingNode) else ():
        _note(lines, (name.value, None), name)
        for key, _ in entry.value if isinstance(entry, yaml.MappingNode) else ():
            _note(lines, (name.value, key.value), key)
    return lines


def _note(lines: dict[tuple[str, str | None], int], place: tuple[str, str | None], node: yaml.Node) -> None:
    """Enters a place; YAML would let the second of two win without a word."""
    line = node.start_mark.line + 1
    if place in lines and place[1] != "<<":
        raise ValueError(f"line {line}: {place[1] or place[0]} stands twice, first in line {lines[place]}")
    lines[place] = line


def _shown(value: Any) -> str:
    """The value, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
