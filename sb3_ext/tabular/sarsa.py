"""SARSA: learn what the agent's own behaviour is worth, exploration and its accidents included.

    Q(S, A) <- Q(S, A) + alpha [R + gamma Q(S', A') - Q(S, A)]                     Sutton & Barto (2nd ed.), eq. 6.7

The name is its data: S, A, R, S', A'. Rummery & Niranjan (1994). Expected SARSA (van Seijen et al. 2009) takes the mean
over A' instead of the one that was drawn, and so scatters less:

    Q(S, A) <- Q(S, A) + alpha [R + gamma sum_a pi(a|S') Q(S', a) - Q(S, A)]                                  eq. 6.9

With ``n_steps`` above 1 both look n rewards ahead before they trust a value (section 7.2). With ``lambda_`` above 0,
SARSA averages over all n by eligibility traces (section 12.7). At a time limit A' is drawn at the state reached, and
another action after the reset.

The rules are ``sarsa_target`` and ``expected_sarsa_target`` in ``rules.py``. Read next: ``monte_carlo.py``, where n is
the whole episode.
"""

from typing import Any, Literal

from stable_baselines3.common.type_aliases import GymEnv, Schedule

from sb3_ext.common.exploration import EpsilonGreedy, Exploration
from sb3_ext.tabular import agent
from sb3_ext.tabular.algorithm import TabularAlgorithm
from sb3_ext.tabular.parameters import trace_settings, whole_number
from sb3_ext.tabular.policy import TabularPolicy

ON_POLICY = EpsilonGreedy(0.2, 0.0)  # what is learned is the agent's own policy, which ends as the greedy one


class SARSA(TabularAlgorithm):
    """On-policy temporal-difference control.

    Parameters not listed are those of :class:`sb3_ext.tabular.algorithm.TabularAlgorithm`.

    Args:
        policy: "TabularPolicy".
        env: Environment, VecEnv or id.
        exploration: By default epsilon falls to 0, for then the values learned are those of the greedy policy.
        n_steps: Rewards in a return before the value of the state reached, at least 1.
        lambda_: Trace decay, from 0 (none) to 1; above 0 only with ``n_steps=1``.
        traces: "accumulating" (a visit adds 1) or "replacing" (a visit sets 1).
    """

    def __init__(
        self,
        policy: str | type[TabularPolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule | str = "lin_1/N^0.5",
        gamma: float = 0.99,
        exploration: Exploration | float = ON_POLICY,
        *args: Any,
        n_steps: int = 1,
        lambda_: float = 0.0,
        traces: Literal["accumulating", "replacing"] = "replacing",
        **kwargs: Any,
    ) -> None:
        self.n_steps = n_steps
        self.lambda_ = lambda_
        self.traces = traces
        super().__init__(policy, env, learning_rate, gamma, exploration, *args, **kwargs)

    def _rule(self) -> dict[str, Any]:
        n_steps = whole_number("n_steps", self.n_steps, at_least=1)
        if n_steps > 1 and self.lambda_ > 0:
            raise ValueError(f"choose n_steps or lambda_, got n_steps={n_steps} and lambda_={self.lambda_}")
        return {"rule": agent.SARSA, "n_steps": n_steps, **trace_settings(self.lambda_, self.traces)}


class ExpectedSARSA(TabularAlgorithm):
    """SARSA with the mean over the next action.

    Parameters not listed are those of :class:`sb3_ext.tabular.algorithm.TabularAlgorithm`.

    Args:
        policy: "TabularPolicy".
        env: Environment, VecEnv or id.
        exploration: By default epsilon falls to 0, for then the values learned are those of the greedy policy.
        n_steps: Rewards in a return before the value of the state reached, at least 1.
    """

    def __init__(
        self,
        policy: str | type[TabularPolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule | str = "lin_1/N^0.5",
        gamma: float = 0.99,
        exploration: Exploration | float = ON_POLICY,
        *args: Any,
        n_steps: int = 1,
        **kwargs: Any,
    ) -> None:
        self.n_steps = n_steps
        super().__init__(policy, env, learning_rate, gamma, exploration, *args, **kwargs)

    def _rule(self) -> dict[str, Any]:
        return {"rule": agent.EXPECTED_SARSA, "n_steps": whole_number("n_steps", self.n_steps, at_least=1)}
