"""Calls of agents whose effect has not been asked for yet."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

_CALL: Final[ContextVar["PendingCall | None"]] = ContextVar("call", default=None)


@dataclass(eq=False, slots=True)
class PendingCall:
    """A call of an agent, perhaps inside another one.

    `key`: the call's own key, if it has one; `times` counts the keys given out inside it. `left`: the journal has the
    parts that the team left. `left_before`: an earlier process recorded that the team left the whole call.
    """

    agent: str
    around: "PendingCall | None"
    key: str
    left_before: bool
    times: Counter[str] = field(default_factory=Counter)
    asked: bool = False
    left: bool = False


class PendingCalls:
    """The pending calls of one run; `on_end` is called when one is over."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._calls: set[PendingCall] = set()

    @contextmanager
    def calling(self, agent: str, key: str = "", *, left_before: bool = False) -> Iterator[PendingCall]:
        """Enclose an agent's call, including the look-ups before its effect."""
        call = PendingCall(agent, _CALL.get(), key, left_before)
        self._calls.add(call)
        token = _CALL.set(call)
        try:
            yield call
        finally:
            _CALL.reset(token)
            self._calls.discard(call)
            self._on_end()

    def reach_effect(self) -> None:
        """Note that the call of the current task asks for its effect."""
        if (call := _CALL.get()) is not None:
            call.asked = True

    def mark_left(self) -> None:
        """Note that a part of the current call, and of the enclosing calls, was left."""
        for call in _around():
            call.left = True

    def current(self) -> PendingCall | None:
        """Return the innermost call around the current code that has a key."""
        return next((call for call in _around() if call.key), None)

    def ends(self) -> str:
        """Return the key of the call around here that an earlier process left."""
        return next((call.key for call in _around() if call.left_before), "")

    def several(self) -> bool:
        """Tell whether several calls are pending that do not enclose each other."""
        around = {call.around for call in self._calls}
        return len(self._calls - around) > 1

    def has(self, agent: str) -> bool:
        """Tell whether the agent has a call that has not reached its effect yet."""
        return any(call.agent == agent and not call.asked for call in self._calls)


def _around() -> Iterator[PendingCall]:
    """Yield the calls around the current code, the innermost first."""
    call = _CALL.get()
    while call is not None:
        yield call
        call = call.around
