"""The update rules of prediction, each beside its equation in Sutton & Barto (2nd ed., chapters 5, 6, 7 and 12).

All methods move an estimate towards a target; the target is what they differ in. ``prediction_loops.py`` applies them
step by step, ``prediction.py`` is what to call.
"""

from sb3_ext.common.compiling import compiled


@compiled
def updated(value: float, error: float, step_size: float) -> float:
    """The rule behind all methods: ``V <- V + alpha [target - V]`` (equations 2.4, 6.1, 6.2, 7.2).

    Args:
        value: V(S_t).
        error: The bracket, target minus V(S_t).
        step_size: alpha.

    Example:
        >>> updated(1.0, 4.0, 0.5)
        3.0
    """
    return value + step_size * error


@compiled
def step_size(learning_rate: float, count: int) -> float:
    """The constant alpha, or 1/N, which makes the estimate the mean of its targets (equation 2.3).

    Args:
        learning_rate: alpha in (0, 1], or 0 for 1/N.
        count: N, how often the state was updated, this time included.

    Example:
        >>> step_size(0.1, 4), step_size(0.0, 4)
        (0.1, 0.25)
    """
    return learning_rate if learning_rate > 0 else 1 / count


@compiled
def one_step_return(reward: float, discount: float, future: float) -> float:
    """``G_t = R_{t+1} + gamma G_{t+1}`` (equation 3.9); with V(S_{t+1}) as the future, TD(0)'s target (6.2).

    Applied n times, backwards from V(S_{t+n}), it is the n-step return G_{t:t+n} (7.1).

    Args:
        reward: R_{t+1}.
        discount: gamma, or 0 where S_{t+1} is terminal.
        future: G_{t+1}, or an estimate of it.

    Example:
        >>> one_step_return(1.0, 0.5, 10.0)
        6.0
    """
    return reward + discount * future


@compiled
def td_error(reward: float, discount: float, next_value: float, value: float) -> float:
    """``delta_t = R_{t+1} + gamma V(S_{t+1}) - V(S_t)`` (equation 6.5).

    Args:
        reward: R_{t+1}.
        discount: gamma, or 0 where S_{t+1} is terminal.
        next_value: V(S_{t+1}).
        value: V(S_t).

    Example:
        >>> td_error(1.0, 0.5, 10.0, 4.0)
        2.0
    """
    return one_step_return(reward, discount, next_value) - value


@compiled
def accumulating_trace(trace: float, discount: float, lambda_: float, visited: bool) -> float:
    """``z_t(s) = gamma lambda z_{t-1}(s) + 1[s = S_t]`` (equation 12.5, one feature a state).

    Args:
        trace: z_{t-1}(s).
        discount: gamma.
        lambda_: Trace decay in [0, 1].
        visited: Whether s is S_t.

    Example:
        >>> accumulating_trace(1.0, 1.0, 0.5, True), accumulating_trace(1.0, 1.0, 0.5, False)
        (1.5, 0.5)
    """
    return discount * lambda_ * trace + visited


@compiled
def replacing_trace(trace: float, discount: float, lambda_: float, visited: bool) -> float:
    """``z_t(s) = 1`` if s = S_t, else ``gamma lambda z_{t-1}(s)`` (equation 12.12); arguments as above.

    Example:
        >>> replacing_trace(1.0, 1.0, 0.5, True), replacing_trace(1.0, 1.0, 0.5, False)
        (1.0, 0.5)
    """
    return 1.0 if visited else discount * lambda_ * trace


@compiled
def ordinary_estimate(estimate: float, return_: float, ratio: float, count: int) -> float:
    """Ordinary importance sampling: the mean of rho G over all episodes (equation 5.5), one more episode.

    Without bias, but its variance may be infinite.

    Args:
        estimate: The mean before this episode.
        return_: G.
        ratio: rho, the product over the episode's steps of pi(A_t | S_t) / b(A_t | S_t) (equation 5.3).
        count: Number of episodes, this one included.

    Example:
        >>> ordinary_estimate(estimate=1.0, return_=3.0, ratio=2.0, count=2)
        3.5
    """
    return updated(estimate, ratio * return_ - estimate, 1 / count)


@compiled
def weighted_estimate(estimate: float, return_: float, ratio: float, total: float) -> float:
    """Weighted importance sampling: the mean of G with weights rho (equation 5.6), in its form 5.8.

    Biased (towards v_b, by less and less), but of far smaller variance. 0 as long as no episode had any weight.

    Args:
        estimate: The mean before this episode.
        return_: G.
        ratio: Its weight, rho as above.
        total: C, the sum of all weights, this one included.

    Example:
        >>> weighted_estimate(estimate=1.0, return_=3.0, ratio=2.0, total=4.0)
        2.0
    """
    return updated(estimate, return_ - estimate, ratio / total) if total > 0 else estimate
