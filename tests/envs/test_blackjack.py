"""Blackjack: Gymnasium's game by simulation, the deck card by card, and the book's numbers."""

from collections import Counter
from fractions import Fraction
from functools import cache

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.toy_text.blackjack import BlackjackEnv
from scipy.stats import chi2

from sb3_ext.envs.textbook.blackjack import (
    GRID,
    HIT,
    N_GRID,
    N_STATES,
    STICK,
    Blackjack,
    blackjack_mdp,
    dealer_natural,
    dealer_scores,
    draw,
    is_hand,
    observation_of,
    state_of,
)
from sb3_ext.tabular import policy_evaluation, value_iteration

HANDS = [state for state in range(N_STATES) if is_hand(state)]
RULES = [{"sab": True}, {"sab": False}, {"sab": False, "natural": True}]
DECK = {card: Fraction(4 if card == 10 else 1, 13) for card in range(1, 11)}


# Gymnasium's game


def played(env, n_steps, seed):
    """How often Gymnasium's game went from (state, action) to (state, reward, terminated), and began where.

    Sticking is tried half of the time from 17 on and a tenth of the time below, so that hands grow.
    """
    rng, steps, starts = np.random.default_rng(seed), Counter(), Counter()
    env.reset(seed=seed)
    state = None
    for chance in rng.random(n_steps):
        if state is None:
            observation, _ = env.reset()
            state = state_of(observation, natural=observation[0] == 21)
            starts[state] += 1
        action = STICK if chance < (0.5 if observation_of(state)[0] >= 17 else 0.1) else HIT
        observation, reward, terminated, _, _ = env.step(action)
        after = state if action == STICK else state_of(observation)
        assert observation == observation_of(after) or observation[0] > 21
        steps[state, action, after, float(reward), terminated] += 1
        state = None if terminated else after
    return steps, starts


def expected(mdp):
    """The probability of (state, reward, terminated) after each (state, action), added up."""
    chances: Counter = Counter()
    for state, action in np.ndindex(mdp.n_states, mdp.n_actions):
        for outcome in range(mdp.n_outcomes):
            where = (state, action, outcome)
            after = (int(mdp.next_state[where]), float(mdp.reward[where]), bool(mdp.terminated[where]))
            chances[state, action, *after] += float(mdp.probability[where])
    return chances


def p_value(observed, wanted, n_free):
    """Pearson's chi-square test; cells that are wanted less than 5 times are thrown together."""
    rare = [key for key in wanted if wanted[key] < 5]
    cells = [(observed[key], wanted[key]) for key in wanted if wanted[key] >= 5]
    cells.append((sum(observed[key] for key in rare), max(sum(wanted[key] for key in rare), 1e-9)))
    return chi2.sf(sum((seen - mean) ** 2 / mean for seen, mean in cells), len(cells) - n_free)


@pytest.mark.slow
@pytest.mark.parametrize("rules", RULES)
def test_the_model_is_gymnasiums_game(rules):
    steps, starts = played(BlackjackEnv(**rules), 300_000, seed=1)
    mdp = blackjack_mdp(**rules)
    chances, visits = expected(mdp), Counter()
    for (state, action, *_), count in steps.items():
        visits[state, action] += count
    assert all(chances[key] > 0 for key in steps)  # nothing happens that the model rules out
    assert {state for state, _ in visits} == set(HANDS)
    wanted = {key: visits[key[:2]] * chance for key, chance in chances.items() if visits[key[:2]] and chance}
    for key, mean in wanted.items():
        spread = np.sqrt(mean * (1 - chances[key]))
        assert abs(steps[key] - mean) <= 5 * spread + 1.5, key
    assert p_value(steps, wanted, n_free=len(visits)) > 1e-3
    n_games = sum(starts.values())
    wanted_starts = {int(s): n_games * mdp.start[s] for s in mdp.start.nonzero()[0]}
    assert set(starts) <= set(wanted_starts)
    assert p_value(starts, wanted_starts, n_free=1) > 1e-3


def test_the_default_is_that_of_gymnasiums_id():
    theirs = gym.make("Blackjack-v1").unwrapped
    ours = gym.make("sb3_ext/Blackjack-v0").unwrapped
    assert (ours.sab, ours.natural) == (theirs.sab, theirs.natural) == (True, False)


# The deck, card by card


@cache
def dealer_ends(hand):
    """The distribution of the dealer's last hand, as fractions: every card is drawn."""
    total = sum(hand) + (10 if 1 in hand and sum(hand) <= 11 else 0)
    if total >= 17:
        return {(total if total <= 21 else 0, tuple(sorted(hand)) == (1, 10)): Fraction(1)}
    ends: Counter = Counter()
    for card, chance in DECK.items():
        for end, then in dealer_ends((*hand, card)).items():
            ends[end] += chance * then
    return dict(ends)


@pytest.mark.parametrize("dealer", range(1, 11))
def test_the_dealers_scores_card_by_card(dealer):
    ends = dealer_ends((dealer,))
    scores = [float(sum(p for (total, _), p in ends.items() if total == score)) for score in (0, 17, 18, 19, 20, 21)]
    np.testing.assert_allclose(dealer_scores(*draw(0, 0, dealer)), scores, atol=1e-14)
    assert dealer_natural(dealer) == pytest.approx(float(sum(p for (_, natural), p in ends.items() if natural)))


def test_first_hands_card_by_card():
    start = blackjack_mdp().start
    two_tens, ace_ten, two_aces = (4 / 13) ** 2, 2 * 4 / 13**2, 1 / 13**2
    assert start.sum() == pytest.approx(1)
    for dealer in range(1, 11):
        shown = float(DECK[dealer])
        assert start[state_of((20, dealer, 0))] == pytest.approx(two_tens * shown)
        assert start[state_of((21, dealer, 1), natural=True)] == pytest.approx(ace_ten * shown)
        assert start[state_of((12, dealer, 1))] == pytest.approx(two_aces * shown)
        assert start[state_of((21, dealer, 1))] == 0


# The book


def test_the_optimal_strategy_of_figure_5_2():
    """The sums from which to stick, by the dealer's card from ace to 10."""
    mdp = blackjack_mdp()
    policy = value_iteration(mdp, gamma=1.0).policy
    hard, soft = [17, 13, 13, 12, 12, 12, 17, 17, 17, 17], [19, 18, 18, 18, 18, 18, 18, 18, 19, 19]
    for state in HANDS:
        player, dealer, usable = observation_of(state)
        stick_from = (soft if usable else hard)[dealer - 1]
        assert policy[state] == (STICK if player >= stick_from else HIT), observation_of(state)


def test_the_value_of_example_5_4():
    """The book's -0.27726 is the mean of 10^8 games, whose standard error is below 10^-4; this is the limit."""
    mdp = blackjack_mdp()
    sticks_on_20 = [STICK if observation_of(state)[0] >= 20 else HIT for state in range(N_STATES)]
    value = policy_evaluation(mdp, sticks_on_20, gamma=1.0).values[state_of((13, 2, 1))]
    assert value == pytest.approx(-0.27726, abs=1e-4)
    assert value == pytest.approx(-0.2772042, abs=1e-7)


@pytest.mark.parametrize(("rules", "value"), [(RULES[0], -0.0431131), (RULES[1], -0.0465560), (RULES[2], -0.0257292)])
def test_what_the_game_is_worth(rules, value):
    env = Blackjack(**rules)
    assert env.mdp.start @ env.exact_values() == pytest.approx(value, abs=1e-7)


def test_a_natural_pays_by_the_rules():
    """Against a ten: the dealer has a natural with 1/13, and 21 in another way with what is left of its chance."""
    natural, drawn = state_of((21, 10, 1), natural=True), state_of((21, 10, 1))
    book, plain, paid = (Blackjack(**rules).mdp.expected_reward for rules in RULES)
    dealer_21 = dealer_scores(10, 0)[-1]
    assert book[natural, STICK] == pytest.approx(12 / 13)
    assert book[drawn, STICK] == pytest.approx(1 - dealer_21)
    assert plain[natural, STICK] == plain[drawn, STICK]
    assert paid[natural, STICK] == pytest.approx(1.5 * (1 - dealer_21))


# Numbers of states


def test_states_and_observations_are_translated_back():
    assert len(HANDS) == 18 * 10 + 10 * 10 + 10
    for state in HANDS:
        assert state_of(observation_of(state), natural=state >= N_GRID) == state
    grid = np.arange(N_GRID).reshape(GRID)
    assert grid[13 - 4, 2 - 1, 1] == state_of((13, 2, 1))
    assert state_of((27, 3, 0)) == state_of((22, 3, 0))
    assert Blackjack.observation_of(Blackjack.state_of((13, 2, 1))) == (13, 2, 1)
    assert state_of((np.int64(13), np.int64(2), np.int64(1))) == 183


@pytest.mark.parametrize("observation", [(3, 1, 0), (32, 1, 0), (11, 1, 1), (22, 1, 1), (12, 0, 0), (12, 11, 0)])
def test_hands_that_do_not_exist(observation):
    with pytest.raises(ValueError, match="no hand is"):
        state_of(observation)


def test_a_natural_is_21_with_an_ace():
    with pytest.raises(ValueError, match=r"a natural is seen as \(21, dealer's card, 1\), got \(20, 3, 1\)"):
        state_of((20, 3, 1), natural=True)
    with pytest.raises(ValueError, match="the states are 0 to 389, got 390"):
        observation_of(390)
