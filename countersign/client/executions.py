"""Executions of approved actions, without I/O: only the first one acts.

If an execution began without a report, only people can find out whether it acted, so they are asked.
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from countersign.client import exchange
from countersign.client.exchange import (
    AlreadyRan,
    Decision,
    Exchange,
    NotApproved,
    Pause,
    Reported,
    Send,
    ServiceRefused,
)

DONE: Final = "It was done"
AGAIN: Final = "It wasn't done: run it now"
UNKNOWN: Final = "Not sure: leave it"
_SAY_DONE: Final = "People say that it was done."
_KNOWN: Final = "the program that began it has since said what came of it"
_TOLD: Final = (
    "A program began this and didn't report what came of it: it was stopped, or is still at work. Check whether it was "
    "done before you choose. If it was done, you can answer with what came of it."
)
LOOKS: Final = 3
"""Checks, a second apart, before people are asked: if two programs ask at once, the first is usually still at work."""
_LOOK_EVERY: Final = 5
"""Seconds between checks while people are asked, because the first program may still report."""


def begin(decision: Decision, body: Mapping[str, Any], *, key: str | None, idempotent: bool) -> Exchange[str]:
    """Begin the approved action; return the name of this execution.

    `body` is the decided question. Without a `key`, no other program can find it. An `idempotent` action may happen
    twice. In both cases the name is "", and others may act too. NotApproved if the action may not be done, or if other
    arguments were approved. AlreadyRan if it was done before, or may have been: people's answer is then the report.
    """
    if not decision.approved:
        raise NotApproved(decision)
    _check_same(decision, body)
    if (key is None or idempotent) and decision.reported is None:
        return ""
    execution, replaces = uuid.uuid4().hex, ""
    while True:
        if decision.reported is not None:
            raise AlreadyRan(decision)
        request = yield from _begun(decision, execution, replaces)
        decision, begun = replace(decision, reported=exchange.reported_in(request)), request["begun_by"]
        if begun == execution:
            return execution
        if begun is not None and decision.reported is None:
            yield from _ask_whether_done(decision, body, begun)
        replaces = begun or ""


def _check_same(decision: Decision, body: Mapping[str, Any]) -> None:
    """Check that the approved arguments are those of the call, unless people changed them (R37)."""
    from countersign.domain.json_arguments import DIFFERS, is_approved  # only needed by programs that act

    call = body.get("call")
    if call is not None and decision.outcome == "approved" and not is_approved(call["arguments"], decision.arguments):
        raise NotApproved(replace(decision, outcome="withdrawn", arguments=None, text=DIFFERS))


def begin_once(decision: Decision) -> Exchange[bool]:
    """Begin the approved action; False if it was begun or reported before.

    NotApproved if the action may not be done.
    """
    if decision.reported is not None:
        return False
    execution = uuid.uuid4().hex
    return bool((yield from _begun(decision, execution, ""))["begun_by"] == execution)


def did_nothing(decision: Decision, execution: str) -> Exchange[None]:
    """Say that this execution did nothing, so that another one may begin."""
    if execution:
        yield from _begun(decision, "", execution)


def _begun(decision: Decision, execution: str, replaces: str) -> Exchange[Mapping[str, Any]]:
    begin = {"execution": execution, "replaces": replaces}
    try:
        return (yield from exchange.sent(Send("POST", f"/v1/requests/{decision.request}/begin", begin)))
    except ServiceRefused as refused:
        if refused.kind != "conflict":
            raise
        raise NotApproved(replace(decision, outcome="withdrawn", arguments=None, text=str(refused))) from None


def _ask_whether_done(decision: Decision, body: Mapping[str, Any], begun: str) -> Exchange[None]:
    """Ask people about the outcome of an execution.

    AlreadyRan, unless people want the action done now.
    """
    for _ in range(LOOKS):
        yield Pause(1.0, "Another program began this.")
        if (yield from _is_over(decision, begun)):
            return
    asked = yield from exchange.ask(_question(decision, body), f"{decision.request}:{begun}")
    while asked["status"] == "pending":
        asked = yield from exchange.sent(Send("GET", f"/v1/requests/{asked['id']}?wait={_LOOK_EVERY}"))
        if asked["status"] == "pending" and (yield from _is_over(decision, begun)):
            yield from exchange.withdraw(asked["id"], _KNOWN)
            return
    answer = exchange.decision_of(asked)
    if answer.chosen == (AGAIN,):
        return
    words = _SAY_DONE if answer.chosen == (DONE,) else answer.words if answer.outcome == "answered" else ""
    if not words or answer.chosen == (UNKNOWN,):
        raise AlreadyRan(decision)
    yield from exchange.try_to_report(decision.request, succeeded=True, words=words)
    raise AlreadyRan(replace(decision, reported=Reported(True, words)))


def _is_over(decision: Decision, begun: str) -> Exchange[bool]:
    """Tell whether that execution reported meanwhile, or was replaced."""
    request = yield from exchange.sent(Send("GET", f"/v1/requests/{decision.request}"))
    return request["outcome"] is not None or request["begun_by"] != begun


def _question(decision: Decision, body: Mapping[str, Any]) -> dict[str, Any]:
    from countersign.domain.calls import in_words, labelled  # only needed after an unreported execution
    from countersign.domain.executions import doubt_title
    from countersign.domain.redaction import hide_in

    if (call := body.get("call")) is None:
        name, shown = body["title"], str(body.get("message", ""))
    else:
        ran = decision.arguments if decision.outcome == "edited" and decision.arguments else call["arguments"]
        name, shown = in_words(call["tool"]), labelled(hide_in(ran, call.get("hidden", ()))[0])
    asked = {name: body[name] for name in ("channel", "agent", "requester") if name in body}
    return {**asked, "title": doubt_title(name), "message": f"{_TOLD}\n\n{shown}", "options": [DONE, AGAIN, UNKNOWN]}
