"""Exercises in reinforcement learning, from the return to GRPO: fill in the blanks, then

    sb3-ext check THIS_FILE.py

grades them and says for each failure what went in, what came out, what was expected and which mistake it looks like.
With ``--train gae`` it also trains with your function in the place of ours and draws its learning curve beside ours.

Each exercise is one equation. Keep the names of the functions and the order of the parameters. Arrays are NumPy's
(float64) unless it says tensors (PyTorch's, float32). Return the result, change nothing in place, draw no random
numbers. Loops and vectors are both fine.

Notation is that of Sutton & Barto, Reinforcement Learning, 2nd ed. (free: http://incompleteideas.net/book): the step
from S to S' earns R and is discounted by gamma. An episode ends in one of two ways, and they are not the same:

    terminated    S' is terminal: nothing follows, it is worth 0
    truncated     time ran out: the episode would have gone on, so S' is worth as much as ever
"""

import numpy as np
import torch as th

# ---- 1. Returns and values ------------------------------------------------------------------------------------------


def discounted_returns(rewards: np.ndarray, gamma: float) -> np.ndarray:
    """What came after each step of one episode (eq. 3.9): G_t = R_{t+1} + gamma G_{t+1}.

    Args:
        rewards: R_1, ..., R_T, [T]. After the last one the episode is over.
        gamma: discount, 0 to 1.

    Returns:
        G_0, ..., G_{T-1}, [T].

    Example: rewards 1, 2, 4 and gamma 0.5 give 3, 4, 4.
    """
    raise NotImplementedError


def td_target(reward: float, gamma: float, next_value: float, terminated: bool) -> float:
    """What V(S) should have been, by one step (eq. 6.2): R + gamma V(S'), or R alone where S' is terminal.

    Args:
        reward: R.
        gamma: discount.
        next_value: V(S').
        terminated: True if S' is terminal.

    Example: R = 1, gamma = 0.5, V(S') = 4 gives 3, or 1 if S' is terminal.
    """
    raise NotImplementedError


# ---- 2. Q-learning --------------------------------------------------------------------------------------------------


def epsilon_greedy(q_values: np.ndarray, epsilon: float) -> np.ndarray:
    """How likely each action is: with probability epsilon any of the A actions, all alike; else the best.

    Args:
        q_values: Q(s, a) of each action, [A].
        epsilon: 0 to 1.

    Returns:
        Probabilities [A]; they add up to 1. Actions that are equally good share what the best gets.

    Example: values 0, 1 and epsilon 0.1 give 0.05, 0.95.
    """
    raise NotImplementedError


def q_learning_update(
    q_value: float, reward: float, next_q_values: np.ndarray, terminated: bool, learning_rate: float, gamma: float
) -> float:
    """The new Q(S, A) (eq. 6.8): Q(S, A) + learning_rate [R + gamma max_a Q(S', a) - Q(S, A)].

    Args:
        q_value: Q(S, A).
        reward: R.
        next_q_values: Q(S', a) of each action, [A].
        terminated: True if S' is terminal, and so worth 0.
        learning_rate: alpha.
        gamma: discount.

    Example: Q(S, A) = 2, R = 1, Q(S', .) = 0, 6, learning_rate = gamma = 0.5 gives 3, or 1.5 if S' is terminal.
    """
    raise NotImplementedError


# ---- 3. DQN ---------------------------------------------------------------------------------------------------------


def dqn_targets(rewards: th.Tensor, gamma: float, next_q_values: th.Tensor, terminated: th.Tensor) -> th.Tensor:
    """What a batch of Q(S, A) should have been (Mnih et al. 2015): R + gamma max_a Q_target(S', a).

    Args:
        rewards: tensor [N].
        gamma: discount.
        next_q_values: Q(S', a) of the target network, tensor [N, n_actions].
        terminated: 1.0 where S' is terminal, else 0.0, tensor [N].

    Returns:
        Targets, tensor [N]. They are data: no gradient may flow through them.
    """
    raise NotImplementedError


def double_dqn_targets(
    rewards: th.Tensor,
    gamma: float,
    next_q_values: th.Tensor,
    terminated: th.Tensor,
    next_online_q_values: th.Tensor,
) -> th.Tensor:
    """The same without the bias of the maximum (van Hasselt et al. 2016): one network picks, the other judges.

    R + gamma Q_target(S', argmax_a Q_online(S', a))

    Args:
        rewards: tensor [N].
        gamma: discount.
        next_q_values: Q(S', a) of the target network, which judges, tensor [N, n_actions].
        terminated: 1.0 where S' is terminal, else 0.0, tensor [N].
        next_online_q_values: Q(S', a) of the network that is learning, which picks, tensor [N, n_actions].

    Returns:
        Targets, tensor [N], without a gradient.
    """
    raise NotImplementedError


# ---- 4. Policy gradients --------------------------------------------------------------------------------------------


def policy_gradient_loss(log_probs: th.Tensor, advantages: th.Tensor) -> th.Tensor:
    """A loss whose gradient is minus the policy gradient (eq. 13.8): - mean of A_t log pi(A_t|S_t).

    Args:
        log_probs: log pi(A_t|S_t), tensor [N].
        advantages: how much better each action was than expected, tensor [N]. They are data: detach them.

    Returns:
        A scalar tensor.

    Example: log_probs -1, -2 and advantages 3, 0.5 give 2.
    """
    raise NotImplementedError


def gae(
    rewards: np.ndarray,
    values: np.ndarray,
    next_values: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> np.ndarray:
    """Generalised advantage estimation (Schulman et al. 2016): A_t = delta_t + gamma lambda A_{t+1}.

    delta_t = R_{t+1} + gamma V(S_{t+1}) - V(S_t), where V of a terminal state is 0. Several episodes may stand one
    after the other: no A_{t+1} crosses the end of an episode, terminated or truncated. A truncated episode is
    bootstrapped from the value of the state it had reached. Where both flags are True, S_{t+1} is terminal. The last
    step of the array may end neither way.

    Args:
        rewards: R_{t+1}, [T].
        values: V(S_t), [T].
        next_values: V(S_{t+1}) of the state that the step led to, before any reset, [T]. So it is values[t + 1] within
            an episode, and something else where one ends.
        terminated: True where S_{t+1} is terminal, [T].
        truncated: True where time ran out after the step, [T].
        gamma: discount.
        gae_lambda: lambda, 0 to 1.

    Returns:
        A_t, [T].
    """
    raise NotImplementedError


# ---- 5. PPO ---------------------------------------------------------------------------------------------------------


def clipped_surrogate(
    log_probs: th.Tensor, old_log_probs: th.Tensor, advantages: th.Tensor, clip_range: float
) -> th.Tensor:
    """PPO's loss (Schulman et al. 2017, eq. 7): - mean of min(r A, clip(r, 1 - clip_range, 1 + clip_range) A).

    Args:
        log_probs: log pi(A_t|S_t), tensor [N].
        old_log_probs: log pi_old(A_t|S_t) of the policy that played, tensor [N]; r = pi / pi_old. They are data.
        advantages: A_t, tensor [N]. They are data.
        clip_range: how far from 1 a ratio may move for a gain.

    Returns:
        A scalar tensor; a gradient flows through log_probs alone.
    """
    raise NotImplementedError


# ---- 6. Reward shaping ----------------------------------------------------------------------------------------------


def potential(observation: int) -> float:
    """How promising a cell of the four rooms is: any number that is higher where the goal is nearer.

    ::

        #############    13 rows and 13 columns, counted from 0; # is a wall.
        #S....#.....#    S, the start, is in row 1, column 1;
        #.....#.....#    G, the goal, in row 11, column 11.
        #...........#
        #.....#.....#    The walls may be left out of account.
        #.....#.....#
        ##.####.....#
        #.....###.###
        #.....#.....#
        #.....#.....#
        #...........#
        #.....#....G#
        #############

    Args:
        observation: the number of the cell, 13 * row + column.
    """
    raise NotImplementedError


def shaping_reward(potential: float, next_potential: float, gamma: float, terminated: bool) -> float:
    """A reward that guides and cannot mislead (Ng, Harada & Russell 1999): F = gamma Phi(S') - Phi(S).

    Args:
        potential: Phi(S).
        next_potential: Phi(S').
        gamma: discount, the agent's.
        terminated: True if S' is terminal; Phi counts as 0 there.
    """
    raise NotImplementedError


# ---- 7. Language models ---------------------------------------------------------------------------------------------


def kl_penalty(log_probs: th.Tensor, ref_log_probs: th.Tensor) -> th.Tensor:
    """How far the policy has moved from a reference, estimated from its actions (k3, Schulman 2020).

    ref/pi - log(ref/pi) - 1, which is never negative.

    Args:
        log_probs: log pi(A|S) of actions drawn from pi, tensor [N].
        ref_log_probs: log ref(A|S) of the same actions, tensor [N]. They are data.

    Returns:
        One number for each action, tensor [N].
    """
    raise NotImplementedError


def group_advantages(returns: np.ndarray) -> np.ndarray:
    """GRPO's advantages (Shao et al. 2024): (G - mean) / standard deviation, within each group.

    Args:
        returns: of several episodes from the same start, [n_groups, n_members].

    Returns:
        Same shape. A group whose returns are all equal says nothing: its advantages are 0, not nan. (The standard
        deviation may divide by n or n - 1; a number of at most 1e-4 may be added to it.)
    """
    raise NotImplementedError
