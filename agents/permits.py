"""What comes to the gate and what leaves it: something wanted, a permit for exactly one action, or a denial."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.entries import Judged
from agents.policies import Ask
from agents.showing import Renderer
from bot.core.calls import canonical
from bot.core.errors import ActionFailed
from bot.core.ids import Digest, digest_of
from bot.core.requests import Kind, Request, Status, digest


@dataclass(frozen=True, slots=True)
class Wanted:
    """One action, before anybody judged it. `arguments` are canonical JSON, `schema` too (empty: not to be edited).

    `tools` are the names that the policy may name; `hide` are paths of arguments besides those that look secret.
    `take` gives what a reviewer made of the arguments as the tool takes it; ValueError if it does not.
    """

    agent: str
    tool: str
    arguments: str
    ask: Ask
    tools: tuple[str, ...]
    kind: Kind = Kind.TOOL
    schema: str = ""
    show: Renderer | None = None
    hide: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    call: str = ""
    take: Callable[[str], str] = str

    @property
    def same(self) -> Digest:
        """Equal for actions that bring about the same: whichever agent asks, and by whatever way."""
        return digest_of(self.kind, self.tool, self.arguments)


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to do one thing once: people decided the `request`, or a policy `judged` it to pass."""

    wanted: Wanted
    key: str
    arguments: str
    request: Request | None = None
    judged: Judged | None = None

    def check(self, tool: str, arguments: Mapping[str, Any]) -> None:
        """At the door, right before it is done: ActionFailed unless this is byte for byte what was judged (R13)."""
        this = (tool, canonical(arguments))
        allowed = this if self.request is None else _allowed(self.request, self.wanted)
        if not this == (self.wanted.tool, self.arguments) == allowed:
            raise ActionFailed("What was approved is not what would run, so nothing was done.")


@dataclass(frozen=True, slots=True)
class Denial:
    """Why it is not done, as the model reads it; `Gate.outcomes` has it as a value."""

    text: str


def _allowed(request: Request, wanted: Wanted) -> tuple[str, str] | None:
    """Tool and arguments that a decision lets run; None if none."""
    call, decision = request.question.call, request.decision
    if call is None or decision is None or digest(request.question) != request.digest:
        return None
    match request.status:
        case Status.APPROVED:
            return (call.tool, call.arguments)
        case Status.EDITED:
            return (call.tool, wanted.take(decision.arguments))
    return None
