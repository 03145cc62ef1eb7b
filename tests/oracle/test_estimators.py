"""The oracle tells estimators that are unbiased from those that are not."""

import numpy as np
import pytest
import torch as th

from sb3_ext.envs import GridWorld
from sb3_ext.oracle import (
    ESTIMATORS,
    Estimator,
    Setting,
    SoftmaxTable,
    estimators,
    measure,
    solve_policy,
    state_occupancy,
)
from sb3_ext.oracle.plays import Plays, first_finished, play, score_gradients
from sb3_ext.oracle.setting import entropy_gradient, of_entropy, of_forward_kl, of_reverse_kl, softmax
from sb3_ext.tabular import TabularMDP

N_BATCHES, N_REUSED = 8_000, 2_000


def a_setting(seed=0, gamma=0.9, horizon=12, batch_size=8):
    generator = np.random.default_rng(seed)
    mdp = GridWorld("S.H\n..#\nS.G", slip=0.2, step_reward=-0.1).mdp
    logits, other = (generator.normal(scale=0.7, size=(mdp.n_states, mdp.n_actions)) for _ in range(2))
    return Setting(mdp, logits, gamma, horizon, batch_size, 4, reference=softmax(other), learning_rate=0.5)


@pytest.fixture(scope="module")
def setting():
    return a_setting()


def found(name, setting, seed):
    n = N_REUSED if ESTIMATORS[name].family == "reused batches" else N_BATCHES
    return measure(ESTIMATORS[name], setting, n, seed)


@pytest.mark.parametrize("name", [name for name, estimator in ESTIMATORS.items() if estimator.unbiased])
def test_who_claims_to_be_unbiased_is(name, setting):
    result = found(name, setting, seed=1)
    assert result.sigmas < 5
    assert result.bias < 3 * result.noise
    assert result.cosine > 0.99


@pytest.mark.parametrize("name", [name for name, estimator in ESTIMATORS.items() if not estimator.unbiased])
def test_the_bias_of_the_others_shows(name, setting):
    result = found(name, setting, seed=2)
    assert result.sigmas > 5
    assert result.bias > 2 * result.noise


def test_without_discounting_the_usual_form_is_the_gradient():
    undiscounted = a_setting(gamma=1.0)
    assert found("to go, no gamma^t", undiscounted, seed=3).sigmas < 5


def test_what_a_mean_with_the_own_return_costs(setting):
    for start in ("matched", "unmatched"):  # 1 - 1/4 of the gradient is left
        assert found(f"{start}, mean of all", setting, seed=4).bias == pytest.approx(0.25, abs=0.03)


def test_variance_falls_from_step_to_step(setting):
    names = ("total return", "to go", "to go - leave-one-out", "to go - exact V")
    variances = [found(name, setting, seed=5).variance for name in names]
    assert variances == sorted(variances, reverse=True)
    variances = [found(f"GAE {lambda_}, exact V", setting, seed=5).variance for lambda_ in ("1", "0.9", "0.5", "0")]
    assert variances == sorted(variances, reverse=True)
    biases = [found(f"GAE {lambda_}, V / 2", setting, seed=5).bias for lambda_ in ("0", "0.5", "0.9", "1")]
    assert biases == sorted(biases, reverse=True)


@pytest.mark.parametrize("spoil", [lambda g: 1.05 * g, lambda g: g + 0.01, lambda g: g[::2].repeat(2, 0) * 1.1])
def test_a_small_error_is_found(setting, spoil):
    honest = ESTIMATORS["to go - exact V"]
    wrong = Estimator("", lambda *arguments: spoil(honest.estimate(*arguments)), honest.target, True)
    assert measure(wrong, setting, 20_000, 6).sigmas > 5


def test_parts_are_as_good_as_the_whole(setting, monkeypatch):
    monkeypatch.setattr(estimators, "MOST_STEPS", 1000 * setting.batch_size**2 * setting.horizon)
    result = measure(ESTIMATORS["to go - exact V"], setting, 2_500, 7)
    assert result.sigmas < 5
    assert result.noise == pytest.approx(np.sqrt(result.variance / 2_500))


# ---- Episodes --------------------------------------------------------------------------------------------------------


def test_episodes_visit_states_as_often_as_they_should(setting):
    plays = play(setting.mdp, setting.probabilities, 1, 20_000, setting.horizon, np.random.default_rng(0))
    visits = np.bincount(plays.states[plays.mask], minlength=setting.mdp.n_states) / 20_000
    exact = state_occupancy(setting.mdp, setting.probabilities, 1.0, setting.horizon).sum(axis=0)
    assert np.abs(visits - exact).max() < 5 * np.sqrt(setting.horizon * exact.max() / 20_000)
    returns = (plays.rewards * 0.9 ** np.arange(setting.horizon)[:, None]).sum(axis=0)
    value = solve_policy(setting.mdp, setting.probabilities, 0.9, setting.horizon).start_value
    assert abs(returns.mean() - value) < 5 * returns.std() / np.sqrt(len(returns))


def test_groups_start_alike(setting):
    plays = play(setting.mdp, setting.probabilities, 50, 8, 5, np.random.default_rng(0), group_size=4)
    starts = plays.states[0].reshape(-1, 4)
    assert (starts == starts[:, :1]).all()
    assert len(np.unique(starts)) == 2
    with pytest.raises(ValueError, match="must divide batch_size=8, got 3"):
        play(setting.mdp, setting.probabilities, 1, 8, 5, np.random.default_rng(0), group_size=3)


def test_masks_and_ends(setting):
    plays = play(setting.mdp, setting.probabilities, 10, 8, 6, np.random.default_rng(0))
    assert (plays.ends.sum(axis=0) == 1).all()
    assert (plays.mask[:-1] | ~plays.mask[1:]).all()  # never on again
    assert not (plays.terminated & ~plays.ends).any()
    assert (plays.mask.sum(axis=0)[~plays.terminated.any(axis=0)] == 6).all()
    assert (plays.rewards[~plays.mask] == 0).all()
    going_on = plays.mask[1:]
    assert (plays.next_states[:-1][going_on] == plays.states[1:][going_on]).all()


def test_first_to_finish_by_hand():
    lengths = np.array([5, 1, 2, 2])  # environment 0 plays 5 and 1 steps, environment 1 plays 2 and 2: done at 2, 4, 5
    mask = np.arange(5)[:, None] < lengths
    integers = np.tile(np.arange(4), (5, 1))
    plays = Plays(np.full((4, 2), 0.5), 4, integers, 0 * integers, 0.0 * mask, integers, mask, mask & False)
    assert first_finished(plays, 2).states[0].tolist() == [2, 3]


def test_gradients_are_autograds(setting):
    plays = play(setting.mdp, setting.probabilities, 3, 4, 5, np.random.default_rng(0))
    weights = np.random.default_rng(1).normal(size=plays.mask.shape)
    ours = score_gradients(plays, weights)
    for batch in range(3):
        table, columns = SoftmaxTable(setting.logits), slice(4 * batch, 4 * batch + 4)
        mask = plays.mask[:, columns]
        states, actions = plays.states[:, columns][mask], plays.actions[:, columns][mask]
        log_probs = table(states)[th.arange(len(states)), th.as_tensor(actions)].log()
        (log_probs * th.as_tensor(weights[:, columns][mask])).sum().backward()
        np.testing.assert_allclose(ours[batch], table.logits.grad.numpy(), atol=1e-12)


# ---- Exact gradients of the regularisers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "of_state"),
    [
        (of_entropy, lambda pi, ref: -(pi * pi.log()).sum(1)),
        (of_forward_kl, lambda pi, ref: -(pi * (pi / ref).log()).sum(1)),
        (of_reverse_kl, lambda pi, ref: -(ref * (ref / pi).log()).sum(1)),
    ],
    ids=["entropy", "KL(pi|ref)", "KL(ref|pi)"],
)
def test_targets_are_autograds(setting, target, of_state):
    table = SoftmaxTable(setting.logits)
    visits = state_occupancy(setting.mdp, setting.probabilities, 1.0, setting.horizon).sum(axis=0)
    (th.as_tensor(visits) * of_state(table(), th.as_tensor(setting.reference))).sum().backward()
    np.testing.assert_allclose(target(setting), table.logits.grad.numpy(), atol=1e-12)


def test_the_flattest_policy_has_no_entropy_to_gain():
    bandit = TabularMDP.from_arrays([[0, 0]], [[1.0, 0.0]], [[True, True]])
    even = np.full((1, 2), 0.5)
    np.testing.assert_allclose(entropy_gradient(Setting(bandit, np.log(even), 1.0, 1, 2, 2, even)), 0, atol=1e-15)
