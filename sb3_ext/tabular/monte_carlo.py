"""Monte Carlo control: learn from whole returns, without trusting any estimate on the way.

    Q(S_t, A_t) <- Q(S_t, A_t) + alpha [G_t - Q(S_t, A_t)]    at the end of each episode, eq. 2.4 with the return as
    target

On-policy, for a policy that keeps exploring (Sutton & Barto, 2nd ed., section 5.4). With ``learning_rate="1/N"`` each
entry is the average of its returns, as in the book.

Deviates from it: an episode that was cut off at a time limit has no whole return, so the value of the state that it
reached (the mean over the policy's actions) stands for what would have come. The same holds where an episode is longer
than 10,000
steps: it is learned from in parts.

Read next: ``dyna_q.py``, which learns a model of the world as well.
"""

from typing import Any, Literal

from stable_baselines3.common.type_aliases import GymEnv, Schedule

from sb3_ext.common.exploration import EpsilonGreedy, Exploration
from sb3_ext.tabular.agent import MONTE_CARLO
from sb3_ext.tabular.algorithm import TabularAlgorithm
from sb3_ext.tabular.policy import TabularPolicy


class MonteCarloControl(TabularAlgorithm):
    """On-policy Monte Carlo control.

    Parameters not listed are those of :class:`sb3_ext.tabular.algorithm.TabularAlgorithm`.

    Args:
        policy: "TabularPolicy".
        env: Environment, VecEnv or id.
        learning_rate: The step size; "1/N" averages all returns, those under early policies too.
        visits: "first" learns from the first visit to a pair in an episode, "every" from each.
    """

    def __init__(
        self,
        policy: str | type[TabularPolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule | str = "1/N^0.6",
        gamma: float = 0.99,
        exploration: Exploration | float | str = EpsilonGreedy(0.5, 0.01, fraction=0.5),  # noqa: B008  (it is frozen)
        *args: Any,
        visits: Literal["first", "every"] = "first",
        **kwargs: Any,
    ) -> None:
        self.visits = visits
        super().__init__(policy, env, learning_rate, gamma, exploration, *args, **kwargs)

    def _rule(self) -> dict[str, Any]:
        if self.visits not in ("first", "every"):
            raise ValueError(f"visits must be 'first' or 'every', got {self.visits!r}")
        return {"rule": MONTE_CARLO, "first_visit": self.visits == "first"}
