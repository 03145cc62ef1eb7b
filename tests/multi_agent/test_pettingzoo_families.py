"""Every parallel environment of mpe2, butterfly and sisl, stepped at random beside the environment itself."""

import pytest

from sb3_ext.zoo.multi_agent.parallel_check import ENVIRONMENTS, check_parallel

SHORT = {"butterfly/pistonball_v6": 30, "butterfly/cooperative_pong_v6": 60, "sisl/pursuit_v5": 60}
WITH_DEATHS = ["butterfly/knights_archers_zombies_v11"]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_random_steps(name: str) -> None:
    n_steps = SHORT.get(name, 150)
    checked = check_parallel(ENVIRONMENTS[name].parallel_env, n_steps)
    assert checked.n_transitions >= n_steps


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_thousand_random_steps(name: str) -> None:
    checked = check_parallel(ENVIRONMENTS[name].parallel_env, 1000, seed=1)
    assert checked.n_steps == 1000
    assert checked.n_episodes > 0
    assert (checked.n_deaths > 0) == (name in WITH_DEATHS)
