"""``sb3-ext doctor --algo``: the ladder of sanity checks, and on which rung planted faults fall off."""

import pytest
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_ext.algos import TABLE, load
from sb3_ext.zoo.doctor.faults import ClimbingPPO, EndlessRolloutBuffer, UnmaskedReplayBuffer
from sb3_ext.zoo.doctor.ladder import climb, nearest
from sb3_ext.zoo.doctor.ladder_settings import REFERENCES, SETTINGS

QUICK = ("ppo", "q_learning", "ars")
RUNGS = ["one transition", "two transitions", "a trivial world"]


class NoLearning(PPO):
    """Plays, and forgets."""

    def train(self):
        pass


class NoMask(DQN):
    """Bootstraps at the end."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, replay_buffer_class=UnmaskedReplayBuffer, **kwargs)


class NoEnds(A2C):
    """Advantages over the end of episodes."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, rollout_buffer_class=EndlessRolloutBuffer, **kwargs)


class Crashes(PPO):
    """An error in its loss."""

    def train(self):
        raise RuntimeError("shapes do not fit\nand more")


def climbed(algorithm):
    return list(climb(algorithm, references=False))


@pytest.mark.parametrize("algo", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
                                  for name in TABLE])  # fmt: skip
def test_every_algorithm_climbs(algo):
    rungs = climbed(load(algo))
    assert [rung.name for rung in rungs if rung.passed] == RUNGS, rungs[-1]


@pytest.mark.parametrize(
    ("algorithm", "falls_from"),
    [(NoLearning, 0), (NoMask, 0), (NoEnds, 0), (ClimbingPPO, 2)],
    ids=["no learning", "no terminal mask", "advantages over ends", "wrong sign"],
)
def test_a_fault_falls_off_where_it_matters(algorithm, falls_from):
    rungs = climbed(algorithm)
    assert [rung.name for rung in rungs] == RUNGS[: falls_from + 1]
    assert [rung.passed for rung in rungs] == [True] * falls_from + [False]


def test_what_raises_is_told():
    [rung] = climbed(Crashes)
    assert not rung.passed
    assert rung.saw == "RuntimeError: shapes do not fit"


def test_a_subclass_climbs_as_what_it_descends_from():
    assert nearest(NoMask) == "dqn"
    assert nearest(load("ppo_scratch")) == "ppo_scratch"
    with pytest.raises(ValueError, match="BaseAlgorithm descends from no algorithm"):
        nearest(BaseAlgorithm)


def test_every_algorithm_has_a_reference():
    assert set(REFERENCES) == set(SETTINGS) == set(TABLE)


@pytest.mark.slow
def test_a_known_world_is_climbed_and_its_training_watched():
    last = list(climb(load("reinforce")))[-1]
    assert last.name == "a known world"
    assert last.passed, last.saw
    assert last.findings == ()
