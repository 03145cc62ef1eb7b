"""Tabular worlds as plain arrays, and their exact solution."""

from typing import TYPE_CHECKING, Any

from sb3_ext.tabular.mdp import TabularMDP

if TYPE_CHECKING:
    from sb3_ext.tabular.planning import policy_evaluation, value_iteration

__all__ = ["TabularMDP", "policy_evaluation", "value_iteration"]


def __getattr__(name: str) -> Any:  # environments build on the data alone: planning is loaded when it is first used
    if name not in __all__:
        raise AttributeError(f"module 'sb3_ext.tabular' has no attribute {name!r}; it has {', '.join(__all__)}")
    from sb3_ext.tabular import planning

    return getattr(planning, name)
