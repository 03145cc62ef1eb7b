"""Dyna-Q: learn from the world, learn a model of it, and learn from the model what the world has not had time to teach.

    Q(S, A) <- Q(S, A) + alpha [R + gamma max_a Q(S', a) - Q(S, A)]                        from the step
    Q(s, a) <- Q(s, a) + alpha [sum p(s', r) (r + gamma max_a' Q(s', a')) - Q(s, a)]       n times, from the model

Sutton & Barto (2nd ed.), sections 8.2 to 8.5. Two options of the book: Dyna-Q+ adds kappa sqrt(tau) to what the model
promises of a pair that was last tried tau steps ago; prioritised sweeping (Moore & Atkeson 1993) updates where the
error is largest, and then what leads there, instead of at random.

Deviates from the book, whose worlds are without chance: the model holds how often each outcome was seen, and planning
makes expected updates (section 8.5). Where there is no chance that is the book's algorithm. ``model="latest"`` holds
the latest outcome alone, as in the book, which follows a world that changes at once.

Read next: ``planning.py``, for when the model is known.
"""

from typing import Any, Literal

from stable_baselines3.common.type_aliases import GymEnv

from sb3_ext.tabular.agent import DYNA_Q
from sb3_ext.tabular.algorithm import TabularAlgorithm
from sb3_ext.tabular.parameters import whole_number
from sb3_ext.tabular.policy import TabularPolicy


class DynaQ(TabularAlgorithm):
    """Q-learning that also plans with a model it learns.

    Parameters not listed are those of :class:`sb3_ext.tabular.algorithm.TabularAlgorithm`.

    Args:
        policy: "TabularPolicy".
        env: Environment, VecEnv or id.
        planning_steps: Updates from the model after each step, at least 0.
        model: "frequencies" (how often each outcome was seen) or "latest" (the latest alone).
        kappa: Weight of Dyna-Q+'s bonus; 0 is Dyna-Q.
        prioritized: Plans where the error is largest, and learns through the model alone.
        threshold: With ``prioritized``, errors up to this are left alone.
    """

    def __init__(
        self,
        policy: str | type[TabularPolicy],
        env: GymEnv | str | None,
        *args: Any,
        planning_steps: int = 5,
        model: Literal["frequencies", "latest"] = "frequencies",
        kappa: float = 0.0,
        prioritized: bool = False,
        threshold: float = 1e-4,
        **kwargs: Any,
    ) -> None:
        self.planning_steps = planning_steps
        self.model = model
        self.kappa = kappa
        self.prioritized = prioritized
        self.threshold = threshold
        super().__init__(policy, env, *args, **kwargs)

    def _rule(self) -> dict[str, Any]:
        if self.model not in ("frequencies", "latest"):
            raise ValueError(f"model must be 'frequencies' or 'latest', got {self.model!r}")
        for name in ("kappa", "threshold"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0 and finite, got {getattr(self, name)}")
        return {
            "rule": DYNA_Q,
            "planning_steps": whole_number("planning_steps", self.planning_steps, at_least=0),
            "latest": self.model == "latest",
            "kappa": float(self.kappa),
            "threshold": float(self.threshold) if self.prioritized else -1.0,
        }
