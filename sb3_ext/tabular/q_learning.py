"""Q-learning: learn what the best behaviour would be worth, whatever the agent is doing.

    Q(S, A) <- Q(S, A) + alpha [R + gamma max_a Q(S', a) - Q(S, A)]                Sutton & Barto (2nd ed.), eq. 6.8

Watkins (1989). With ``lambda_`` above 0 it is Watkins's Q(lambda) (section 12.10): a step's error also reaches the
pairs that led there, back to the last action that was not greedy.

The target is one of two ways to look ahead without bias to what was tried: the maximum of noisy estimates is too high
on average, and Double Q-learning (van Hasselt 2010) cures that with two tables, one that chooses and one that judges:

    Q_1(S, A) <- Q_1(S, A) + alpha [R + gamma Q_2(S', argmax_a Q_1(S', a)) - Q_1(S, A)]                       eq. 6.10

The rules are ``q_learning_target`` and ``double_q_target`` in ``rules.py``; ``learn_one_step`` in ``learning.py``
applies them. Read next: ``sarsa.py``, which differs in the target alone.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from stable_baselines3.common.type_aliases import GymEnv, Schedule

from sb3_ext.common.exploration import EpsilonGreedy, Exploration
from sb3_ext.common.slots import QLearningUpdate
from sb3_ext.tabular.agent import DOUBLE_Q, Q_LEARNING, Memory
from sb3_ext.tabular.algorithm import TabularAlgorithm
from sb3_ext.tabular.own_functions import learn_by
from sb3_ext.tabular.parameters import trace_settings
from sb3_ext.tabular.policy import TabularPolicy


class QLearning(TabularAlgorithm):
    """Off-policy temporal-difference control (Watkins 1989).

    Parameters not listed are those of :class:`sb3_ext.tabular.algorithm.TabularAlgorithm`.

    Args:
        policy: "TabularPolicy".
        env: Environment, VecEnv or id.
        lambda_: Trace decay, from 0 (one-step Q-learning) to 1.
        traces: "accumulating" (a visit adds 1) or "replacing" (a visit sets 1).
        update: A rule of your own in the place of eq. 6.8 (``sb3_ext.common.slots.QLearningUpdate``): the new Q(S, A)
            from ``(q_value, reward, next_q_values, terminated, learning_rate, gamma)``. It needs the step engine. It is
            saved with the model: by its name if it is an importable module's, else with its code.

    Raises:
        ValueError: Also for ``update`` with ``lambda_`` above 0: traces carry back the error of eq. 6.8.
    """

    def __init__(
        self,
        policy: str | type[TabularPolicy],
        env: GymEnv | str | None,
        *args: Any,
        lambda_: float = 0.0,
        traces: Literal["accumulating", "replacing"] = "replacing",
        update: QLearningUpdate | None = None,
        **kwargs: Any,
    ) -> None:
        if update is not None and lambda_ > 0:
            raise ValueError(f"a rule of your own learns from one step, so update needs lambda_=0, got {lambda_}")
        self.lambda_ = lambda_
        self.traces = traces
        self.update = update
        super().__init__(policy, env, *args, **kwargs)

    def _rule(self) -> dict[str, Any]:
        return {"rule": Q_LEARNING, **trace_settings(self.lambda_, self.traces)}

    def _python_only(self) -> str | None:
        return super()._python_only() if self.update is None else "update is a function that only Python can call"

    def _step_functions(self, memory: Memory) -> tuple[Callable[..., int], Callable[..., int]]:
        act_all, learn_all = super()._step_functions(memory)
        return act_all, learn_all if self.update is None else partial(learn_by, self.update)


class DoubleQLearning(TabularAlgorithm):
    """Q-learning with two tables, so that the maximum does not favour what was overestimated (van Hasselt 2010).

    Each step updates one of the two, by a toss of a coin; actions follow their mean. Parameters are those of
    :class:`sb3_ext.tabular.algorithm.TabularAlgorithm`; "1/N" counts the visits of each table by itself. Its
    default learning rate falls more slowly and it explores more, as each table sees half of the steps.
    """

    def __init__(
        self,
        policy: str | type[TabularPolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule | str = "lin_1/N^0.4",
        gamma: float = 0.99,
        exploration: Exploration | float = EpsilonGreedy(1.0, 0.05),  # noqa: B008  (it is frozen)
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, learning_rate, gamma, exploration, *args, **kwargs)

    def _rule(self) -> dict[str, Any]:
        return {"rule": DOUBLE_Q}
