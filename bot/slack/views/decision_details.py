"""Draw details of decisions: choices, changes, reasons, and permissions."""

import json
from typing import Final

from countersign.domain.calls import as_declared, in_words, labelled
from countersign.domain.diffs import changed_fields, changed_lines, changed_text
from countersign.domain.events import escape_marks
from countersign.domain.redaction import hide_in
from countersign.domain.requests import Decision, Kind, Request, Scope
from countersign.domain.slash_commands import NAMES
from countersign.domain.standing_permissions import Permission
from countersign.text.safe_text import Room, quoted, shorten, typed, visible

from ...forms.arguments import label_of
from ...forms.values import in_words as value_in_words
from .block_kit import TOOL, WORDS, Block, data, words
from .slack_markup import escape, exactly, mention, moment, when

_CHANGES: Final = Room(1000, 1500, 20)
_CHOSEN: Final = Room(800, 1200, 20)


def details(request: Request, decision: Decision) -> list[Block]:
    """Draw choice, changes and reasons; counted where they do not fit."""
    chosen = _part("\n".join(quoted(option, 300) for option in decision.chosen), _CHOSEN, "the agents have them all")
    changes = _part(changes_of(request), _CHANGES, "*Details* shows them all")
    if changes and request.question.kind is not Kind.FORM:
        changes = [words("*Changed by the reviewer*"), *changes]
    return (
        chosen
        + changes
        + standing_of(request, decision)
        + _part(visible(typed(decision.words)).strip(), WORDS, "the agents have them all")
    )


def allows(scope: Scope, kind: Kind, tool: str) -> str:
    """Write what a permission allows, in mrkdwn."""
    if kind is Kind.CODE:
        return "exactly this code"
    name = f"*{escape(quoted(in_words(tool), TOOL))}* (`{escape(exactly(tool))}`)"
    if scope is Scope.CALL:
        return f"exactly this call of {name}"
    return f"{name} with the same values" if scope is Scope.ARGUMENTS else f"{name} with any values"


def standing_of(request: Request, decision: Decision) -> list[Block]:
    """Draw the permission that was given with the decision, if any."""
    standing, call = decision.standing, request.question.call
    if standing is None or call is None:
        return []
    allowed = allows(standing.scope, request.question.kind, call.tool)
    run = " or until this run ends" if standing.this_run else ""
    ends = f"until {moment(standing.until, decision.at)}{run} (`{standing.permission}`)"
    return [words(f":repeat: Not asked again: {allowed}, {ends}. To revoke it: `{NAMES.approvals} permissions`.")]


def changes_of(request: Request) -> str:
    """List the changed or filled-in fields; "" without an edit.

    Secrets are hidden.
    """
    if (text := changed_text(request)) is not None:
        return "\n".join(visible(typed(line, hidden=True)) for line in changed_lines(*text))
    call, decision = request.question.call, request.decision
    if call is None or decision is None or not decision.arguments:
        return ""
    if request.question.kind is Kind.FORM:
        filled, _ = hide_in(escape_marks(json.loads(decision.arguments)), call.hidden)
        return visible(typed(labelled(as_declared(filled, call.schema)), hidden=True))
    fields = changed_fields(json.loads(call.arguments), json.loads(decision.arguments), call.hidden)
    return "\n".join(f"{_place(path)}: {' → '.join(_values(before, after))}" for path, before, after in fields)


def _place(path: str) -> str:
    """Name a place of a call as its form does: "Lines 2: Item" of `lines.1.item`."""
    name = ""
    for step in path.split("."):
        entry = step.isdecimal() and step.isascii()
        name += f" {int(step) + 1}" if entry else f"{name and ': '}{label_of(step, None)}"
    return visible(typed(name.strip()))


def _values(*texts: str) -> list[str]:
    """Write JSON values for people; unchanged where the result would be ambiguous."""
    words = [value_in_words(json.loads(text)) if text else "(nothing)" for text in texts]
    if len(set(words)) == 1 or any("→" in word or len(word.splitlines()) > 1 for word in words):
        words = [text or "(nothing)" for text in texts]
    return [visible(typed(word, hidden=True)) for word in words]


def _part(text: str, room: Room, rest: str) -> list[Block]:
    beginning, hidden, end = shorten(text, room)
    if not beginning:
        return []
    if not hidden:
        return [data([beginning])]
    return [data([beginning]), words(f"_{hidden:,} characters in between are not shown here; {rest}._"), data([end])]


def permission_line(one: Permission, place: str = "") -> str:
    """Write what a permission allows, its giver, end and uses.

    `place`: its channel is named too.
    """
    used = "not used yet" if not one.used else f"used {'once' if one.used == 1 else f'{one.used:,} times'}"
    run = " in one run" if one.run else ""
    return (
        f"*{escape(quoted(one.team, 40))}* can run {allows(one.scope, one.kind, one.tool)}{place}{run}\n"
        f"Given by {mention(one.by)} · ends {when(one.until, one.at)} · {used}"
    )
