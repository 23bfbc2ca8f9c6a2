"""Make the record's entry of an event, with its secrets hidden (R15, R25).

An entry states the time, the person, the action, the rules, and the outcome.

It is made from the stored event and the current request. The request's question and rules never change, and its
decision exists before an event mentions it, so the same event always makes the same entry.
"""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from countersign.domain.channel_settings import Rules, filled, recorded
from countersign.domain.events import EventType, plain, without_secrets
from countersign.domain.ids import RequestId, digest_of
from countersign.domain.people import Reviewers
from countersign.domain.proof import EVIDENCE
from countersign.domain.question_salts import asker
from countersign.domain.redaction import hide
from countersign.domain.requests import Request
from countersign.store.audit_log import StreamEvent

UNRECORDED: Final = frozenset({EventType.RUN_PROGRESSED})
"""Events that are not recorded: an agent's progress, one a second while it writes."""
_OUTCOMES: Final[dict[str, str]] = {
    EventType.REQUEST_ASKED: "asked",
    EventType.VOTE_CAST: "counted",
    EventType.ATTEMPT_REFUSED: "refused",
    EventType.SETTINGS_REFUSED: "refused",
    EventType.STOP_REFUSED: "refused",
    EventType.CALL_REFUSED: "refused",
    EventType.START_REFUSED: "refused",
    EventType.ENROLMENT_REFUSED: "refused",
    EventType.CALL_PASSED: "passed",
    EventType.CARD_NOT_POSTED: "failed",
    EventType.RUN_FAILED: "failed",
}
_KEYS: Final = frozenset(
    (kind, key) for kind in (EventType.PASSKEY_ENROLLED, EventType.PASSKEY_REVOKED) for key in ("passkey", "public_key")
)
"""Details that look like secrets and are public."""
_KNOWN: Final = ("type", "at", "run", "request", "workspace", "user", "data")


def entry_of(stored: StreamEvent, request: Request | None) -> dict[str, Any] | None:
    """Make the entry of a stored event; None if the log leaves it out.

    An event of a later program version is recorded as far as it can be read: nothing stops the audit log.
    """
    event = _read(stored.raw)
    if event["type"] in UNRECORDED:
        return None
    kind = event["type"]
    details = {key: value for key, value in event["data"].items() if value is not None}
    proved = _proved(details.pop(EVIDENCE, ""))
    data = {key: value if (kind, key) in _KEYS else hidden(value) for key, value in details.items()}
    entry: dict[str, Any] = {
        "event": stored.event,
        **{key: event[key] for key in _KNOWN if key not in ("type", "data") and event[key] is not None},
        "type": kind,
        "data": data,
        "outcome": _outcome(kind, data),
    }
    if proved is not None:
        entry["proved"] = proved
    if request is None and event["request"] is not None:
        entry["what"] = {"gone": "the request is not stored any more"}
    if request is not None:
        entry["what"] = filled(_described(request, whole=kind == EventType.REQUEST_ASKED))
        entry["rules"] = recorded(_rules_at(request, event["at"]))
        if kind == EventType.REQUEST_DECIDED:
            entry["decision"] = _decision(request)
    return entry


def _proved(written: str) -> dict[str, Any] | None:
    """Read the proof of an attempt: ids, digests, keys and signatures, all unhidden."""
    try:
        proved = json.loads(written) if written else None
    except (ValueError, RecursionError):
        return None
    return proved if isinstance(proved, dict) else None


def _outcome(kind: str, data: dict[str, str]) -> str:
    if kind == EventType.ACTION_REPORTED:
        return {"yes": "failed", "unknown": "unknown"}.get(data.get("failed", ""), "done")
    decided = data.get("outcome", "") if kind == EventType.REQUEST_DECIDED else ""
    return decided or _OUTCOMES.get(kind, kind)


def about(raw: bytes) -> RequestId | None:
    """Return the request that a stored event is about."""
    return RequestId.named(_read(raw)["request"] or "")


def _read(raw: bytes) -> dict[str, Any]:
    """Read an event's fields, each a text; `data` gets whatever else it holds."""
    try:
        event = json.loads(raw)
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise ValueError("no event")
        data = event.get("data") or {}
        more = {key: value for key, value in event.items() if key not in _KNOWN}
        data = {**more, **(data if isinstance(data, dict) else {"data": data})}
        fields: dict[str, Any] = {key: _text(event.get(key)) for key in _KNOWN}
        return {**fields, "data": {key: _text(value) for key, value in data.items()}}
    except (ValueError, RecursionError):
        text = raw.decode("utf-8", "replace")
        return {**dict.fromkeys(_KNOWN), "type": "unreadable", "data": {"event": text, "digest": digest_of(text)}}


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _described(request: Request, whole: bool) -> dict[str, Any]:
    """Describe the question by the digest that the decision is bound to.

    `whole`: with all of its content, for the moment when it was asked.
    """
    question = request.question
    title, _ = hide(question.title)
    described: dict[str, Any] = {"digest": request.digest, "kind": question.kind.value, "title": title}
    if question.call is not None:
        described["tool"] = question.call.tool
    if not whole:
        return described
    content, count = hide(question.content)
    described |= {
        "agent": asker(question),
        "asked": question.asked,
        "channel": request.channel,
        "requester": request.requester,
        "deadline": plain(request.deadline),
        "content": content,
        "hidden": count,
        "offers": plain(question.offers),
    }
    if question.call is not None:
        described["arguments"] = without_secrets(question.call.arguments, question.call.hidden)
    for name in ("options", "notes"):
        if getattr(question, name):
            described[name] = plain(getattr(question, name))
    return described


def _rules_at(request: Request, at: str | None) -> Rules:
    """Restore the rules at that time, without reviewers of later escalations."""
    try:
        then = datetime.fromisoformat(at or "")
        later = [step.joined for step in request.raised if step.at > then]
    except (ValueError, TypeError):
        return request.rules
    reviewers = request.rules.reviewers
    for joined in later:
        reviewers = Reviewers(reviewers.users - joined.users, reviewers.groups - joined.groups)
    return replace(request.rules, reviewers=reviewers)


def _decision(request: Request) -> dict[str, Any]:
    decision = plain(request.decision) or {}
    if request.decision is not None and request.decision.arguments and request.question.call is not None:
        decision["arguments"] = without_secrets(request.decision.arguments, request.question.call.hidden)
    if request.decision is not None and request.decision.content:
        decision["content"] = hide(request.decision.content)[0]
    return {**decision, "votes": plain(request.votes)}


def hidden(text: str) -> str:
    """Hide the secrets in a text of an event.

    In JSON also what stands under a name like `password`.
    """
    return without_secrets(text) if text[:1] in ("{", "[") else hide(text)[0]


_AN_AGE: Final = 1e10
"""Seconds, 300 years: longer than anybody waits."""


def is_readable(entry: Any) -> bool:
    """Tell whether the fields of an entry have their types.

    Another program may have written it, and sums must not include its entries.
    """
    if not isinstance(entry, dict):
        return False
    parts = [entry.get(name) or {} for name in ("data", "what", "rules", "decision", "judged")]
    if not all(isinstance(part, dict) for part in parts):
        return False
    data, matter, rules, decision, judged = parts
    by, names = decision.get("by") or [], decision.get("names") or []
    texts = [*(entry.get(name) for name in ("at", "run", "request")), judged.get("rule")]
    texts += [matter.get("tool"), matter.get("kind"), rules.get("approvals_channel"), rules.get("risk")]
    if (
        not isinstance(by, list)
        or not isinstance(names, list)
        or not all(text is None or isinstance(text, str) for text in texts)
    ):
        return False
    if not all(
        isinstance(text, str) for text in (entry.get("type"), entry.get("outcome"), *data.values(), *by, *names)
    ):
        return False
    try:
        until = datetime.fromisoformat(data["until"]).tzinfo is not None if "until" in data else True
        return until and abs(float(data.get("waited", 0))) < _AN_AGE
    except ValueError:
        return False
