"""What a browser sends is checked field by field: nothing gets through that the library would choke on."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.envs.grid.layouts import LAYOUTS
from sb3_ext.zoo.watch.checks import MessageError
from sb3_ext.zoo.watch.examples import EXAMPLES
from sb3_ext.zoo.watch.messages import (
    LARGEST_MESSAGE,
    TYPES,
    AgentSettings,
    read_agents,
    read_message,
    read_world,
)

SETUP = {"type": "setup", "world": {"map": ["S.G"]}, "gamma": 0.9, "agents": [{"algo": "sarsa", "alpha": 0.5}]}


def refused(change, **fields):
    with pytest.raises(MessageError) as caught:
        read_message(json.dumps({**SETUP, **fields}))
    assert change in str(caught.value)


def test_a_setup_is_understood():
    message = read_message(json.dumps(SETUP))
    assert message.world == {"map": ["S.G"]}
    assert message.agents == (AgentSettings("sarsa", 0.5),)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_the_examples_are_understood(example):
    assert read_world(example["world"]) == example["world"]
    assert len(read_agents(example["agents"])) == len(example["agents"])


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_worlds_of_the_library_are_understood(name):
    assert read_world(json.loads(json.dumps(LAYOUTS[name]))) == LAYOUTS[name]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", "null", '"run"', "{", '{"type": "fly"}', '{"type": 3}', '{"type": ["run"]}', '{"type": "run"}',
     '{"type": "pause", "more": 1}', '{"type": "run", "speed": NaN}', '{"type": "run", "speed": 1e999}',
     '{"type": "run", "speed": "1"}', '{"type": "run", "speed": true}', '{"type": "seen", "frame": 1.5}',
     '{"type": "seen", "frame": ' + "9" * 5000 + "}", "[" * 100_000, '{"type": "run", "speed": -1}'],
)  # fmt: skip
def test_anything_else_is_refused_in_words(text):
    with pytest.raises(MessageError, match=r"\w"):
        read_message(text)


def test_binary_data_is_refused():
    with pytest.raises(MessageError, match="text"):
        read_message(b"\x80\x04K\x07.")  # a pickle


def test_a_long_message_is_refused():
    with pytest.raises(MessageError, match="characters"):
        read_message(" " * (LARGEST_MESSAGE + 1))


def test_a_map_has_fifty_cells_a_side_at_most():
    read_world({"map": ["." * 50] * 50})
    refused("list of 1 to 50", world={"map": ["."] * 51})
    refused("at most 50", world={"map": ["." * 51]})


@pytest.mark.parametrize(
    ("agent", "named"),
    [({"alpha": 0}, "alpha"), ({"alpha": 1.5}, "alpha"), ({"epsilon": -0.1}, "epsilon"), ({"n_steps": 0}, "n_steps"),
     ({"n_steps": 2.0}, "n_steps"), ({"planning_steps": 10**9}, "planning_steps"), ({"algo": "ppo"}, "algo"),
     ({"seed": 10**400}, "seed"), ({"alpha": 10**400}, "alpha"), ({"policy": "x"}, "policy"),
     ({"shaping": "lambda: 0"}, "shaping"), ({"initial_value": None}, "initial_value")],
)  # fmt: skip
def test_an_agent_out_of_range_is_refused_by_name(agent, named):
    refused(named, agents=[agent])


def test_there_are_one_or_two_agents():
    refused("1 to 2", agents=[])
    refused("1 to 2", agents=[{}, {}, {}])


@pytest.mark.parametrize(
    "world",
    [{"map": "S.G"}, {"map": [["S"]]}, {"map": [""]}, {"map": ["S\x00G"]}, {"rules": {}}, {"map": ["SG"], "code": "1"},
     {"map": ["SG"], "rules": {"slip": 2}}, {"map": ["SG"], "rules": {"stay": 1}}, {"map": ["SG"], "wind": [0.5, 0]},
     {"map": ["SG"], "wind": [99, 0]}, {"map": ["SG"], "rewards": {"SG": 1}}, {"map": ["SG"], "rewards": [1, 2]},
     {"map": ["SG"], "rewards": [[1e30, None]]}, {"map": ["SG"], "jumps": {"A": "a"}},
     {"map": ["SG"], "max_episode_steps": 10**9}, {"map": ["SG"], "change": {"after": 0}}],
)  # fmt: skip
def test_a_world_of_another_form_is_refused(world):
    with pytest.raises(MessageError):
        read_world(world)


# ---- Fuzzing --------------------------------------------------------------------------------------------------------

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
FIELDS = {name for checks in TYPES.values() for name in checks} | {"type", "map", "rules", "algo"}
NAMES = st.sampled_from(sorted(FIELDS))
JSON: st.SearchStrategy = LEAVES | st.deferred(
    lambda: st.lists(JSON, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), JSON, max_size=3)
)


@settings(max_examples=100, deadline=None)
@given(JSON, st.sampled_from([*TYPES, "fly"]), st.booleans())
def test_no_message_raises_anything_but_a_clean_refusal(content, kind, typed):
    if typed and isinstance(content, dict):
        content["type"] = kind
    with suppress(MessageError):
        read_message(json.dumps(content))


@settings(max_examples=100, deadline=None)
@given(st.text() | st.binary())
def test_no_text_raises_anything_but_a_clean_refusal(text):
    with pytest.raises(MessageError):
        read_message(text)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_valid_message_with_one_part_replaced_does_not_break_it(data):
    message = json.loads(json.dumps({**SETUP, "world": LAYOUTS["Example35"] | {"change": {"after": 3, "map": ["S"]}}}))
    place = message
    while isinstance(place, dict) and place:
        name = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or data.draw(st.booleans()):
            place[name] = data.draw(JSON)
            break
        place = place[name]
    with suppress(MessageError):
        read_message(json.dumps(message))
