"""Blackjack: a game whose model is tedious to write down and easy to sample, the case for Monte Carlo methods.

The player draws cards up to 21 at most, then the dealer does by a fixed rule (Sutton & Barto, 2nd ed., example 5.1).
Exact solution: cards come from an infinite deck, so the dealer's final score depends on the card shown alone; its
distribution (``dealer_scores``) gives what sticking is worth, and dynamic programming the rest.

A state is what Gymnasium's ``Blackjack-v1`` shows, (player's sum, dealer's card, usable ace), as one number:
``state_of`` and ``observation_of`` translate. One thing it does not show counts: 21 with the first two cards (a
natural) beats a 21 that was drawn. So that the model is exact, naturals are states of their own.
Read next: ``gambler.py``, where the model is one line.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular.mdp import TabularMDP

STICK, HIT = 0, 1
CARDS = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
CARD_PROBABILITY = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 4]) / 13  # 10, jack, queen and king count 10
LOWEST, BUST = 4, 22  # sums of the player; 22 stands for all above 21
GRID = (BUST - LOWEST + 1, 10, 2)
"""Player's sum from 4 to 22, dealer's card from 1 (ace) to 10, usable ace: the shape of all states but the naturals."""
N_GRID = 19 * 10 * 2
N_STATES = N_GRID + 10  # at the end, a natural against each card of the dealer

Observation = tuple[int, int, int]
"""(player_sum, dealer_card, usable_ace) as Gymnasium's Blackjack-v1 shows it."""


def state_of(observation: Observation, natural: bool = False) -> int:
    """The number of the state that Gymnasium shows as ``observation``.

    It is ``(player_sum - 4) * 20 + (dealer_card - 1) * 2 + usable_ace``, where sums above 21 count as 22; a natural has
    the number ``379 + dealer_card``.

    Args:
        observation: (player_sum from 4, dealer_card from 1 to 10, usable_ace 0 or 1).
        natural: Whether the player's first two cards are an ace and a ten, which are shown as (21, dealer_card, 1).

    Raises:
        ValueError: If Gymnasium never shows that.

    Example:
        >>> state_of((13, 2, 1)), state_of((21, 1, 1)), state_of((21, 1, 1), natural=True)
        (183, 341, 380)
    """
    player, dealer, usable = (int(number) for number in observation)
    soft = usable == 1 and 12 <= player <= 21
    if not (1 <= dealer <= 10 and (soft or (usable == 0 and LOWEST <= player <= 31))):
        raise ValueError(f"no hand is (player's sum, dealer's card, usable ace) = {observation}")
    if natural:
        if (player, usable) != (21, 1):
            raise ValueError(f"a natural is seen as (21, dealer's card, 1), got {observation}")
        return N_GRID + dealer - 1
    return int(np.ravel_multi_index((min(player, BUST) - LOWEST, dealer - 1, usable), GRID))


def observation_of(state: int) -> Observation:
    """What Gymnasium shows in a state; the inverse of ``state_of``, but for bust hands, all of which give 22.

    States that no hand has (a usable ace with a sum below 12 or above 21) are translated like the others.

    Raises:
        ValueError: If there is no such state.

    Example:
        >>> observation_of(183), observation_of(380)
        ((13, 2, 1), (21, 1, 1))
    """
    if not 0 <= state < N_STATES:
        raise ValueError(f"the states are 0 to {N_STATES - 1}, got {state}")
    if state >= N_GRID:
        return 21, int(state) - N_GRID + 1, 1
    player, dealer, usable = (int(number) for number in np.unravel_index(state, GRID))
    return player + LOWEST, dealer + 1, usable


def is_hand(state: int) -> bool:
    """Whether a player can be asked in this state: no bust hand, and none that the cards cannot give."""
    player, _, usable = observation_of(state)
    return player < BUST and (usable == 0 or player >= 12)


def draw(total: int, usable: int, card: int) -> tuple[int, int]:
    """The sum and whether an ace counts 11, after one more card.

    Example:
        >>> draw(7, 0, 1), draw(18, 1, 9), draw(20, 0, 5)
        ((18, 1), (17, 0), (25, 0))
    """
    hard = total - 10 * usable + card
    usable = int((usable == 1 or card == 1) and hard + 10 <= 21)
    return hard + 10 * usable, usable


@cache
def dealer_scores(total: int, usable: int) -> tuple[float, ...]:
    """The distribution of the dealer's final score: a bust, 17, 18, 19, 20, 21.

    The dealer draws below 17 and sticks from 17 on, whether or not an ace counts 11.

    Args:
        total: The dealer's sum so far: 11 for an ace alone.
        usable: Whether an ace counts 11.

    Returns:
        Six probabilities.

    Example:
        >>> [round(p, 4) for p in dealer_scores(10, 0)]
        [0.2121, 0.1114, 0.1114, 0.1114, 0.3422, 0.1114]
    """
    if total >= 17:
        return tuple(float(score == (0 if total > 21 else total)) for score in (0, 17, 18, 19, 20, 21))
    after = np.array([dealer_scores(*draw(total, usable, card)) for card in CARDS.tolist()])
    return tuple((CARD_PROBABILITY @ after).tolist())


def stick_probabilities(player: int, dealer: int) -> NDArray[np.float64]:
    """The probabilities [3] to win, to draw and to lose by sticking on a sum that is no natural.

    Example:
        >>> stick_probabilities(20, 10).round(4)
        array([0.5464, 0.3422, 0.1114])
    """
    scores = np.array([0, 17, 18, 19, 20, 21])
    chance = np.array(dealer_scores(*draw(0, 0, dealer)))
    return np.array([chance[scores < player].sum(), chance[scores == player].sum(), chance[scores > player].sum()])


def dealer_natural(dealer: int) -> float:
    """The probability that the dealer's hidden card makes a natural of the one shown."""
    return {1: 4 / 13, 10: 1 / 13}.get(dealer, 0.0)


def blackjack_mdp(natural: bool = False, sab: bool = True) -> TabularMDP:
    """The game as arrays: 390 states, 2 actions, 10 outcomes (the cards for a hit; to win, draw, lose for sticking).

    States that are no hand end at once with reward 0.

    Args:
        natural: A natural that wins pays 1.5; without effect if ``sab``.
        sab: The book's rules: a natural wins unless the dealer has one too.
    """
    shape = (N_STATES, 2, len(CARDS))
    next_state = np.broadcast_to(np.arange(N_STATES)[:, None, None], shape).copy()
    probability, reward, terminated = np.zeros(shape), np.zeros(shape), np.ones(shape, dtype=bool)
    probability[..., 0] = 1.0
    for state in filter(is_hand, range(N_STATES)):
        player, dealer, usable = observation_of(state)
        probability[state, STICK, :3] = stick_probabilities(player, dealer)
        reward[state, STICK, :3] = 1.0, 0.0, -1.0
        if state >= N_GRID and sab:
            probability[state, STICK, :3] = 1 - dealer_natural(dealer), dealer_natural(dealer), 0.0
        elif state >= N_GRID and natural:
            reward[state, STICK, 0] = 1.5
        hands = [draw(player, usable, card) for card in CARDS.tolist()]
        probability[state, HIT] = CARD_PROBABILITY
        next_state[state, HIT] = [state_of((total, dealer, ace)) for total, ace in hands]
        terminated[state, HIT] = [total > 21 for total, _ in hands]
        reward[state, HIT] = -1.0 * terminated[state, HIT]
    return TabularMDP.from_arrays(next_state, reward, terminated, probability, start_distribution())


def start_distribution() -> NDArray[np.float64]:
    """The probability [390] of each first state: two cards for the player, one that the dealer shows."""
    start = np.zeros(N_STATES)
    for first in CARDS.tolist():
        total, usable = draw(0, 0, first)
        for second in CARDS.tolist():
            hand = draw(total, usable, second)
            for dealer in CARDS.tolist():
                chance = np.prod(CARD_PROBABILITY[[first - 1, second - 1, dealer - 1]])
                start[state_of((hand[0], dealer, hand[1]), natural=hand[0] == 21)] += chance
    return start


class Blackjack(TabularEnv):
    """Twenty-one against a dealer who plays by a fixed rule.

    ## Description
    Cards count what they show, jack, queen and king 10, an ace 11 (it is then usable) unless that would bust, else 1;
    they come from an infinite deck. Player and dealer get two cards each, one of the dealer's is shown. The player hits
    (takes a card) until sticking or going bust, above 21. Then the dealer hits below 17 and sticks from 17 on. The
    greater sum wins; a bust loses.

    ## Action Space
    `Discrete(2)`: 0 sticks, 1 hits.

    ## Observation Space
    `Discrete(390)`: the state. `Blackjack.state_of` makes it of what Gymnasium's `Blackjack-v1` shows, (player's sum,
    dealer's card, usable ace), and `Blackjack.observation_of` translates back. The last ten are naturals (an ace and a
    ten at once) against each card of the dealer; of the others, `array[:N_GRID].reshape(GRID)` has one axis for each
    of the three.

    ## Rewards
    1 for winning, 0 for a draw, -1 for losing, at the end; 1.5 for winning with a natural if `natural` and not `sab`.

    ## Starting State
    Two cards of the player and one of the dealer, drawn from the deck.

    ## Episode End
    Termination when the player sticks or goes bust. No time limit: none is needed.

    ## Arguments
    - `natural=False`: pays 1.5 for winning with a natural, which needs `sab=False`.
    - `sab=True`: the book's rules, as in `gym.make("Blackjack-v1")`: a natural wins unless the dealer has one too (a
      draw). Otherwise it is like any 21 and draws with all of them.

    A player with a natural has to stick to be paid, as in Gymnasium, and may hit. The dealer's natural is to the player
    a 21 like any other.

    ## References
    Sutton & Barto, Reinforcement Learning, 2nd ed., example 5.1, figures 5.1 and 5.2, example 5.4.
    """

    state_of = staticmethod(state_of)
    observation_of = staticmethod(observation_of)

    def __init__(self, natural: bool = False, sab: bool = True) -> None:
        super().__init__(blackjack_mdp(natural, sab))
        self.natural, self.sab = natural, sab

    def exact_values(self) -> NDArray[np.float64]:
        """v*(s) [390] for gamma = 1: the expected reward under the best play; 0 where there is no hand to play.

        Example:
            >>> env = Blackjack()
            >>> round(float(env.mdp.start @ env.exact_values()), 5)  # the game is worth a little less than nothing
            -0.04311
        """
        from sb3_ext.tabular.planning import value_iteration

        return value_iteration(self.mdp, gamma=1.0, tolerance=1e-12).values
