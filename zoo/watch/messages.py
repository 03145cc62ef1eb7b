"""What a browser may send: JSON objects with a ``type``, each field of which is checked before anything uses it.

    {"type": "setup",
     "world": {"map": ["S.G"], "rules": {}},                      as GridWorld.from_dict reads it, within LARGEST_SIDE
     "gamma": 0.99, "agents": [{...}]}                            one or two, see ``AgentSettings``
    {"type": "run", "speed": 100}                                 transitions a second; 0: as many as possible
    {"type": "pause"}  {"type": "step"}  {"type": "reset"}
    {"type": "seen", "frame": 7}                                  that frame is drawn: the next may come
    {"type": "model", "index": 0}                                 play that one of the models that the server offers

Nothing else is understood. Numbers must be finite, texts and lists short; nothing of it is ever run or unpickled.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from sb3_ext.zoo.watch.checks import (
    MessageError,
    choice,
    json_list,
    json_object,
    number,
    refuse_constant,
    refuse_unknown,
    short,
    whole,
)

LARGEST_MESSAGE = 256 * 1024  # bytes
LARGEST_SIDE = 50  # cells of a map
LARGEST_REWARD = 1e6
LONGEST_EPISODE = 5_000  # steps
ALGORITHMS = ("q_learning", "sarsa", "expected_sarsa", "double_q_learning", "monte_carlo", "dyna_q")
SHAPINGS = ("none", "distance", "progress", "value")


@dataclass(frozen=True)
class AgentSettings:
    """One learner.

    Attributes:
        algo: One of ``ALGORITHMS``.
        alpha: Step size, above 0 and up to 1.
        epsilon: Of its epsilon-greedy exploration, from 0 to 1.
        lambda_: Trace decay, from 0 to 1 (Q-learning, SARSA).
        n_steps: Rewards in a return before it bootstraps (SARSA, Expected SARSA).
        planning_steps: Updates from the model after each step (Dyna-Q).
        kappa: Weight of Dyna-Q+'s bonus (Dyna-Q).
        initial_value: Q(s, a) before anything is learned.
        shaping: Potential of ``PotentialShaping``: "distance", "progress", "value", or "none".
        scale: The potential is multiplied by it.
        seed: Of all random numbers.
    """

    algo: str = "q_learning"
    alpha: float = 0.1
    epsilon: float = 0.1
    lambda_: float = 0.0
    n_steps: int = 1
    planning_steps: int = 5
    kappa: float = 0.0
    initial_value: float = 0.0
    shaping: str = "none"
    scale: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Message:
    """A message that was understood; fields that its type does not have keep their defaults.

    Attributes:
        type: One of ``TYPES``.
        world: A description for ``GridWorld.from_dict``.
        gamma: Discount, from 0 to 1.
        agents: One or two.
        speed: Transitions a second, 0 for as many as possible.
        frame: Number of a frame that the page has drawn.
        index: Of a saved model.
    """

    type: str
    world: dict[str, Any] = field(default_factory=dict)
    gamma: float = 0.99
    agents: tuple[AgentSettings, ...] = ()
    speed: float = 0.0
    frame: int = 0
    index: int = 0


def read_message(text: str | bytes) -> Message:
    """What a browser sent.

    Raises:
        MessageError: For anything but a message as above.
    """
    if not isinstance(text, str):
        raise MessageError("messages are text, got binary data")
    if len(text) > LARGEST_MESSAGE:
        raise MessageError(f"a message has at most {LARGEST_MESSAGE} characters, got {len(text)}")
    try:
        content = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a message must be JSON: {str(error)[:200]}") from None
    kind = json_object("a message", content).get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise MessageError(f"type must be one of {', '.join(TYPES)}, got {short(kind)}")
    checks = TYPES[kind]
    refuse_unknown("a message of this type", content, {"type", *checks})
    for name in checks:
        if name not in content:
            raise MessageError(f"a message of type {kind!r} needs {name!r}")
    return Message(kind, **{name: check(content[name]) for name, check in checks.items()})


# ---- Agents ---------------------------------------------------------------------------------------------------------

_AGENT: dict[str, Callable[[Any], Any]] = {
    "algo": choice("algo", ALGORITHMS),
    "alpha": number("alpha", 0, 1, above=True),
    "epsilon": number("epsilon", 0, 1),
    "lambda_": number("lambda_", 0, 1),
    "n_steps": whole("n_steps", 1, 100),
    "planning_steps": whole("planning_steps", 0, 100),
    "kappa": number("kappa", 0, 10),
    "initial_value": number("initial_value", -LARGEST_REWARD, LARGEST_REWARD),
    "shaping": choice("shaping", SHAPINGS),
    "scale": number("scale", 0, 1000),
    "seed": whole("seed", 0, 2**31 - 1),
}
assert set(_AGENT) == {each.name for each in fields(AgentSettings)}


def read_agents(value: Any) -> tuple[AgentSettings, ...]:
    """One or two agents; fields that are left out have their defaults."""
    agents = []
    for agent in json_list("agents", value, 1, 2):
        refuse_unknown("an agent", json_object("an agent", agent), set(_AGENT))
        agents.append(AgentSettings(**{name: _AGENT[name](given) for name, given in agent.items()}))
    return tuple(agents)


# ---- Worlds ---------------------------------------------------------------------------------------------------------

_reward = number("a reward", -LARGEST_REWARD, LARGEST_REWARD)
_wind = whole("wind", -LARGEST_SIDE, LARGEST_SIDE)


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise MessageError(f"a rule that is on or off must be true or false, got {short(value)}")
    return value


_RULES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("king_moves", "stay", "stochastic_wind", "goal_ends", "random_start"), _truth),
    **dict.fromkeys(("step_reward", "goal_reward", "hole_reward"), _reward),
    "bump_reward": lambda value: None if value is None else _reward(value),
    "slip": number("slip", 0, 1),
}


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise MessageError(f"a text of at most {most} letters was expected, got {short(value)}")
    return value


def _read_map(value: Any) -> list[str]:
    rows = [_text(row, LARGEST_SIDE) for row in json_list("a map", value, 1, LARGEST_SIDE)]
    if not rows[0]:
        raise MessageError("the rows of a map must not be empty")
    if not "".join(rows).isprintable():
        raise MessageError("a map must consist of letters that can be printed")
    return rows


def _read_rows(name: str, value: Any, check: Callable[[Any], Any]) -> list[Any]:
    """A list of numbers, or of lists of them."""
    rows = json_list(name, value, 1, LARGEST_SIDE)
    return [
        [check(cell) for cell in json_list(name, row, 1, LARGEST_SIDE)] if isinstance(row, list) else check(row)
        for row in rows
    ]


def _read_rewards(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(letter, 1): _reward(given) for letter, given in value.items()}
    for row in json_list("rewards", value, 1, LARGEST_SIDE):
        json_list("a row of rewards", row, 1, LARGEST_SIDE)
    return _read_rows("rewards", value, lambda cell: None if cell is None else _reward(cell))


def _read_jumps(value: Any) -> dict[str, list[Any]]:
    jumps = {}
    for letter, jump in json_object("jumps", value).items():
        target, reward = json_list("a jump", jump, 2, 2)
        jumps[_text(letter, 1)] = [_text(target, 1), _reward(reward)]
    return jumps


def _read_rules(value: Any) -> dict[str, Any]:
    refuse_unknown("rules", json_object("rules", value), set(_RULES))
    return {name: _RULES[name](given) for name, given in value.items()}


_MAP: dict[str, Callable[[Any], Any]] = {
    "map": _read_map,
    "wind": lambda value: _read_rows("wind", value, _wind),
    "rewards": _read_rewards,
    "jumps": _read_jumps,
}


def _read_change(value: Any) -> dict[str, Any]:
    checks = _MAP | {"after": whole("after", 1, 10**9)}
    refuse_unknown("a change", json_object("a change", value), set(checks))
    return {name: checks[name](given) for name, given in value.items()}


_WORLD: dict[str, Callable[[Any], Any]] = {
    **_MAP,
    "rules": _read_rules,
    "change": _read_change,
    "require_goal": _truth,
    "about": lambda value: _text(value, 1000),
    "max_episode_steps": whole("max_episode_steps", 1, LONGEST_EPISODE),
}


def read_world(value: Any) -> dict[str, Any]:
    """A description of a world, of the form and size that ``GridWorld.from_dict`` may be given.

    Raises:
        MessageError: If it is of another form, or too large. Whether the map makes sense, ``GridWorld`` says.
    """
    refuse_unknown("a world", json_object("a world", value), set(_WORLD))
    if "map" not in value:
        raise MessageError("a world needs a 'map', a list of rows")
    return {name: _WORLD[name](given) for name, given in value.items()}


TYPES: dict[str, dict[str, Callable[[Any], Any]]] = {
    "setup": {"world": read_world, "gamma": number("gamma", 0, 1), "agents": read_agents},
    "run": {"speed": number("speed", 0, 1e9)},
    "pause": {},
    "step": {},
    "reset": {},
    "seen": {"frame": whole("frame", 0, 2**53)},
    "model": {"index": whole("index", 0, 10_000)},
}
"""The fields of each type of message, all of them needed, and their checks."""
