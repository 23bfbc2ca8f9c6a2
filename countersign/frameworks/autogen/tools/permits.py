"""The values at the gate: an action, its view and title, a permit or a denial."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autogen_core.tools import BaseTool

from countersign.domain import calls
from countersign.domain.calls import canonical, labelled, title_of
from countersign.domain.errors import ActionFailed, WrongTeam
from countersign.domain.events import escape_marks
from countersign.domain.ids import Digest, digest_of
from countersign.domain.question_salts import unchanged
from countersign.domain.redaction import hide_in
from countersign.domain.requests import Kind, Request, Status
from countersign.frameworks.autogen.tools.team_policy import Ask

Renderer = Callable[[dict[str, Any]], str]
"""Draws the arguments, without their secrets, as people read them best. It is quick, and the same for the same."""


Title = str | Renderer
"""What a call would do, as a question to people: a format (`Refund {euros:.2f} EUR`), or what draws it."""


@dataclass(frozen=True, slots=True)
class ProposedAction:
    """One action, before anybody judged it.

    `arguments` are canonical JSON, as is `schema` (empty: not to be edited). `tools` are the names that the policy may
    name. `hide` are paths of arguments besides those that look secret. `normalize` returns what a reviewer made of the
    arguments as the tool takes it; ValueError if it does not. `title` is the team's own, or else `description` may
    make one.
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
    normalize: Callable[[str], str] = str
    title: Title = ""
    description: str = ""
    batch: str = ""
    ordered: bool = False
    """Whether the tool's own code gives the order of the arguments, so that it is the same in a rebuilt run."""

    @property
    def visible(self) -> dict[str, Any]:
        """The arguments without their secrets, in the order that the tool declares."""
        seen: dict[str, Any] = hide_in(escape_marks(json.loads(self.arguments)), self.hide)[0]
        return calls.in_order(seen, json.loads(self.schema)) if self.ordered else seen

    @property
    def same(self) -> Digest:
        """The value that is equal for actions that bring about the same.

        The agent and the way by which it asks make no difference.
        """
        return digest_of(self.kind, self.tool, self.arguments)


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to do one thing once.

    People decided the `request`; None if a policy lets it pass.
    """

    action: ProposedAction
    key: str
    arguments: str
    request: Request | None = None

    def check(self, tool: str, arguments: Mapping[str, Any]) -> None:
        """Raise ActionFailed unless this is byte for byte what was judged (R13).

        It is called right before the action.
        """
        this = (tool, canonical(arguments))
        allowed = this if self.request is None else _allowed(self.request, self.action)
        if not this == (self.action.tool, self.arguments) == allowed:
            raise ActionFailed("What was approved is not what would run, so nothing was done.")


@dataclass(frozen=True, slots=True)
class Denial:
    """The reason not to do it, for the model; `Gate.outcomes` has it as a value."""

    text: str


def _allowed(request: Request, action: ProposedAction) -> tuple[str, str] | None:
    """Tool and arguments that a decision lets run; None if none."""
    call, decision = request.question.call, request.decision
    if call is None or decision is None or not unchanged(request):
        return None
    match request.status:
        case Status.APPROVED:
            return (call.tool, call.arguments)
        case Status.EDITED:
            return (call.tool, action.normalize(decision.arguments))
    return None


def shown(action: ProposedAction) -> tuple[str, str]:
    """Draw the arguments for people, without secrets; return any problem, too."""
    visible, show = action.visible, action.show
    plain = labelled(visible)
    if show is None:
        return plain, ""
    try:
        drawn = show(visible)
    except (Exception, SystemExit) as error:  # the latter would end the worker, and with it all of its runs
        return plain, f"The tool's own view failed ({type(error).__name__}), so its arguments are shown as they are."
    if not isinstance(drawn, str) or not drawn.strip():
        return plain, "The tool's own view shows nothing, so its arguments are shown as they are."
    return drawn, ""


def check_titles(
    titles: Mapping[str, Title], tools: Iterable[BaseTool[Any, Any]], hide: Mapping[str, Collection[str]]
) -> None:
    """Check titles when they are given.

    WrongTeam if one does not fit its tool's arguments.
    """
    for tool in tools:
        title, schema = titles.get(tool.name, ""), tool.schema.get("parameters", {})
        if isinstance(title, str) and title and (why := calls.why_not_title(title, schema, hide.get(tool.name, ()))):
            raise WrongTeam(
                f"The title “{title[:100]}” of the tool “{tool.name}” does not fit it: {why} Nothing was done; correct "
                "the title."
            )


def check_batches(
    batches: Mapping[str, str], tools: Iterable[BaseTool[Any, Any]], hide: Mapping[str, Collection[str]]
) -> None:
    """Check titles of several calls when they are given.

    WrongTeam if one does not fit its tool's arguments.
    """
    for tool in tools:
        title, schema = batches.get(tool.name, ""), tool.schema.get("parameters", {})
        if title and (why := calls.why_not_batch(title, schema, hide.get(tool.name, ()))):
            raise WrongTeam(
                f"The title “{title[:100]}” of several calls of “{tool.name}” does not fit it: {why} Nothing was done; "
                "correct the title."
            )


def title_for(action: ProposedAction) -> str:
    """Write what the action would do, without secrets.

    Where the title of the team cannot be made, the tool's name makes one.
    """
    if action.kind is Kind.CODE:
        return "Run this code"
    visible = action.visible
    try:
        title = calls.filled_title(action.title, visible) if isinstance(action.title, str) else action.title(visible)
    except (Exception, SystemExit):  # the latter would end the worker, and with it all of its runs
        title = ""
    if isinstance(title, str) and title.strip() and len(title) <= calls.LONGEST_TITLE:
        return " ".join(title.split())
    return title_of(action.tool, visible, action.description)
