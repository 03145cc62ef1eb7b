"""``sb3-ext doctor --env``: planted faults are found, sound environments pass."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest

import sb3_ext.envs  # noqa: F401  (registers ids)
from sb3_ext.zoo.doctor import environment
from sb3_ext.zoo.doctor.environment import examine_environment
from sb3_ext.zoo.doctor.environment_faults import ENVIRONMENT_FAULTS, LeavesOutTruncated
from sb3_ext.zoo.doctor.healthy import ENVIRONMENTS
from sb3_ext.zoo.doctor.replay import first_difference, follow

QUICK = ("CartPole-v1", "FrozenLake-v1", "sb3_ext/GridWorld-v0", "sb3_ext/Blackjack-v0")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """So that each takes a second."""
    monkeypatch.setattr(environment, "N_STEPS", 1_000)
    monkeypatch.setattr(environment, "SECONDS", 1.0)


def signs(make):
    return [finding.sign for finding in examine_environment(make).findings]


@pytest.mark.parametrize("fault", ENVIRONMENT_FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(fault):
    assert set(signs(fault.make)) & set(fault.signs)


@pytest.mark.parametrize("env_id", [env_id if env_id in QUICK else pytest.param(env_id, marks=pytest.mark.slow)
                                    for env_id in ENVIRONMENTS])  # fmt: skip
def test_a_sound_environment_passes(env_id):
    assert signs(partial(gym.make, env_id)) == []


def test_one_that_cannot_be_stepped_is_told_beside_what_the_checks_found():
    seen = examine_environment(lambda: LeavesOutTruncated(gym.make("CartPole-v1").unwrapped))
    assert [finding.sign for finding in seen.findings] == ["SB3's check_env", "exception"]
    assert seen.findings[-1].saw == "it raised ValueError: not enough values to unpack (expected 5, got 4)"


def test_what_check_env_refuses_is_a_finding():
    class WrongType(gym.Wrapper):
        def reset(self, **kwargs):
            observation, info = self.env.reset(**kwargs)
            return observation.astype(np.float64), info

    seen = examine_environment(lambda: WrongType(gym.make("CartPole-v1")))
    assert "SB3's check_env" in [finding.sign for finding in seen.findings]


def test_the_summary_says_what_random_play_looks_like():
    summary = dict(examine_environment(partial(gym.make, "CartPole-v1")).summary)
    assert summary["random episodes"].startswith("20 (20 terminated)")
    assert summary["reward"] == "1 to 1, other than 0 in 100% of steps"
    assert summary["observation"].startswith("4 components")
    assert summary["time limit"] == "500 steps"


def test_hard_exploration_is_a_note_and_no_fault():
    seen = examine_environment(partial(gym.make, "MountainCar-v0"))
    assert seen.findings == []
    assert any("random play gets -200 in every episode" in note for note in seen.notes)


def test_a_course_is_the_same_again_and_another_with_other_actions():
    first, second = gym.make("CartPole-v1"), gym.make("CartPole-v1")
    course = follow(first, 3, 0, 100)
    assert first_difference(course, follow(second, 3, 0, 100)) is None
    assert first_difference(course, follow(second, 4, 0, 100)) == "in the first observation"
    assert first_difference(course, follow(second, 3, 1, 100)).startswith("in observation at step")
