"""``sb3_ext.envs``: its names and its ids."""

import subprocess
import sys
import warnings

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import sb3_ext.envs

IDS = sorted(env_id for env_id in gym.registry if env_id.startswith("sb3_ext/"))


@pytest.mark.parametrize("name", sb3_ext.envs.__all__)
def test_every_public_name_is_there(name):
    assert getattr(sb3_ext.envs, name) is not None
    assert name in dir(sb3_ext.envs)


def test_the_models_of_the_shaping_proof_are_public():
    assert {"shaped_mdp", "distance_mdp", "progress_mdp", "muddy_mdp"} <= set(sb3_ext.envs.__all__)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match=r"no attribute 'GridWord'; it has .*GridWorld"):
        sb3_ext.envs.GridWord  # noqa: B018


@pytest.mark.parametrize("env_id", IDS)
def test_every_id_makes_an_environment_that_both_checkers_pass(env_id):
    env = gym.make(env_id)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(env.unwrapped)


def test_there_is_an_id_for_each_layout():
    assert {f"sb3_ext/{name}-v0" for name in [*sb3_ext.envs.LAYOUTS, "GridWorld"]} <= set(IDS)


def test_importing_registers_without_loading_torch_or_numba():
    code = "import sys, sb3_ext.envs, gymnasium; gymnasium.spec('sb3_ext/GridWorld-v0'); print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert {"torch", "numba", "stable_baselines3", "matplotlib"} & loaded == set()
