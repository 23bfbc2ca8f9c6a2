"""What the server itself refuses to web and to a worker: the users of countersign/store/users.acl."""

import re
from datetime import timedelta

import pytest
from tests.store.two_users import Sides, denied, start

from bot.audit.auditor import Auditor, Retention
from countersign import usecases
from countersign.domain.errors import StoreUnavailable
from countersign.domain.events import Event, EventType
from countersign.domain.people import Actor
from countersign.domain.requests import Status
from countersign.domain.runs import Verb
from countersign.runs.journal_storage import RedisJournal
from countersign.store import keys
from countersign.store.audit_log import Ledger
from countersign.store.outbox import Outbox
from countersign.usecases.ports import Change, Lease
from tests.redis_server import name_of
from tests.sample_requests import ALICE, BOB, CAROL, HERE, NOW, attempt, question, rules
from tests.store_fixtures import NoQueue, new_run

_ROW = re.compile(r"^\| `\{ns\}:(\S+?)` \| ([a-z ]+) \|.*\| (web|worker|both) \|$", re.M)
_WRITING = {
    "string": ("SET", "{}", "x"),
    "hash": ("HSET", "{}", "field", "x"),
    "set": ("SADD", "{}", "x"),
    "sorted set": ("ZADD", "{}", "1", "x"),
    "list": ("RPUSH", "{}", "x"),
    "stream": ("XADD", "{}", "*", "event", "x"),
    "channel": ("PUBLISH", "{}", "x"),
}


async def test_a_key_is_written_by_whom_its_table_names_and_by_nobody_else(
    sides: Sides, subtests: pytest.Subtests
) -> None:
    """Least privilege: a new key without its place in users.acl fails here."""
    for key, kind, writers in _ROW.findall(keys.__doc__ or ""):
        with subtests.test(key=key):
            name = sides.web.keys.prefix + re.sub("<[a-z]+>", "r1" if key == "run:<id>" else "x1", key)
            for user in ("web", "worker"):
                own = name_of(user, sides.namespace)
                answer = await sides.admin.execute_command("ACL DRYRUN", own, *(w.format(name) for w in _WRITING[kind]))  # type: ignore[no-untyped-call]
                assert (answer == b"OK") == (writers in (user, "both")), f"{user}: {answer!r}"


def test_the_table_says_of_every_key_who_writes_it() -> None:
    assert len(_ROW.findall(keys.__doc__ or "")) == len(re.findall(r"^\| `\{ns\}:", keys.__doc__ or "", re.M))


FORGERIES = {
    "a decision": ("SET", "{}request:q1", "1 1\n{{}}"),
    "a decision, from a script": ("EVAL", "return redis.call('SET', ARGV[1], 'x')", 1, "{}pending", "{}request:q1"),
    "a decision, by renaming": ("RENAME", "{}asked:q1", "{}request:q1"),
    "a decision, by copying": ("COPY", "{}asked:q1", "{}request:q1"),
    "a decision, by restoring": ("RESTORE", "{}request:q1", 0, "x"),
    "a decision away": ("DEL", "{}request:q1"),
    "a wake-up with a decision": ("PUBLISH", "{}wake", "request q1\n1 1\n{{}}"),
    "a wake-up with a decision, sharded": ("SPUBLISH", "{}wake", "request q1\n1 1\n{{}}"),
    "a channel's settings": ("SET", "{}settings:C0GENERAL", "x"),
    "the default rules": ("SET", "{}defaults", "x"),
    "the policy": ("SET", "{}rulebook", "x"),
    "a permission": ("SET", "{}permission:p1", "x"),
    "a stand-in": ("SET", "{}absences", "x"),
    "an event": ("XADD", "{}events", "*", "event", "x"),
    "an event away": ("XTRIM", "{}events", "MAXLEN", 0),
    "an audit entry": ("RPUSH", "{}audit", "x"),
    "an entry of a chain": ("XADD", "{}audit:chain", "*", "entry", "x"),
    "a report away": ("LTRIM", "{}reports", 1, 0),
    "a report away, with one of its own": ("XADD", "{}reports", "MAXLEN", 0, "*", "event", "x"),
    "a report before others": ("LPUSH", "{}reports", "x"),
    "a recorded attempt": ("SET", "{}once:a1", "1"),
    "what Slack shows": ("SET", "{}message:card/q1", "x"),
    "the projector's lease": ("HSET", "{}projector", "fence", 1),
    "strikes of the job engine": ("XADD", "{}jobs:strikes", "*", "value", "x"),
    "a user": ("ACL", "SETUSER", "worker", "~*"),
    "the server's configuration": ("CONFIG", "SET", "appendonly", "no"),
    "everything away": ("FLUSHALL",),
    "scripts away": ("SCRIPT", "FLUSH"),
    "a function": ("FUNCTION", "LOAD", "#!lua name=x\n"),
}


async def test_a_worker_that_forges_is_refused_by_the_server(sides: Sides, subtests: pytest.Subtests) -> None:
    """A worker process cannot write a decision, a permission or an audit entry."""
    for what, command in FORGERIES.items():
        with subtests.test(what=what):
            await denied(sides.agents, *(w.format(sides.web.keys.prefix) if isinstance(w, str) else w for w in command))


async def test_each_side_does_its_part_of_a_request_as_its_own_user(sides: Sides) -> None:
    """Asked by a worker, voted on in web, taken back by the worker; asked again, decided, delivered; all of it ends."""
    await sides.web.set_defaults(rules(quorum=2))
    lease = await _running(sides)
    asked = await usecases.ask(sides.agents, lease, question())
    await usecases.decide(sides.web, NoQueue(), asked.id, attempt(asked))
    instead = await usecases.ask(sides.agents, lease, question("To: somebody else"))
    withdrawn = await sides.web.request(asked.id)
    assert withdrawn is not None
    assert withdrawn.value.status is Status.WITHDRAWN
    assert [vote.user for vote in withdrawn.value.votes] == [BOB]
    for user in (BOB, CAROL):
        await usecases.decide(sides.web, NoQueue(), instead.id, attempt(instead, user))
    decided = await sides.agents.request(instead.id)
    assert decided is not None
    assert decided.value.status is Status.APPROVED
    await usecases.note_delivery(sides.agents, lease, decided.value)
    assert await sides.admin.ttl(sides.web.keys.request(instead.id)) == -1
    await RedisJournal(sides.agents).record(lease, "model 1", b"said")
    await usecases.finish(sides.agents, lease, Verb.FINISH, result="Done.")
    assert await sides.web.put_away(100) == 1
    assert await sides.agents.put_away(100) == 0
    for request in (asked, instead):
        for key in (sides.web.keys.asked, sides.web.keys.request):
            assert await sides.admin.ttl(key(request.id)) > 0


async def test_the_journal_of_a_run_that_web_stopped_gets_its_end_from_a_worker(sides: Sides) -> None:
    lease = await _running(sides)
    await RedisJournal(sides.agents).record(lease, "model 1", b"said")
    await usecases.ask(sides.agents, lease, question())
    await usecases.stop(sides.web, lease.run, Actor(HERE, ALICE), frozenset())
    assert await sides.admin.ttl(sides.web.keys.journal(lease.run)) == -1
    assert await sides.agents.put_away(100) == 1
    assert await sides.admin.ttl(sides.web.keys.journal(lease.run)) > 0
    assert await sides.agents.put_away(100) == 0


async def _running(sides: Sides) -> Lease:
    await start(sides)
    return await new_run(sides.agents, "rtest")


async def test_web_keeps_the_record_as_its_own_user_and_a_worker_does_not_even_read_it(sides: Sides) -> None:
    """R25: chains, reads, trims, and holds its lease."""
    ledger = Ledger(sides.web)
    auditor = Auditor(sides.web, "web", keep=Retention(timedelta(0), timedelta(0)))
    assert await ledger.lease.claim("web", timedelta(seconds=5))
    for n in range(5):
        event = Event(EventType.CALL_PASSED, await sides.web.now(), workspace=HERE, data={"tool": str(n)})
        await sides.web.commit(Change(events=(event,)))
    await auditor.catch_up()
    head = (await ledger.position()).head
    assert (head.n, await ledger.head_of(NOW.date())) == (5, head)
    await Outbox(sides.web).open()
    await denied(sides.agents, "XRANGE", sides.web.keys.audit, "-", "+")
    await denied(sides.agents, "XADD", sides.web.keys.audit, "9-0", "entry", "forged")
    assert await ledger.trim(1) == 1
    await auditor.trim()
    assert [n for n, _ in await ledger.read(0)] == [5]
    await ledger.lease.release("web")
    of_a_worker = Ledger(sides.agents)
    for read in (of_a_worker.position, lambda: of_a_worker.read(0), lambda: of_a_worker.trim(1)):
        with pytest.raises(StoreUnavailable, match="may not do this"):
            await read()


WEBS_OWN = [key.split("<")[0] for key, _, by in _ROW.findall(keys.__doc__ or "") if by == "web" and "<" in key]
WORKERS_OWN = [
    "asked",
    "run",
    "lease",
    "journal",
    "made",
    "answer",
    "noted",
    "team",
    "ended",
    "settled",
    "runs",
    "jobs:r",
]


async def test_an_id_that_ends_as_another_kind_of_key_is_still_no_key_of_a_workers(
    sides: Sides, subtests: pytest.Subtests
) -> None:
    """R27: such an id broke out of each pattern that left the namespace open: 11 kinds by 11 patterns."""
    worker = name_of("worker", sides.namespace)
    for kind in WEBS_OWN:
        with subtests.test(kind=kind):
            for pattern in WORKERS_OWN:
                for ending in (f"qx}}:{pattern}:1", f"}}:{pattern}:", f"qx}}:{pattern}:1\n"):
                    key = f"{sides.web.keys.prefix}{kind}{ending}"
                    answer = await sides.admin.execute_command("ACL DRYRUN", worker, "SET", key, "x")  # type: ignore[no-untyped-call]
                    assert answer != b"OK", key
