"""Jack's car rental against loops over requests and returns, against play, and against figure 4.2."""

import math

import numpy as np
import pytest

from sb3_ext.envs.textbook.car_rental import CarRental, car_rental_mdp, move_cars, one_location, policy_iteration
from sb3_ext.tabular.planning import look_ahead

BEYOND = 60  # more requests or returns than that have a probability below 1e-40


def poisson(rate):
    return [math.exp(-rate + k * math.log(rate) - math.lgamma(k + 1)) for k in range(BEYOND)]


def slow_location(request_rate, return_rate):
    """The same day, request by request and return by return."""
    requests, returns = poisson(request_rate), poisson(return_rate)
    evening, rentals = np.zeros((21, 21)), np.zeros(21)
    for cars in range(21):
        for requested in range(BEYOND):
            rented = min(requested, cars)
            rentals[cars] += requests[requested] * rented
            for returned in range(BEYOND):
                evening[cars, min(cars - rented + returned, 20)] += requests[requested] * returns[returned]
    return evening, rentals


def slow_values(free_shuttle=False, parking_fee=0.0):
    """Value iteration on afterstates, written for one number of moved cars at a time; illegal moves are left out."""
    (day1, rent1), (day2, rent2) = slow_location(3, 3), slow_location(4, 2)
    values = np.zeros((21, 21))
    for _ in range(300):
        morning = 10 * (rent1[:, None] + rent2[None, :]) + 0.9 * day1 @ values @ day2.T
        best = np.full((21, 21), -np.inf)
        for n1 in range(21):
            for n2 in range(21):
                for move in range(max(-5, -n2), min(5, n1) + 1):
                    m1, m2 = min(n1 - move, 20), min(n2 + move, 20)
                    paid = move - 1 if free_shuttle and move > 0 else abs(move)
                    cost = 2 * paid + parking_fee * ((m1 > 10) + (m2 > 10))
                    best[n1, n2] = max(best[n1, n2], morning[m1, m2] - cost)
        change, values = np.abs(best - values).max(), best
        if change < 1e-5:
            return values
    raise AssertionError("no convergence")


@pytest.fixture(scope="module")
def rental():
    return CarRental()


@pytest.fixture(scope="module")
def moves(rental):
    return rental.optimal_moves()


@pytest.mark.parametrize("rates", [(3.0, 3.0), (4.0, 2.0)])
def test_one_location_is_exact(rates):
    for ours, theirs in zip(one_location(*rates), slow_location(*rates), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize(
    ("cars", "asked", "morning", "moved", "cost"),
    [
        ((10, 4), 3, (7, 7), 3, 6),
        ((10, 4), -5, (14, 0), -4, 8),  # only four are there
        ((2, 0), 5, (0, 2), 2, 4),
        ((20, 20), 5, (15, 20), 5, 10),  # five leave the town
        ((0, 0), -5, (0, 0), 0, 0),
    ],
)
def test_moves(cars, asked, morning, moved, cost):
    night = move_cars(np.array(21 * cars[0] + cars[1]), np.array(5 + asked))
    assert (night.first, night.second) == morning
    assert (night.moved, night.cost) == (moved, cost)


@pytest.mark.parametrize(
    ("cars", "asked", "cost"), [((12, 4), 1, 4), ((12, 4), 2, 2), ((12, 4), -1, 6), ((15, 15), 2, 10), ((5, 5), 0, 0)]
)
def test_exercise_4_7(cars, asked, cost):
    """Moved: the first to the second location is free; each location above ten cars costs 4."""
    state, action = np.array(21 * cars[0] + cars[1]), np.array(5 + asked)
    assert move_cars(state, action, free_shuttle=True, parking_fee=4.0).cost == cost


def test_the_arrays_are_small():
    mdp = car_rental_mdp()
    assert (mdp.n_states, mdp.n_actions) == (441, 11)
    assert mdp.nbytes < 20e6
    assert not mdp.terminated.any()


def test_the_values_are_those_of_the_slow_brute_force(rental):
    np.testing.assert_allclose(rental.exact_values().reshape(21, 21), slow_values(), atol=1e-3)


def test_the_values_of_exercise_4_7():
    env = CarRental(free_shuttle=True, parking_fee=4.0)
    np.testing.assert_allclose(env.exact_values().reshape(21, 21), slow_values(True, 4.0), atol=1e-3)
    moves = env.optimal_moves()
    assert moves[8, 8] == 1  # one car is free
    assert (moves[0, 13], moves[0, 15]) == (-3, -5)  # empties the second parking lot, where five cars are enough for it


def test_policy_iteration_needs_four_improvements_as_in_the_figure(rental, moves):
    policies, _ = policy_iteration(rental.mdp)
    assert len(policies) == 5
    assert (policies[0] == 0).all()
    np.testing.assert_array_equal(policies[-1].reshape(21, 21), moves)


def test_the_values_solve_the_bellman_optimality_equation(rental):
    values = rental.exact_values()
    np.testing.assert_allclose(look_ahead(rental.mdp, values, gamma=0.9).max(axis=1), values, atol=1e-9)


def test_figure_4_2(rental, moves):
    values = rental.exact_values().reshape(21, 21)
    assert (values[0, 0], values[20, 20]) == (values.min(), values.max())
    assert moves.min() == -4
    assert moves.max() == 5
    assert (moves[20, 0], moves[0, 20], moves[0, 0], moves[10, 10]) == (5, -4, 0, 0)
    assert (np.diff(moves, axis=0) >= 0).all()  # more cars here, more to move away
    assert (np.diff(moves, axis=1) <= 0).all()


def test_play_agrees_with_the_arrays(rental):
    """Real requests are drawn: rewards scatter, and their mean and that of the cars left are the model's."""
    levels = np.arange(441)
    for state, action in ((21 * 3 + 18, 8), (21 * 20 + 20, 5), (21 * 9 + 0, 2)):
        rewards, evenings = [], []
        rental.reset(seed=0)
        for _ in range(1500):
            rental.state = state
            evening, reward, terminated, truncated, info = rental.step(action)
            assert not terminated
            assert not truncated
            assert reward == 10 * info["rented"] - 2 * abs(info["moved"])
            rewards.append(reward)
            evenings.append(divmod(int(evening), 21))
        error = np.std(rewards) / np.sqrt(1500)
        assert np.mean(rewards) == pytest.approx(rental.mdp.expected_reward[state, action], abs=4 * error)
        probability = rental.mdp.probability[state, action]
        for place, cars in enumerate(np.divmod(levels, 21)):
            played = np.array(evenings)[:, place]
            assert played.mean() == pytest.approx(probability @ cars, abs=4 * played.std() / np.sqrt(1500) + 1e-9)


@pytest.mark.parametrize("fee", [-1.0, float("inf"), float("nan")])
def test_a_fee_is_a_cost(fee):
    with pytest.raises(ValueError, match=f"parking_fee is a cost.*{fee}"):
        CarRental(parking_fee=fee)
