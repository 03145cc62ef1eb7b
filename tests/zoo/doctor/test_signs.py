"""Each warning sign, on made-up records: what it fires on, what it must let pass."""

import numpy as np
import pytest

from sb3_ext.zoo.doctor.record import Record
from sb3_ext.zoo.doctor.signs import SIGNS, examine

N = 100  # points of a series, over 1,000 steps


def record(series=None, facts=None, n_timesteps=1_000, done=1.0):
    """A record; a number stands for a constant series, a list or array for one over the training."""
    made = Record(n_timesteps, facts=facts or {})
    columns = {
        name: np.full(N, float(values)) if np.ndim(values) == 0 else np.asarray(values, dtype=float)
        for name, values in (series or {}).items()
    }
    for name, values in columns.items():
        for step, value in zip(np.linspace(1, done * n_timesteps, len(values)), values, strict=True):
            made.add(step, {name: value})
    return made


def seen(*arguments, **kwargs):
    return [finding.sign for finding in examine(record(*arguments, **kwargs))]


def falling(first, last, n=N):
    return np.linspace(first, last, n)


def around(mean, spread, n=N):
    return np.random.default_rng(0).normal(mean, spread, n)  # the same whatever runs before


NETWORK = {"train/value_loss": 1.0, "doctor/values": 5.0}
LEARNS = {"episode/return": [*around(20, 5), *around(200, 50)]}
DQN = {"rollout/exploration_rate": falling(1.0, 0.05), "train/loss": 1.0}
MOVES = {"doctor/step": 0.01, "doctor/updates": falling(0, 1_000), "doctor/weights": 1.5}

# name of the sign: (what is sick, what is nearly as sick); each is (series, facts)
CASES = {
    "NaN": (({"nonfinite/rewards": [1]}, {}), ({"train/explained_variance": [np.nan] * 20}, {})),
    "huge rewards": (({**NETWORK, "doctor/rewards": 1e6}, {}), ({**NETWORK, "doctor/rewards": 100.0}, {})),
    "huge observations": (({"doctor/observations": 1e6}, {}), ({"doctor/observations": 20.0}, {})),
    "wrong advantages": (({"doctor/advantage_error": 0.3}, {}), ({"doctor/advantage_error": 1e-6}, {})),
    "never updates": (({}, {"n_updates": 0, "learning_starts": 50_000}), ({}, {"n_updates": 1})),
    "never ends": (({"doctor/since_an_end": falling(0, 9_000)}, {}), ({"doctor/since_an_end": falling(0, 1_600)}, {})),
    "ends at once": (
        ({"episode/return": around(0, 1), "episode/length": 1.0}, {}),
        ({"episode/return": around(0, 1), "episode/length": [1.0] * 90 + [2.0] * 10}, {}),
    ),
    "no reward": (
        ({"episode/return": 0.0, "doctor/rewards": 0.0}, {}),
        ({"episode/return": [0.0] * 99 + [1.0], "doctor/rewards": 0.0}, {}),
    ),
    "target stands still": (
        ({**MOVES, "doctor/target_step": 0.0}, {"target_update_interval": 10}),
        ({**MOVES, "doctor/target_step": [0.0] * 50 + [0.1] + [0.0] * 49}, {"target_update_interval": 500}),
    ),
    "steps too large": (
        ({**NETWORK, "doctor/weights": falling(1, 30)}, {}),
        ({**NETWORK, "doctor/weights": falling(1, 5)}, {}),
    ),
    "nothing moves": (({**MOVES, "doctor/step": 0.0}, {}), (MOVES, {})),
    "part never moves": (
        ({**MOVES, "doctor/unmoved_actor": 0.5}, {"unmoved_actor": ["action_net.weight"]}),
        ({**MOVES, "doctor/unmoved_actor": falling(1, 0), "doctor/unmoved_critic": 1.0}, {}),
    ),
    "no gradient": (({"doctor/dead_units": 0.99}, {}), ({"doctor/dead_units": 0.6}, {})),
    "values diverge": (
        ({"doctor/values": falling(1, 1_000), "doctor/largest_reward": 1.0}, {"gamma": 0.99}),
        ({"doctor/values": falling(1, 120), "doctor/largest_reward": 1.0}, {"gamma": 0.99}),
    ),
    "worse than the mean": (
        ({**NETWORK, "train/explained_variance": around(-3.0, 1.0)}, {}),
        ({**NETWORK, "train/explained_variance": [-20.0] * 30 + [0.0] * 70}, {}),
    ),
    "entropy collapsed": (
        ({**LEARNS, "train/entropy_loss": [-0.69] * 5 + [-0.001] * 95}, {}),
        ({**LEARNS, "train/entropy_loss": falling(-0.69, -0.001)}, {}),
    ),
    "policy moves too far": (
        ({"train/approx_kl": around(0.5, 0.1)}, {}),
        ({"train/approx_kl": [*around(0.05, 0.01), 1.0]}, {}),
    ),
    "policy hardly moves": (
        ({"train/approx_kl": 1e-9}, {}),
        ({"train/approx_kl": [*[1e-9] * 50, *[0.01] * 50]}, {}),
    ),
    "actions at their bounds": (({"doctor/saturation": 0.97}, {}), ({"doctor/saturation": 0.7}, {})),
    "always exploring": (
        ({**DQN, "rollout/exploration_rate": 1.0}, {}),
        ({**DQN, "rollout/exploration_rate": falling(1.0, 0.1)}, {}),
    ),
    "loss oscillates": (
        ({"train/policy_gradient_loss": around(0, 0.5)}, {}),
        ({"train/policy_gradient_loss": around(0, 0.03)}, {}),
    ),
    "always the same": (
        ({"episode/return": [-200.0] * 60, "episode/length": [200.0] * 60}, {}),
        ({"episode/return": [0.0] * 20 + [1.0] * 40, "episode/length": [8.0] * 60}, {}),
    ),
    "getting worse": (
        ({"episode/return": [*around(22, 8), *around(9, 1)]}, {}),
        ({"episode/return": [*around(22, 8), *around(9, 1), *around(25, 8)]}, {}),
    ),
    "reward hacking": (
        ({"episode/shaped_return": [*around(1, 0.3), *around(5, 0.3)],
          "episode/raw_return": [*around(0.5, 0.1), *around(0.0, 0.05)]}, {}),
        ({"episode/shaped_return": [*around(1, 0.3), *around(5, 0.3)],
          "episode/raw_return": [*around(0.5, 0.1), *around(1.0, 0.05)]}, {}),
    ),
}  # fmt: skip


def test_every_sign_has_a_case():
    assert [each.name for each in SIGNS] == list(dict.fromkeys(each.name for each in SIGNS))
    assert {each.name for each in SIGNS} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_sign_fires_on_what_is_sick_and_lets_pass_what_is_nearly_so(name):
    sick, well = CASES[name]
    assert name in seen(*sick)
    assert seen(*well) == []


def test_kl_of_a_single_gradient_step_is_0_by_construction():
    assert seen({"train/approx_kl": 0.0}, {"gradient_steps": 1}) == []
    assert seen({"train/approx_kl": 0.0}, {"gradient_steps": 40}) == ["policy hardly moves"]


def test_an_entropy_that_is_paid_for():
    stays = {**LEARNS, "train/entropy_loss": -0.69}
    assert seen(stays, {"ent_coef": 10.0}) == ["always exploring"]
    assert seen(stays, {"ent_coef": 0.01}) == []
    assert seen({**LEARNS, "train/entropy_loss": falling(-0.69, -0.5)}, {"ent_coef": -1.0}) == ["entropy collapsed"]


def test_a_small_loss_may_jump():
    jumps = {**DQN, "train/loss": [1e-5, 1e-3] * 50}
    assert seen({**jumps, "doctor/values": 1e-4}) == ["loss oscillates"]
    assert seen({**jumps, "doctor/values": 10.0}) == []


def test_nothing_known_nothing_said():
    assert examine(Record()) == []
    assert examine(Record(1_000)) == []


@pytest.mark.parametrize("name", CASES)
def test_a_finding_takes_two_lines(name):
    [finding] = [each for each in examine(record(*CASES[name][0])) if each.sign == name]
    first, second = str(finding).split("\n")
    assert first.startswith(f"{name}: ")
    assert second.startswith("    ")
    assert max(map(len, (first, second))) < 220


def test_a_table_may_learn_rewards_of_any_size():
    assert seen({"doctor/rewards": 1e6, "train/learning_rate": 0.5, "train/td_error": 1e6}) == []


def test_a_log_shows_huge_rewards_by_its_episodes():
    series = {"train/value_loss": 1e12, "rollout/ep_rew_mean": 2e7, "rollout/ep_len_mean": 20.0}
    assert "huge rewards" in seen(series)
    assert seen({"train/value_loss": 1.0, "rollout/ep_rew_mean": 2e3, "rollout/ep_len_mean": 20.0}) == []


def test_normalised_rewards_count_as_the_agent_gets_them():
    series = {**NETWORK, "doctor/rewards": 1.0, "episode/return": 2e7, "episode/length": around(20, 5)}
    assert "huge rewards" not in seen(series)


def test_a_log_shows_a_critic_that_diverges():
    series = {**DQN, "train/loss": falling(1, 1e6), "rollout/ep_rew_mean": 20.0}
    assert "values diverge" in seen(series)
    assert "values diverge" not in seen({**DQN, "train/loss": falling(1, 50), "rollout/ep_rew_mean": 20.0})


def test_values_are_bounded_by_the_longest_episode_unless_time_cuts_it():
    series = {"doctor/values": 60.0, "doctor/largest_reward": 1.0, "episode/length": around(18, 1)}
    assert seen(series, {"gamma": 0.99}) == ["values diverge"]
    assert seen({**series, "doctor/truncations": 3.0}, {"gamma": 0.99}) == []
    assert seen({**series, "doctor/truncations": 0.0}, {"gamma": 0.99}) == ["values diverge"]
    assert seen(series, {"gamma": 1.0}) == ["values diverge"]
    assert seen({**series, "doctor/truncations": 3.0}, {"gamma": 1.0}) == []
    assert seen({**series, "doctor/values": 30.0}, {"gamma": 1.0}) == []


def test_a_discount_above_1_is_said_at_once():
    assert seen({}, {"gamma": 1.1}) == ["values diverge"]


def test_a_target_that_is_not_yet_due_is_waited_for():
    series = {**MOVES, "doctor/target_step": 0.0}
    assert seen(series, {"target_update_interval": 5_000}, n_timesteps=100_000, done=0.09) == []
    assert seen(series, {"target_update_interval": 5_000}, n_timesteps=100_000, done=0.2) == ["target stands still"]
    assert seen(series, {"target_update_interval": 5_000}, n_timesteps=4_000) == ["target stands still"]


def test_a_critic_that_nobody_trains_may_stay_where_it_is():
    series = {**MOVES, "doctor/unmoved_critic": 1.0}
    assert seen(series) == []
    assert seen({**series, "train/value_loss": 1.0}) == ["part never moves"]


def test_a_perfect_critic_has_nothing_to_explain():
    series = {"train/value_loss": falling(9, 1e-4), "doctor/values": 50.0, "train/explained_variance": -3.0}
    assert seen(series) == []


def test_entropy_may_go_where_the_return_has_come_from():
    late = [-0.69] * 50 + [-0.001] * 50
    assert seen({"train/entropy_loss": late, **LEARNS}) == []
    unchanged = {"episode/return": np.tile([15.0, 25.0], 100)}
    assert "entropy collapsed" in seen({"train/entropy_loss": late, **unchanged})
    forgot = {"episode/return": [*around(20, 5), *around(200, 20), *around(40, 5)]}
    assert "entropy collapsed" in seen({"train/entropy_loss": late, **forgot})


def test_the_spread_of_continuous_actions_is_entropy_too():
    stays = {"train/entropy_loss": falling(2.8, -3.0), "episode/return": falling(1.0, 0.9)}
    assert "entropy collapsed" in seen({**stays, "train/std": [1.0] * 50 + [1e-4] * 50})
    assert "entropy collapsed" not in seen({**stays, "train/std": falling(1.0, 0.3)})


def test_a_dip_at_the_beginning_is_waited_for():
    dip = {"episode/return": [*around(22, 8), *around(9, 1)]}
    assert seen(dip, done=0.5) == []
    assert seen(dip, done=1.0) == ["getting worse"]


def test_episodes_of_one_length_are_fine_where_returns_differ():
    assert seen({"episode/return": around(-300, 100, 60), "episode/length": [200.0] * 60}) == []
