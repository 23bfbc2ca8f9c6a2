"""Values for tests of the rules: a request as it comes, and people who try to decide on it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from countersign.domain import filled_sentences, requests, runs
from countersign.domain.activity import NOT_DONE
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import Rules
from countersign.domain.decision_attempts import Attempt
from countersign.domain.errors import plain_text
from countersign.domain.executions import Grant
from countersign.domain.ids import (
    AttemptId,
    ChannelId,
    ExecutionId,
    GroupId,
    RequestId,
    RunId,
    UserId,
    WorkspaceId,
    digest_of,
)
from countersign.domain.people import Actor, Reviewers
from countersign.domain.request_endings import decided_digest
from countersign.domain.requests import Kind, Question, Request, Verb
from countersign.domain.run_calls import Begin, Report
from countersign.domain.runs import Run

NOW = datetime(2026, 3, 6, 17, 0, tzinfo=UTC)
ALICE, BOB, CAROL, DAVE = (UserId(f"U0{name}") for name in ("ALICE", "BOB", "CAROL", "DAVE"))
HERE = WorkspaceId("T0LOCAL")
OURS = frozenset({"U0BOT"})
"""By whom the app's own messages are."""
GENERAL, APPROVALS = ChannelId("C0GENERAL"), ChannelId("C0APPROVALS")
LEADS = GroupId("S0LEADS")
AS_BEFORE = tuple(
    Actor(HERE, user, frozenset({LEADS}), stands_for=(Actor(HERE, BOB), Actor(HERE, CAROL)))
    for user in (ALICE, BOB, CAROL, DAVE)
)
"""Those who may have voted, and may still."""


def rules(**changes: Any) -> Rules:
    """Bob and Carol decide within the hour, one is enough."""
    return replace(Rules(APPROVALS, Reviewers(frozenset({BOB, CAROL}))), **changes)


def question(content: str = "To: vendor@example.com\n\nTen percent off, please.", **changes: Any) -> Question:
    return replace(Question("human", 0, Kind.MESSAGE, "send this mail", content), **changes)


def call(**arguments: Any) -> Question:
    """An agent wants to refund something."""
    return Question(
        "clerk",
        0,
        Kind.TOOL,
        "Refund 20.00 EUR for order 17",
        "Refund order 17: 20 EUR",
        (Verb.APPROVE, Verb.EDIT, Verb.REJECT, Verb.RESPOND),
        Call("refund", canonical(arguments or {"order": 17, "amount": 20})),
    )


def editable() -> Question:
    """A call with every kind of argument, one of them secret, one too long."""
    text, whole = {"type": "string"}, {"type": "integer"}
    properties = {
        "order": {**whole, "minimum": 1, "description": "Number of the order"},
        "amount": {"type": "number", "maximum": 100},
        "notify": {"type": "boolean"},
        "reason": {"enum": ["broken", "late", "other"]},
        "words": {**text, "description": "What the customer reads"},
        "copies": {"type": "array", "items": text, "description": "Who else gets it"},
        "address": {"type": "object", "properties": {"city": text, "zip": {**text, "maxLength": 5}}},
        "comment": {"anyOf": [text, {"type": "null"}], "default": None},
        "password": text,
        "log": text,
    }
    arguments = {
        "order": 17, "amount": 20.5, "notify": True, "reason": "late", "words": "We are sorry.\nHere is your money.",
        "copies": ["ann@example.com", "ben@example.com"], "address": {"city": "Köln", "zip": "50667"},
        "password": "hunter2hunter2", "log": "x" * 4000,
    }  # fmt: skip
    schema = json.dumps({"type": "object", "properties": properties, "required": list(properties)[:7]})
    return replace(call(), call=Call("refund", canonical(arguments), schema, ("password",)))


def choice(*options: str, several: bool = False) -> Question:
    """An agent asks which."""
    return Question(
        "planner",
        0,
        Kind.CHOICE,
        "Which region?",
        "Where shall it run?",
        (Verb.CHOOSE, Verb.RESPOND, Verb.REJECT),
        options=options or ("eu", "us"),
        several=several,
    )


def request(now: datetime = NOW, run: str = "rtest", asked: Question | None = None, **changes: Any) -> Request:
    """Alice's run asks; `changes` are changes of the rules."""
    step = requests.ask(
        asked or question(),
        run=RunId(run),
        workspace=HERE,
        channel=GENERAL,
        requester=ALICE,
        rules=rules(**changes),
        now=now,
    )
    return step.request


def attempt(of: Request, user: str = BOB, verb: Verb = Verb.APPROVE, name: str = "", **changes: Any) -> Attempt:
    """`changes` go to the actor, but those of its words and content to the attempt. Who voted before still may."""
    own = {
        key: changes.pop(key)
        for key in (
            "words",
            "digest",
            "arguments",
            "content",
            "chosen",
            "permission",
            "break_glass",
            "opened_for",
            "typed",
            "voters",
            "proved",
        )
        if key in changes
    }
    actor = replace(Actor(HERE, UserId(user)), **changes)
    own = {"voters": AS_BEFORE, **own}
    return replace(Attempt(AttemptId(name or f"{user}-{verb}"), actor, verb, of.digest), **own)


def later(**span: float) -> datetime:
    return NOW + timedelta(**span)


def refusal_text(refusal: Refusal, of: Request) -> str:
    """Write the sentence of a refusal as plain text."""
    return plain_text(filled_sentences.sentence(refusal, of))


def execution_of(of: RequestId) -> ExecutionId:
    return ExecutionId(f"x{digest_of(of)[:24]}")


def begins(of: Request, **changes: Any) -> Begin:
    """The call of a worker that is about to do what people decided."""
    return replace(Begin(execution_of(of.id), of.id, decided_digest(of)), **changes)


def reporting(of: Request, words: str = "", *, failed: bool = False, done: str = "") -> Report:
    return Report(execution_of(of.id), words, failed, done)


def reported_in(run: Run, of: RequestId, words: str, at: datetime, *, failed: bool, done: str = "") -> Run:
    """The run after the action that people decided on began and ended."""
    if done == NOT_DONE:
        return runs.report_not_done(run, of, words, at).run
    began = replace(run, grants={**run.grants, execution_of(of): Grant(of)})
    return runs.report(began, execution_of(of), words, at, failed=failed, done=done).run
