"""A record of any length: entries as the product makes them, with other ids, times and people."""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from bot.audit.entries import entry_of
from countersign.domain import decision_attempts, request_endings
from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import START, Head, Kept, seal
from countersign.domain.ids import RunId
from countersign.domain.requests import Request, Verb
from countersign.store.audit_log import StreamEvent
from countersign.store.codec import compress, ms
from countersign.store.record_codecs import EVENTS
from countersign.store.store import Store
from tests.sample_requests import BOB, CAROL, GENERAL, HERE, NOW, attempt, call, request

PEOPLE: Final = (BOB, CAROL, "U0ERIN", "U0FRED", "U0GRACE")
CHANNELS: Final = ("C0APPROVALS", "C0FINANCE", "C0DEPLOYS")
TOOLS: Final = ("refund", "send_email", "deploy", "issue_credit")
SPAN: Final = timedelta(days=80)
_SHARES: Final = {
    "asked": 40, "approved": 27, "rejected": 3, "answered": 2, "expired": 2, "allowed": 4, "escalated": 1, "passed": 20,
    "failed": 1,
}  # fmt: skip
_BATCH: Final = 500


def samples() -> dict[str, dict[str, Any]]:
    """One entry of each kind, by the code that makes them all."""
    asked = request(asked=call())
    decided = {
        name: decision_attempts.decide(asked, attempt(asked, verb=verb, words=words), NOW + timedelta(minutes=4))
        for name, verb, words in (
            ("approved", Verb.APPROVE, ""),
            ("rejected", Verb.REJECT, "Too much."),
            ("answered", Verb.RESPOND, "Half of it."),
        )
    }
    ended = request_endings.expire(asked, NOW + timedelta(hours=1))
    told = {name: (step.request, step.events[-1]) for name, step in (*decided.items(), ("expired", ended))}
    judged = {"tool": "refund", "agent": "clerk", "team": "support", "channel": GENERAL, "clause": "small refunds"}
    events: dict[str, tuple[Request | None, Event]] = {
        "asked": (asked, Event(EventType.REQUEST_ASKED, NOW, asked.run, asked.id, HERE, data={"team": "support"})),
        **told,
        "escalated": (asked, Event(EventType.REQUEST_ESCALATED, NOW, asked.run, asked.id, HERE)),
        "passed": (None, Event(EventType.CALL_PASSED, NOW, RunId("rtest"), data={**judged, "arguments": "{}"})),
        "failed": (None, Event(EventType.RUN_FAILED, NOW, RunId("rtest"), data={"result": "The model is away."})),
    }
    made = {name: entry_of(StreamEvent("1-0", EVENTS.dump(e)), of) or {} for name, (of, e) in events.items()}
    allowed = made["approved"]
    made["allowed"] = {**allowed, "data": {**allowed["data"], "how": "permission", "permission": "p0123456789"}}
    return made


def entries(count: int, until: datetime, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Yield that many entries in the order of time, the same ones for the same seed."""
    draw, made = random.Random(seed), samples()
    kinds = draw.choices(tuple(_SHARES), tuple(_SHARES.values()), k=count)
    for number, kind in enumerate(kinds):
        at = until - SPAN * (1 - number / count)
        entry = {**made[kind], "at": at.isoformat(), "event": f"{ms(at)}-{number}"}
        if "rules" in entry:
            tool = draw.choice(TOOLS)
            entry["request"] = f"q{number:015d}"
            entry["rules"] = {**entry["rules"], "approvals_channel": draw.choices(CHANNELS, (6, 3, 1))[0]}
            entry["what"] = {**entry["what"], "tool": tool}
        if "decision" in entry:
            by = draw.choices(PEOPLE, (9, 5, 3, 2, 1)) if kind in ("approved", "rejected", "answered") else []
            entry["decision"] = {**entry["decision"], "by": by}
            entry["data"] = {**entry["data"], "waited": f"{draw.lognormvariate(5.2, 1.3):.3f}"}
        yield entry


async def fill(store: Store, made: Iterator[dict[str, Any]] | Sequence[dict[str, Any]]) -> None:
    """Write the entries as a chained record."""
    head, batch, event = START, list[tuple[int, Kept]](), ""
    for fields in made:
        kept = seal(head, fields)
        head, event = Head(head.n + 1, kept.hash), fields["event"]
        batch.append((head.n, kept))
        if len(batch) == _BATCH:
            await _write(store, batch)
            batch = []
    await _write(store, batch)
    await store.client.hset(store.keys.audit_head, mapping={"n": head.n, "hash": head.hash, "event": event})


async def _write(store: Store, batch: list[tuple[int, Kept]]) -> None:
    pipeline = store.client.pipeline(transaction=False)
    for n, kept in batch:
        fields = {"entry": compress(kept.entry.encode())}
        pipeline.xadd(store.keys.audit, fields, id=f"{n}-0")
    await pipeline.execute()
