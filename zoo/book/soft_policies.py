"""What agents earn that never stop to explore, exactly: where the curves of example 6.6 and figure 6.3 are heading."""

from typing import Any

import numpy as np

from sb3_ext.tabular import TabularMDP, value_iteration
from sb3_ext.tabular.planning import expected_return, optimal_actions


def soft_mdp(mdp: TabularMDP, epsilon: float) -> TabularMDP:
    """The world in which, with probability epsilon, a random action takes the place of the agent's (section 5.4).

    Its optimum is the best that any epsilon-greedy agent can earn in the world itself.

    Example:
        >>> mdp = TabularMDP.from_arrays([[0, 0]], [[1.0, 0.0]], [[True, True]])
        >>> value_iteration(soft_mdp(mdp, 0.1), gamma=1.0).values
        array([0.95])
    """
    n_states, n_actions, n_outcomes = mdp.next_state.shape

    def with_random(array: Any) -> Any:  # [S, A, K] -> [S, A, K + A K]: the action's own outcomes, then any action's
        everything = array.reshape(n_states, 1, n_actions * n_outcomes)
        return np.concatenate([array, np.broadcast_to(everything, (n_states, n_actions, everything.shape[2]))], axis=2)

    probability = with_random(mdp.probability)
    probability[..., :n_outcomes] *= 1 - epsilon
    probability[..., n_outcomes:] *= epsilon / n_actions
    return TabularMDP.from_arrays(
        with_random(mdp.next_state), with_random(mdp.reward), with_random(mdp.terminated), probability, mdp.start
    )


def best_soft_return(mdp: TabularMDP, epsilon: float) -> float:
    """What the best epsilon-greedy agent earns in an episode: where SARSA and Expected SARSA are heading."""
    return float(mdp.start @ value_iteration(soft_mdp(mdp, epsilon), gamma=1.0).values)


def return_while_exploring(mdp: TabularMDP, epsilon: float) -> float:
    """What an agent earns that knows q* and is epsilon-greedy in it, ties at random: where Q-learning is heading."""
    best = optimal_actions(value_iteration(mdp, gamma=1.0).q_values)
    greedy = best / best.sum(axis=1, keepdims=True)
    return expected_return(mdp, (1 - epsilon) * greedy + epsilon / mdp.n_actions, gamma=1.0)
