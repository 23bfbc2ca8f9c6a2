"""The values at the gate: a wanted action, its view, a permit or a denial."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from countersign.autogen.tools.policies import Ask
from countersign.domain.calls import LONGEST_ARGUMENTS, canonical, is_canonical
from countersign.domain.errors import ActionFailed
from countersign.domain.event_data import told_apart
from countersign.domain.ids import Digest, digest_of
from countersign.domain.redaction import hide_in
from countersign.domain.requests import Kind, Request, Status, digest
from countersign.replay.entries import Judged

Renderer = Callable[[dict[str, Any]], str]
"""Draws the arguments, without their secrets, as people read them best. It is quick, and the same for the same."""


class Once(Protocol):
    """Does `act` at most once under `key` and returns what it returned; `act` is told the key of its attempt."""

    def __call__(
        self, name: str, shown: str, key: str, act: Callable[[str], Awaitable[str]], *, idempotent: bool
    ) -> Awaitable[str]: ...


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
    """The reason not to do it, as the model reads it; `Gate.outcomes` has it as a value."""

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


def shown(arguments: str, hide: tuple[str, ...], show: Renderer | None) -> tuple[str, str]:
    """What people read of canonical arguments, and what went wrong with it. Only what is not secret is drawn."""
    visible: dict[str, Any] = hide_in(told_apart(json.loads(arguments)), hide)[0]
    plain = json.dumps(visible, indent=2, sort_keys=True, ensure_ascii=False)
    if show is None:
        return plain, ""
    try:
        drawn = show(visible)
    except (Exception, SystemExit) as error:  # the latter would end the worker, and with it all of its runs
        return plain, f"The tool's own view failed ({type(error).__name__}), so its arguments are shown as they are."
    if not isinstance(drawn, str) or not drawn.strip():
        return plain, "The tool's own view shows nothing, so its arguments are shown as they are."
    return drawn, ""


def written(arguments: Mapping[str, Any]) -> str:
    """The arguments as canonical JSON; ValueError, with a sentence for the model, if no person could judge them."""
    try:
        text = canonical(arguments)
        text.encode()
    except (ValueError, RecursionError) as wrong:
        reason = str(wrong).split("\n")[0][:200]
        raise ValueError(
            f"The call was not made, and nobody was asked: its arguments cannot be shown to people ({reason}). Use "
            "only texts, numbers, lists and objects."
        ) from None
    if len(text) > LONGEST_ARGUMENTS:
        raise ValueError(
            f"The call was not made, and nobody was asked: its arguments have {len(text):,} characters, at most "
            f"{LONGEST_ARGUMENTS:,} can be judged. Make them shorter, or put the long part where the tool can read it."
        )
    if not is_canonical(text):
        raise ValueError("The call was not made, and nobody was asked: its arguments name one thing twice.")
    return text
