"""Infos of a batch of environments that are made when somebody first looks at them.

SB3 wants a dictionary for each environment and step. Making a thousand of them takes several times as long as stepping
a thousand grid worlds, so ``StepInfos`` puts it off until somebody looks. ``VecMonitor`` and SB3's own algorithms look
at every one, and pay for it then; a loop that needs only observations, rewards and dones does not.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

Infos = list[dict[str, Any]]


class StepInfos(Sequence[dict[str, Any]]):
    """What one step says, a dictionary for each environment: a list that makes itself at the first look.

    From then on it holds the very same dictionaries, so what is written into them stays. Like the tuple that SB3's
    ``SubprocVecEnv`` returns, it has no place for others. Copied or pickled it is a plain list.

    Args:
        length: Number of environments.
        make: Makes the dictionaries; called at most once, and at any later time: it must not read what later steps
            change.

    Example:
        >>> infos = StepInfos(2, lambda: [{}, {"is_success": True}])
        >>> infos[0]["seen"] = True
        >>> infos
        [{'seen': True}, {'is_success': True}]
    """

    __slots__ = ("_length", "_made", "_make")

    def __init__(self, length: int, make: Callable[[], Infos]) -> None:
        self._length = length
        self._make: Callable[[], Infos] | None = make
        self._made: Infos = []

    def _all(self) -> Infos:
        if self._make is not None:
            self._made, self._make = self._make(), None
        return self._made

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Infos: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | Infos:
        return self._all()[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StepInfos):
            return self._all() == other._all()
        return self._all() == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # like a list's

    def __repr__(self) -> str:
        return repr(self._all())

    def __reduce__(self) -> tuple[type[Infos], tuple[Infos]]:
        return list, (self._all(),)
