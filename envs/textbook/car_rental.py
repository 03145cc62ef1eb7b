"""Jack's car rental: policy iteration's first serious example.

Two locations, up to 20 cars at each, random requests and returns; overnight Jack may move up to 5 cars (Sutton & Barto,
2nd ed., example 4.2, figure 4.2, and exercise 4.7). The model is exact: no Poisson tail is cut off, each is folded into
the last outcome (requests beyond the cars that are there are lost, cars beyond 20 leave). Exact solution:
``policy_iteration``, whose policies are the panels of figure 4.2. Read next: ``gambler.py``.
"""

import math
from typing import Any, NamedTuple, SupportsInt

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.tabular.mdp import TabularMDP

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_CARS = 20  # at each location
MAX_MOVES = 5  # cars a night
N_LEVELS = MAX_CARS + 1
RENTAL_PRICE = 10.0
MOVE_COST = 2.0
CARS_PARKED_FREE = 10  # exercise 4.7
GAMMA = 0.9
REQUEST_RATES = (3.0, 4.0)  # mean requests a day at the first and the second location
RETURN_RATES = (3.0, 2.0)


class Night(NamedTuple):
    """What a night's moves lead to: cars at each location in the morning, and what it cost. Shapes [...]."""

    first: Ints
    second: Ints
    moved: Ints
    cost: Floats


def move_cars(state: Ints, action: Ints, free_shuttle: bool = False, parking_fee: float = 0.0) -> Night:
    """Moves cars overnight, as many of those asked for as there are; cars beyond 20 leave the town.

    Args:
        state: 21 * (cars at the first location) + (cars at the second), [...].
        action: 5 + (cars to move from the first to the second), 0 to 10; broadcasts with ``state``.
        free_shuttle: The first car moved to the second location costs nothing (exercise 4.7).
        parking_fee: Cost of each location that keeps more than 10 cars overnight (exercise 4.7: 4).

    Example:
        >>> move_cars(np.array(21 * 3 + 18), np.array(10))  # 3 and 18 cars; 5 are asked for
        Night(first=array(0), second=array(20), moved=array(3), cost=array(6.))
    """
    first, second = np.divmod(state, N_LEVELS)
    moved = np.clip(action - MAX_MOVES, -second, first)
    first, second = np.minimum(first - moved, MAX_CARS), np.minimum(second + moved, MAX_CARS)
    paid_moves = np.abs(moved) - (free_shuttle & (moved > 0))
    full = (first > CARS_PARKED_FREE).astype(np.float64) + (second > CARS_PARKED_FREE)
    cost = MOVE_COST * paid_moves + parking_fee * full
    return Night(*map(np.asarray, (first, second, moved, cost)))


def folded_poisson(rate: float, top: int) -> Floats:
    """Distribution of ``min(X, top)`` for X ~ Poisson(rate), [top + 1]: the whole tail is in the last entry.

    Example:
        >>> folded_poisson(3.0, 2).round(3)
        array([0.05 , 0.149, 0.801])
    """
    below = np.array([math.exp(-rate) * rate**k / math.factorial(k) for k in range(top)])
    return np.append(below, max(0.0, 1 - below.sum()))


def one_location(request_rate: float, return_rate: float) -> tuple[Floats, Floats]:
    """One day at one location, exactly: cars are rented, then others come back (to be rented from the next day on).

    Returns:
        Transition probabilities [21 in the morning, 21 in the evening] and the mean number of rentals [21].
    """
    rented = np.zeros((N_LEVELS, N_LEVELS))  # [morning, cars left]
    returned = np.zeros((N_LEVELS, N_LEVELS))  # [cars left, evening]
    for cars in range(N_LEVELS):
        rented[cars, : cars + 1] = folded_poisson(request_rate, cars)[::-1]
        returned[cars, cars:] = folded_poisson(return_rate, MAX_CARS - cars)
    levels = np.arange(N_LEVELS)
    return rented @ returned, levels - rented @ levels


def car_rental_mdp(free_shuttle: bool = False, parking_fee: float = 0.0) -> TabularMDP:
    """Both locations as arrays; the reward of an outcome is the mean reward of its state and action.

    The locations are independent once the cars are moved, so their joint day is a Kronecker product, [441, 441].

    Raises:
        ValueError: If parking_fee is negative or not finite.
    """
    if not 0 <= parking_fee < math.inf:
        raise ValueError(f"parking_fee is a cost: it must be finite and not negative, got {parking_fee}")
    (first_day, first_rentals), (second_day, second_rentals) = map(one_location, REQUEST_RATES, RETURN_RATES)
    states, actions = np.arange(N_LEVELS**2), np.arange(2 * MAX_MOVES + 1)
    night = move_cars(states[:, None], actions, free_shuttle, parking_fee)
    income = RENTAL_PRICE * (first_rentals[night.first] + second_rentals[night.second])
    probability = np.kron(first_day, second_day)[N_LEVELS * night.first + night.second]
    return TabularMDP.from_arrays(
        next_state=np.broadcast_to(states.astype(np.int32), probability.shape),
        reward=income - night.cost,
        probability=probability,
    )


def policy_iteration(mdp: TabularMDP, gamma: float = GAMMA) -> tuple[list[Ints], Floats]:
    """Policy iteration (section 4.3), from the policy that moves nothing: evaluate, improve, until nothing improves.

    Among equally good moves the smallest is taken, so that the policies cannot alternate for ever (exercise 4.4).

    Returns:
        The policies pi_0, pi_1, ... as cars to move [441], the last one optimal, and its values [441].
    """
    from sb3_ext.tabular.planning import optimal_actions, policy_evaluation

    smallest_first = np.argsort(np.abs(np.arange(mdp.n_actions) - MAX_MOVES), kind="stable")
    policies = [np.full(mdp.n_states, MAX_MOVES)]
    while True:
        solution = policy_evaluation(mdp, policies[-1], gamma)
        tied = optimal_actions(solution.q_values)[:, smallest_first]
        improved = smallest_first[tied.argmax(axis=1)]
        if np.array_equal(improved, policies[-1]):
            return [policy - MAX_MOVES for policy in policies], solution.values
        policies.append(improved)


class CarRental(gym.Env[Any, Any]):
    """Two car rentals and the cars that are always in the wrong one.

    ## Description
    Each evening Jack moves cars from one location to the other; the next day cars are requested (Poisson, mean 3 and 4)
    and returned (Poisson, mean 3 and 2). A request that finds no car is lost. Returned cars can be rented from the next
    day on. A location holds 20 cars; what is beyond leaves.

    ## Action Space
    `Discrete(11)`: action a moves a - 5 cars from the first location to the second (negative: back), if they are there.

    ## Observation Space
    `Discrete(441)`: 21 * (cars at the first location) + (cars at the second), at the end of the day.

    ## Rewards
    10 for every car rented, -2 for every car moved: what was really earned. `env.mdp` holds the mean of it.

    ## Starting State
    Any of the 441, all equally likely.

    ## Episode End
    Never: a continuing task, discounted with gamma = 0.9. Truncation after 100 days, if made by its id.

    ## Information
    `step()` returns `moved` and `rented`, the numbers of cars.

    ## Arguments
    Exercise 4.7 is `CarRental(free_shuttle=True, parking_fee=4.0)`.
    - `free_shuttle=False`: the first car moved to the second location costs nothing.
    - `parking_fee=0.0`: cost of each location that keeps more than 10 cars overnight.

    ## References
    Sutton & Barto, Reinforcement Learning, 2nd ed., example 4.2, figure 4.2 and exercise 4.7.
    """

    metadata = {"render_modes": []}

    def __init__(self, free_shuttle: bool = False, parking_fee: float = 0.0) -> None:
        self.mdp = car_rental_mdp(free_shuttle, parking_fee)
        self.observation_space = spaces.Discrete(self.mdp.n_states)
        self.action_space = spaces.Discrete(self.mdp.n_actions)
        self.state: int | None = None
        self.free_shuttle, self.parking_fee = free_shuttle, parking_fee

    def exact_values(self) -> Floats:
        """v*(s) [441] for gamma = 0.9."""
        return policy_iteration(self.mdp)[1]

    def optimal_moves(self) -> Ints:
        """Cars to move, [21 cars at the first location, 21 at the second]: figure 4.2, last panel."""
        return policy_iteration(self.mdp)[0][-1].reshape(N_LEVELS, N_LEVELS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Draws the cars of the first evening."""
        super().reset(seed=seed)
        self.state = int(self.np_random.integers(self.mdp.n_states))
        return self.state, {}

    def step(self, action: SupportsInt) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Moves cars, then draws a day of requests and returns at each location.

        Raises:
            ValueError: If the action is none.
            RuntimeError: If called before ``reset``.
        """
        if self.state is None:
            raise RuntimeError("call reset() before step()")
        if not 0 <= int(action) < self.mdp.n_actions:
            raise ValueError(f"the actions are 0 to {self.mdp.n_actions - 1}, got {action}")
        night = move_cars(np.asarray(self.state), np.asarray(int(action)), self.free_shuttle, self.parking_fee)
        morning = np.array([night.first, night.second])
        rented = np.minimum(self.np_random.poisson(REQUEST_RATES), morning)
        evening = np.minimum(morning - rented + self.np_random.poisson(RETURN_RATES), MAX_CARS)
        self.state = int(evening @ [N_LEVELS, 1])
        reward = float(RENTAL_PRICE * rented.sum() - night.cost)
        return self.state, reward, False, False, {"moved": int(night.moved), "rented": int(rented.sum())}
