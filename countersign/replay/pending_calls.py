"""Calls that agents want to make and whose effect is not asked for yet."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

_CALL: Final[ContextVar["_PendingCall | None"]] = ContextVar("call", default=None)


@dataclass(eq=False, slots=True)
class _PendingCall:
    agent: str
    asked: bool = False


class PendingCalls:
    """The pending calls of one run; `on_end` is called when one is over."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._calls: set[_PendingCall] = set()

    @contextmanager
    def calling(self, agent: str) -> Iterator[None]:
        """Enclose what an agent wants to do, with what is looked up before its effect."""
        call = _PendingCall(agent)
        self._calls.add(call)
        token = _CALL.set(call)
        try:
            yield
        finally:
            _CALL.reset(token)
            self._calls.discard(call)
            self._on_end()

    def reach_effect(self) -> None:
        """Note that the call of the current task asks for its effect."""
        if (call := _CALL.get()) is not None:
            call.asked = True

    def has(self, agent: str) -> bool:
        """Say whether the agent wants something whose effect it has not come to yet."""
        return any(call.agent == agent and not call.asked for call in self._calls)
