"""Workers call `web` over HTTP: whose run it is, repeats, races, bad bodies, and the stream of decisions."""

import asyncio
import json
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import httpx
import pytest
from pydantic import TypeAdapter

from bot.api import worker_calls
from bot.api.port import ApiPort
from bot.slack import http
from countersign import usecases
from countersign.domain import api_keys
from countersign.domain.api_keys import Issued
from countersign.domain.calls import Call
from countersign.domain.errors import InvalidInput, StoreUnavailable
from countersign.domain.events import EventType
from countersign.domain.ids import AttemptId, RequestId, RunId, TeamName, WorkerId, WorkspaceId
from countersign.domain.made_files import LARGEST as LARGEST_FILE
from countersign.domain.made_files import LeftOut, MadeFile, Why
from countersign.domain.people import Actor
from countersign.domain.requests import Question, Request, Status
from countersign.domain.run_calls import (
    RUN_CALLS,
    Ask,
    Attach,
    Claim,
    Deliver,
    Finish,
    Judge,
    Park,
    Plan,
    RunCall,
    Say,
    Start,
    StepDone,
    TakeBack,
)
from countersign.domain.runs import LONGEST_REPORT, LONGEST_RESULT, Run
from countersign.domain.runs import Status as RunStatus
from countersign.domain.runs import Verb as RunVerb
from countersign.runs.area import WebAddress
from countersign.runs.decision_stream import READ_BACK, WaitingAnswer
from countersign.runs.service import HttpService
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import executions
from countersign.usecases.ports import Lease
from tests.api.conftest import DOCUMENT, as_described, fits
from tests.longest_wait import PATIENCE
from tests.sample_requests import ALICE, BOB, GENERAL, HERE, attempt, begins, call, question, reporting
from tests.slack.socket_bot import events
from tests.store_fixtures import NoQueue, new_run, start_run
from tests.worker_service import Served, served

OTHER: Final = RunId("rother")
WITHOUT_FENCE: Final = {"claim", "start", "read", "find", "card_link", "report"}
NEWER: Final = b"1 99\n{}"


class Caller:
    """A caller with a key, who sends what it likes."""

    def __init__(self, web: Served, token: str) -> None:
        (url,) = web.address.urls
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        hooks = {"response": [as_described]}
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE, event_hooks=hooks, verify=False)

    async def call(self, run: str, said: RunCall[Any], fence: int = 1) -> httpx.Response:
        made = TypeAdapter[Any](type(said)).dump_json(said)
        body = {"lease": {"fence": fence, "owner": "worker"}, "call": json.loads(made)}
        described = DOCUMENT["paths"][f"/v1/runs/{{run}}/{said.name}"]["post"]["requestBody"]
        fits(body, described["content"]["application/json"]["schema"])
        return await self.send(run, said.name, body)

    async def send(self, run: str, name: str, body: Any) -> httpx.Response:
        return await self.http.post(f"/v1/runs/{run}/{name}", content=json.dumps(body))

    async def waiting(self, *requests: str, runs: tuple[str, ...] = ()) -> WaitingAnswer:
        answer = await self.http.post("/v1/waiting", json={"requests": requests, "runs": runs})
        assert answer.status_code == 200, answer.text
        return WaitingAnswer.load(answer.content)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[str]]:
        """Read the lines of a stream from the one on after which nothing is missed."""
        async with self.http.stream("GET", "/v1/stream") as answer:
            assert answer.status_code == 200, await answer.aread()
            lines = answer.aiter_lines()
            assert await anext(lines) == "{}"
            yield _described(lines)


async def _described(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    described = DOCUMENT["paths"]["/v1/stream"]["get"]["responses"]["200"]["content"]["application/x-ndjson"]
    async for line in lines:
        fits(json.loads(line), described["schema"])
        yield line


@pytest.fixture
async def web(store: Store, wakeups: Wakeups) -> AsyncIterator[Served]:
    await store.set_workspace(HERE)
    async with served(store, wakeups, HERE, GENERAL) as web:
        yield web


Calling = Callable[[str], Caller]


@pytest.fixture
async def calling(web: Served) -> AsyncIterator[Calling]:
    """Make callers with these keys."""
    callers = []

    def caller(token: str) -> Caller:
        callers.append(Caller(web, token))
        return callers[-1]

    yield caller
    for one in callers:
        await one.http.aclose()


@pytest.fixture
def worker(web: Served, calling: Calling) -> Caller:
    return calling(web.address.key)


async def key_of(store: Store, issued: Issued) -> str:
    await ApiKeys(store).put(issued.key)
    return issued.token


@pytest.fixture
async def program(store: Store, calling: Calling) -> Caller:
    return calling(await key_of(store, api_keys.issue("ci", (GENERAL,), await store.now())))


@pytest.fixture
async def stranger(store: Store, calling: Calling) -> Caller:
    """Workers of another team, with a key and an area of their own."""
    return calling(await key_of(store, api_keys.issue_worker("deployers", ("deploy",), await store.now())))


async def asked_in(store: Store, lease: Lease, asked: Question | None = None) -> Request:
    return await usecases.ask(store, lease, asked or question())


async def decide(store: Store, asked: Request) -> Request:
    return await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB, name=asked.id))


async def run_of(store: Store, run: str = "rtest") -> Run:
    seen = await store.run(RunId(run))
    assert seen is not None
    return seen.value


async def everything(store: Store) -> dict[bytes, bytes]:
    """All that is stored for the test, as Redis would move it elsewhere."""
    keys = [key async for key in store.client.scan_iter(f"*{store.keys.namespace}*", count=1000)]
    return {key: await store.client.dump(key) for key in sorted(keys) if b":api_rate:" not in key}


def kind_of(answer: httpx.Response) -> tuple[int, str]:
    """The status and the kind of a problem."""
    return answer.status_code, str(answer.json()["type"]).removeprefix("urn:countersign:")


START: Final = Start(GENERAL, ALICE, TeamName("script"), "Tidy up.")
PASSES: Final = Judge("clerk", Call("look", "{}"), AttemptId("rtest-look-0"), team_says="allow", team_why="Looking.")


async def test_unknown_key_is_refused_everywhere(lease: Lease, web: Served, calling: Calling) -> None:
    caller = calling(web.address.key[:-4] + "AAAA")
    assert kind_of(await caller.call(lease.run, Claim())) == (401, "unknown-key")
    for method, path in (("PUT", "/v1/workers/w"), ("POST", "/v1/waiting"), ("GET", "/v1/stream")):
        assert kind_of(await caller.http.request(method, path)) == (401, "unknown-key")


async def test_program_and_worker_keys_are_not_interchangeable(worker: Caller, program: Caller) -> None:
    assert kind_of(await program.http.put("/v1/workers/w", json={"teams": []})) == (403, "no-worker")
    assert kind_of(await program.http.delete("/v1/workers/w")) == (403, "no-worker")
    assert kind_of(await worker.http.post("/v1/requests", json={})) == (403, "worker-key")
    assert kind_of(await worker.call("sone", START)) == (400, "invalid")


@pytest.mark.parametrize("name", sorted(RUN_CALLS.keys() - {"start"}))
async def test_foreign_run_looks_nonexistent(
    store: Store, lease: Lease, worker: Caller, program: Caller, stranger: Caller, calling: Calling, name: str
) -> None:
    """R43: for workers of another area, for a program, and of a program's run for a worker or another program."""
    other = calling(await key_of(store, api_keys.issue("cd", (GENERAL,), await store.now())))
    said = await valid(store, lease, name)
    assert (await program.call("sown", START)).status_code == 200
    before = await everything(store)
    script = RunId("sown")
    for caller, run in ((stranger, lease.run), (program, lease.run), (worker, script), (other, script)):
        answer, missing = await caller.call(run, said), await caller.call("rmissing", said)
        if name == "claim" and caller in (worker, stranger):
            assert answer.json() == missing.json() == {"run": None}
            continue
        assert kind_of(answer) == (404, "not-found")
        assert answer.json()["detail"] == missing.json()["detail"].replace("rmissing", run)
    assert await everything(store) == before


async def test_program_cannot_start_the_run_of_another(store: Store, program: Caller, calling: Calling) -> None:
    """Also when both start it at the same moment."""
    other = calling(await key_of(store, api_keys.issue("cd", (GENERAL,), await store.now())))
    for number in range(5):
        answers = await asyncio.gather(program.call(f"s{number}", START), other.call(f"s{number}", START))
        assert sorted(answer.status_code for answer in answers) == [200, 400]
        assert "Tidy up." not in next(answer.text for answer in answers if answer.status_code == 400)


async def test_program_starts_its_run_once(store: Store, program: Caller) -> None:
    first, again = [await program.call("sone", START) for _ in range(2)]
    assert (first.status_code, first.content) == (200, again.content)
    assert (await run_of(store, "sone")).channel == GENERAL
    assert [event.type for event in await events(store)] == [EventType.RUN_QUEUED]
    assert kind_of(await program.call("stwo", replace(START, channel="#secret"))) == (403, "channel")


async def test_worker_announces_only_what_its_key_may_run(
    store: Store, lease: Lease, worker: Caller, stranger: Caller
) -> None:
    email = {"teams": [{"name": "email", "line": ""}], "runs": [lease.run, "rmissing"]}
    assert kind_of(await stranger.http.put("/v1/workers/w", json=email)) == (400, "invalid")
    deploy = {"teams": [{"name": "deploy", "line": ""}], "runs": [lease.run]}
    assert (await stranger.http.put("/v1/workers/w", json=deploy)).status_code == 204
    assert await store.workers.held() == frozenset()
    assert (await worker.http.put("/v1/workers/w", json=email)).status_code == 204
    assert await store.workers.held() == {lease.run}
    assert (await stranger.http.delete("/v1/workers/w")).status_code == 204
    assert await store.workers.held() == {lease.run}
    assert kind_of(await worker.http.put("/v1/workers/a%20b", json=email)) == (400, "invalid")


async def test_damaged_run_does_not_block_announcements(store: Store, lease: Lease, worker: Caller) -> None:
    """R4"""
    await new_run(store, OTHER)
    await store.client.set(store.keys.run(OTHER), NEWER, keepttl=True)
    said = {"teams": [{"name": "email", "line": ""}], "runs": [OTHER, lease.run]}
    assert (await worker.http.put("/v1/workers/w", json=said)).status_code == 204
    assert await store.workers.held() == {lease.run}


async def valid(store: Store, lease: Lease, name: str) -> RunCall[Any]:
    """A call of this kind that changes something."""
    asked = await asked_in(store, lease)
    now = await store.now()
    others: dict[str, dict[str, Any]] = {
        "find": {"request": asked.id},
        "card_link": {"request": asked.id},
        "write": {"text": {"agent": "clerk", "characters": 4, "words": "Dear"}},
        "wait": {"delay": {"why": "The model is busy.", "until": now}},
    }
    known: dict[str, RunCall[Any]] = {
        "ask": Ask(call()),
        "take_back": TakeBack(asked.id, "Not wanted any more."),
        "deliver": Deliver(asked.id),
        "judge": PASSES,
        "say": Say("clerk", "I look.", now),
        "plan": Plan(1, ("Look", "Pay")),
        "step_done": StepDone(1, 0),
        "park": Park(frozenset({asked.id})),
        "finish": Finish(RunVerb.FINISH, "Done."),
        "attach": Attach.of([MadeFile("a.txt", b"a")], [LeftOut(Why.LARGE, "b.txt")]),
    }
    if name in known:
        return known[name]
    if name == "begin":
        return begins(await decide(store, asked))
    if name == "report":
        await executions.begin(store, lease, begins(await decide(store, asked)))
        return reporting(asked, "Paid.")
    made: RunCall[Any] = TypeAdapter(RUN_CALLS[name]).validate_python(others.get(name, {}))
    return made


@pytest.mark.parametrize("name", sorted(RUN_CALLS.keys() - WITHOUT_FENCE))
@pytest.mark.parametrize("fence", [1, 3])
async def test_call_with_another_fence_changes_nothing(
    store: Store, lease: Lease, worker: Caller, name: str, fence: int
) -> None:
    said = await valid(store, lease, name)
    await usecases.begin(store, Lease(lease.run, 2, "another"))
    before = await everything(store)
    assert kind_of(await worker.call(lease.run, said, fence)) == (409, "lease-lost")
    assert await everything(store) == before


async def test_claim_with_an_older_fence_is_refused(store: Store, lease: Lease, worker: Caller) -> None:
    await usecases.begin(store, Lease(lease.run, 5, "another"))
    assert kind_of(await worker.call(lease.run, Claim((TeamName("email"),)), 4)) == (409, "lease-lost")
    assert (await run_of(store)).fence == 5


async def before_deliver(store: Store, lease: Lease) -> RunCall[Any]:
    return Deliver((await decide(store, await asked_in(store, lease))).id)


async def before_step(store: Store, lease: Lease) -> RunCall[Any]:
    await usecases.note_plan(store, lease, 1, ["Look", "Pay"])
    return StepDone(1, 1)


async def before_another_place(store: Store, lease: Lease) -> RunCall[Any]:
    await asked_in(store, lease)
    return Ask(question("Another mail."))


REPEATED: dict[str, Callable[[Store, Lease], Awaitable[RunCall[Any]]]] = {
    **{
        name: lambda store, lease, name=name: valid(store, lease, name)  # type: ignore[misc]
        for name in (
            "claim",
            "ask",
            "take_back",
            "judge",
            "say",
            "plan",
            "begin",
            "report",
            "park",
            "finish",
            "attach",
        )
    },
    "ask in place of another": before_another_place,
    "deliver": before_deliver,
    "step_done": before_step,
}


@pytest.mark.parametrize("case", REPEATED)
async def test_repeated_worker_call_changes_nothing(store: Store, lease: Lease, worker: Caller, case: str) -> None:
    """R8: the answer to the first copy may have been lost."""
    said = await REPEATED[case](store, lease)
    first = await worker.call(lease.run, said)
    assert first.status_code == 200, first.text
    before = await everything(store)
    again = await worker.call(lease.run, said)
    read = TypeAdapter[Any](said.answer).validate_json
    assert (again.status_code, read(again.content)) == (200, read(first.content))
    assert await everything(store) == before


@pytest.mark.parametrize("case", REPEATED)
async def test_simultaneous_copies_of_a_call_count_once(store: Store, lease: Lease, worker: Caller, case: str) -> None:
    """R3, R8: the second copy is sent while the first is still under way."""
    said = await REPEATED[case](store, lease)
    earlier = len(await events(store))
    answers = await asyncio.gather(*(worker.call(lease.run, said) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    read = TypeAdapter[Any](said.answer).validate_json
    assert all(read(answer.content) == read(answers[0].content) for answer in answers)
    happened = [(event.type, event.request) for event in (await events(store))[earlier:]]
    assert len(set(happened)) == len(happened)
    assert len((await store.made.kept(lease.run)).files) == (case == "attach")


async def test_claim_begins_a_queued_run_once(store: Store, worker: Caller) -> None:
    run = await start_run(store)
    for _ in range(2):
        claimed = (await worker.call(run.id, Claim((TeamName("email"),)))).json()
        assert claimed["run"]["fence"] == 1
    assert [event.type for event in await events(store)] == [EventType.RUN_QUEUED, EventType.RUN_STARTED]


class Asked:
    """A queue that notes for which runs it is asked."""

    def __init__(self) -> None:
        self.runs: list[RunId] = []

    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        self.runs.append(run)


async def test_simultaneous_park_and_decision_both_count(store: Store, worker: Caller) -> None:
    """R5: the run stays awake and hears of the decision, or is parked and a job is sent for it."""
    for number in range(12):
        lease, queue = await new_run(store, f"r{number}"), Asked()
        asked = await asked_in(store, lease)
        parking = worker.call(lease.run, Park(frozenset({asked.id})))
        deciding = usecases.decide(store, queue, asked.id, attempt(asked, BOB, name=asked.id))
        parked, decided = await asyncio.gather(parking, deciding)
        assert decided.status is Status.APPROVED
        run = await run_of(store, lease.run)
        assert parked.json() is (run.status is RunStatus.PARKED)
        assert queue.runs == ([lease.run] if parked.json() else [])
        claimed = await worker.call(lease.run, Claim((TeamName("email"),)), run.fence + 1)
        assert asked.id in claimed.json()["run"]["open"].values()


async def test_call_with_an_invalid_form_is_refused_by_name(store: Store, lease: Lease, worker: Caller) -> None:
    """R29"""
    held = {"fence": 1, "owner": "worker"}
    odd = {"agent": "a", "call": {"tool": "t", "arguments": "{}"}, "once": "a", "team_says": "x"}
    bodies: list[tuple[str, Any]] = [
        ("ask", {"lease": held}),
        ("ask", {"lease": held, "call": {"question": {"agent": "x"}}}),
        ("ask", {"call": {}}),
        ("deliver", {"lease": held, "call": {"request": "q:1"}}),
        ("deliver", {"lease": {"fence": "one", "owner": ""}, "call": {"request": "q1"}}),
        ("deliver", {"lease": {"fence": 10**20, "owner": ""}, "call": {"request": "q1"}}),
        ("finish", {"lease": held, "call": {"verb": "stop", "result": "Stopped."}}),
        ("finish", {"lease": held, "call": {"verb": "park", "result": ""}}),
        ("attach", {"lease": held, "call": {"files": [["a.txt", "no base64"]]}}),
        ("judge", {"lease": held, "call": odd}),
        ("step_done", {"lease": held, "call": {"number": 1, "place": [1]}}),
        ("park", []),
    ]
    before = await everything(store)
    for name, body in bodies:
        assert kind_of(await worker.send(lease.run, name, body)) == (400, "invalid"), (name, body)
    assert await everything(store) == before


async def test_body_without_json_or_too_large_is_refused(lease: Lease, worker: Caller) -> None:
    """R29: before anything is built of it."""
    path = f"/v1/runs/{lease.run}/ask"
    for raw in (b"", b"{", b"[" * 200 + b"]" * 200, b'{"call":{"call":"\xff"}}'):
        assert (await worker.http.post(path, content=raw)).status_code == 400
    assert kind_of(await worker.http.post(path, content=b"[" * 200)) == (400, "no-json")
    large = b'"' + b"x" * worker_calls.LARGEST + b'"'
    assert kind_of(await worker.http.post(path, content=large)) == (413, "too-large")
    plain = await worker.http.post(path, content=b"{}", headers={"content-type": "text/plain"})
    assert kind_of(plain) == (415, "no-json")


async def test_unknown_call_is_not_found(lease: Lease, worker: Caller) -> None:
    for path in (f"{lease.run}/approve", "no run/claim", f"{lease.run}/"):
        assert kind_of(await worker.http.post(f"/v1/runs/{path}", json={})) == (404, "not-found")
    assert kind_of(await worker.http.get(f"/v1/runs/{lease.run}/claim")) == (405, "method")


async def test_pending_request_is_not_delivered(store: Store, lease: Lease, worker: Caller) -> None:
    """R25: the audit log would say that the agent has a decision, and nobody would wait for the real one."""
    asked = await asked_in(store, lease)
    before = await everything(store)
    assert kind_of(await worker.call(lease.run, Deliver(asked.id))) == (400, "invalid")
    assert await everything(store) == before


async def test_outcome_of_another_runs_request_is_refused(store: Store, lease: Lease, worker: Caller) -> None:
    """R44"""
    foreign = await decide(store, await asked_in(store, await new_run(store, OTHER)))
    await executions.begin(store, replace(lease, run=OTHER), begins(foreign))
    assert kind_of(await worker.call(lease.run, reporting(foreign, "It failed.", failed=True))) == (400, "invalid")
    assert (await run_of(store)).reported == ()


async def test_step_outside_the_plan_is_ignored(store: Store, lease: Lease, worker: Caller) -> None:
    await usecases.note_plan(store, lease, 1, ["Look", "Pay"])
    for place in (-1, 2):
        assert (await worker.call(lease.run, StepDone(1, place))).status_code == 200
    assert [step.done_at for step in (await run_of(store)).plan] == [None, None]


async def test_questions_of_a_program_count_against_its_rate(store: Store, calling: Calling) -> None:
    """R29: those of workers do not."""
    slow = calling(await key_of(store, api_keys.issue("slow", (GENERAL,), await store.now(), per_minute=3)))
    assert (await slow.call("sone", START)).status_code == 200
    assert (await slow.call("sone", Claim(script=True))).status_code == 200
    assert [(await slow.call("sone", Ask(question()))).status_code for _ in range(3)] == [200, 200, 429]


async def test_policy_judges_a_call_for_its_worker(lease: Lease, worker: Caller) -> None:
    asks = Judge("clerk", call().call, AttemptId("one"))  # type: ignore[arg-type]
    assert (await worker.call(lease.run, asks)).json()["then"] == "ask"
    assert (await worker.call(lease.run, PASSES)).json() == {"then": "allow", "why": "Looking."}


async def test_stream_sends_one_line_per_decision_and_end(store: Store, lease: Lease, worker: Caller) -> None:
    """R5: the whole request, so that the worker need not read it."""
    asked = await asked_in(store, lease, call())
    async with worker.stream() as lines:
        decided = await decide(store, asked)
        line = await anext(lines)
        assert TypeAdapter(Request).validate_json(line) == decided
        await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
        while (line := await anext(lines)) == "{}":
            pass
        assert json.loads(line) == {"ended": lease.run}


async def test_stream_shows_only_runs_of_its_key(
    store: Store, wakeups: Wakeups, lease: Lease, worker: Caller, program: Caller, stranger: Caller
) -> None:
    """R43"""
    assert (await program.call("sone", START)).status_code == 200
    assert (await program.call("sone", Claim(script=True))).status_code == 200
    own = RequestId((await program.call("sone", Ask(question()))).json()["id"])
    asked = await asked_in(store, lease)
    seen: list[list[str]] = []
    async with worker.stream() as of_worker, program.stream() as of_program, stranger.stream() as of_stranger:
        await decide(store, asked)
        found = await store.request(own)
        assert found is not None
        await decide(store, found.value)
        await store.client.publish(store.keys.wake, b"request " + own.encode())
        for lines in (of_worker, of_program):
            seen.append([json.loads(await anext(lines)).get("id")])
        wakeups._tell(b'{"missed":true}\n')
        assert await anext(of_stranger) == '{"missed":true}', "the first line that everybody sees"
    assert seen == [[asked.id], [own]]
    assert (await stranger.waiting(asked.id, own, runs=(lease.run,))).settled == ()
    assert (await worker.waiting(asked.id, own)).gone == (own,)


async def test_idle_stream_has_a_heartbeat(worker: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_calls, "HEARTBEAT", 0.01)
    async with worker.stream() as lines:
        assert [await anext(lines) for _ in range(3)] == ["{}"] * 3


async def test_stream_with_many_foreign_lines_has_a_heartbeat(
    web: Served, store: Store, wakeups: Wakeups, stranger: Caller, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker takes a silent stream for a broken one."""
    monkeypatch.setattr(worker_calls, "HEARTBEAT", 0.05)

    async def keep_ending() -> None:
        while True:
            wakeups._tell(b'{"ended":"%b"}\n' % lease.run.encode())
            await asyncio.sleep(0)

    async with stranger.stream() as lines:
        ending = asyncio.create_task(keep_ending())
        assert await anext(lines) == "{}"
        ending.cancel()


async def test_revoked_key_ends_its_stream(store: Store, calling: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_calls, "HEARTBEAT", 0.01)
    issued = api_keys.issue_worker("deployers", (), await store.now())
    caller = calling(await key_of(store, issued))
    async with caller.stream() as lines:
        await ApiKeys(store).put(api_keys.revoke(issued.key, await store.now()))
        async for line in lines:
            assert line == "{}"
    assert kind_of(await caller.http.get("/v1/stream")) == (401, "unknown-key")


async def test_key_holds_a_limited_number_of_streams(web: Served, store: Store, calling: Calling) -> None:
    """R29"""
    few = calling(await key_of(store, api_keys.issue("few", (GENERAL,), await store.now(), most_waiting=1)))
    async with few.stream():
        assert kind_of(await few.http.get("/v1/stream")) == (429, "waiting")
    async with asyncio.timeout(PATIENCE):
        while +web.interface.workers.streams:  # noqa: ASYNC110 -- a fact of the server
            await asyncio.sleep(0.01)
    async with few.stream():
        pass


async def test_stopping_web_ends_its_streams(web: Served, worker: Caller) -> None:
    async with worker.stream() as lines:
        web.interface.stop()
        assert [line async for line in lines] == []


async def test_stream_reports_possibly_missed_events(store: Store, worker: Caller) -> None:
    """R5: what was decided while `web` had no subscription is read back."""
    async with worker.stream() as lines:
        await store.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        while (line := await anext(lines)) == "{}":
            pass
        assert json.loads(line) == {"missed": True}


async def test_unreadable_run_makes_streams_read_back(
    web: Served, store: Store, wakeups: Wakeups, lease: Lease, worker: Caller
) -> None:
    """R4: it ends no stream."""
    await new_run(store, OTHER)
    await store.client.set(store.keys.run(OTHER), NEWER, keepttl=True)
    async with worker.stream() as lines:
        for run in (OTHER, lease.run):
            wakeups._tell(b'{"ended":"%b"}\n' % run.encode())
        assert json.loads(await anext(lines)) == {"missed": True}
        assert json.loads(await anext(lines)) == {"ended": lease.run}


async def test_decision_after_a_cut_stream_is_read_back(store: Store, lease: Lease, worker: Caller) -> None:
    """R5"""
    asked, other = [await asked_in(store, lease, question(text, agent=text)) for text in ("one", "two")]
    async with worker.stream():
        pass
    decided = await decide(store, asked)
    known = await worker.waiting(asked.id, other.id, "qmissing", runs=(lease.run, "rmissing"))
    assert known == WaitingAnswer((decided,), (RequestId("qmissing"),), (RunId("rmissing"),))
    await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
    assert (await worker.waiting(runs=(lease.run,))).ended == (lease.run,)


async def until_streams(web: Served) -> None:
    """Return once a worker has its stream."""
    async with asyncio.timeout(PATIENCE):
        while not +web.interface.workers.streams:  # noqa: ASYNC110 -- a fact of the server
            await asyncio.sleep(0.01)


async def test_service_finds_a_decision_that_was_not_pushed(
    web: Served, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5: the worker's side, whose stream is cut while it waits."""
    asked = await asked_in(store, lease)
    async with web.service() as service:
        waiting = asyncio.create_task(service.settled(asked.id))
        await until_streams(web)
        web.interface.stopping.set()
        while +web.interface.workers.streams:  # noqa: ASYNC110 -- a fact of the server
            await asyncio.sleep(0.01)
        decided = await decide(store, asked)
        web.interface.stopping.clear()
        assert await waiting == decided


async def test_pending_answer_does_not_hide_a_known_decision(web: Served, store: Store, lease: Lease) -> None:
    """R5: the answer that it is pending came late, and somebody else here had the decision by then."""
    asked = await asked_in(store, lease)
    async with web.service() as service:
        first = asyncio.create_task(service.settled(asked.id))
        await until_streams(web)
        decided = await decide(store, asked)
        assert await first == decided
        assert await asyncio.wait_for(service.settled(asked.id), READ_BACK / 2) == decided
        assert await asyncio.wait_for(service.settled(asked.id), READ_BACK / 2) == decided


async def test_records_of_a_newer_web_count_as_present(store: Store, worker: Caller) -> None:
    """Two versions serve during an update; a worker that asks the older one keeps its run."""
    one, two = await new_run(store), await new_run(store, OTHER)
    first, second = await asked_in(store, one), await asked_in(store, two)
    await decide(store, second)
    await store.client.set(store.keys.request(first.id), NEWER, keepttl=True)
    await store.client.set(store.keys.run(OTHER), NEWER, keepttl=True)
    assert await worker.waiting(first.id, second.id, runs=(one.run, OTHER)) == WaitingAnswer()


async def test_slow_reader_is_cut_and_loses_nothing(
    web: Served, store: Store, wakeups: Wakeups, lease: Lease, worker: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R29: what it has not read takes a bounded part of `web`'s memory."""
    monkeypatch.setattr(worker_calls, "_MOST_BYTES_BEHIND", 2**20)
    asked = await asked_in(store, lease, question("x" * 200_000))
    with socket.create_connection(("127.0.0.1", int(web.address.urls[0].rpartition(":")[2]))) as plain:
        plain.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=plain, limit=1000)
        writer.write(f"GET /v1/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {web.address.key}\r\n".encode())
        writer.write(b"connection: close\r\n\r\n")
        await reader.readuntil(b"{}\n")
        decided = await decide(store, asked)
        line = TypeAdapter(Request).dump_json(decided, exclude_defaults=True) + b"\n"
        (backlog,) = (hear.__self__ for hear in wakeups._listeners)  # type: ignore[attr-defined]
        async with asyncio.timeout(PATIENCE):
            while not backlog.cut:
                wakeups._tell(line)
                await asyncio.sleep(0)
        assert not backlog._lines
        async with asyncio.timeout(PATIENCE):
            while await reader.read(2**20):
                pass
        writer.close()
    assert (await worker.waiting(asked.id)).settled == (decided,)


async def test_workspace_that_is_not_served_is_asked_again(web: Served) -> None:
    """R4: the port opens before its workspaces and closes after them."""
    port = ApiPort()
    async with (
        http.serving(port, "127.0.0.1", 0) as number,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{number}", timeout=PATIENCE, verify=False) as client,
    ):
        own = f"/workspaces/{HERE}/v1/requests"
        for path in ("/v1/requests", own):
            answer = await client.get(path)
            assert (kind_of(answer), answer.headers["retry-after"]) == ((503, "no-workspace"), "2")
        with port.serving(HERE, web.interface) as address:
            assert address.endswith(f"/workspaces/{HERE}")
            assert [kind_of(await client.get(path)) for path in ("/v1/requests", own)] == [(401, "unknown-key")] * 2
            with port.serving(WorkspaceId("T0OTHER"), web.interface):
                assert kind_of(await client.get("/v1/requests")) == (404, "not-found")
                assert kind_of(await client.get("/workspaces/T0GONE/v1/requests")) == (503, "no-workspace")


async def test_final_refusal_is_not_retried_by_a_worker(web: Served, store: Store, lease: Lease) -> None:
    """R29: a worker repeats a call for as long as `web` is away, so what never counts must not look so."""
    issued = api_keys.issue("ci", (GENERAL,), await store.now())
    await ApiKeys(store).put(issued.key)
    with_program_key = replace(web, address=web.address._replace(key=issued.token))
    async with web.service() as service, with_program_key.service() as of_program:
        with pytest.raises(InvalidInput, match="at most"):
            await service.call(lease, Ask(question("x" * 30_000_000)))
        with pytest.raises(InvalidInput, match="not in C0SECRET"):
            await of_program.call(Lease(RunId("sone"), 0, "script"), replace(START, channel="C0SECRET"))


async def test_run_with_oversized_texts_and_files_can_end(web: Served, store: Store, lease: Lease) -> None:
    """R29: its worker sends no more of them than is kept."""
    asked = await decide(store, await asked_in(store, lease))
    enormous = "x" * 5_000_000
    async with web.service() as service:
        await service.call(lease, begins(asked))
        await service.call(lease, reporting(asked, enormous, failed=True))
        await service.call(lease, Attach.of([MadeFile("answer.txt", enormous.encode()), MadeFile("b.txt", b"b")]))
        await service.call(lease, Finish(RunVerb.FINISH, enormous, enormous))
    ended = await run_of(store)
    assert (ended.status, len(ended.result), len(ended.words)) == (RunStatus.FINISHED, LONGEST_RESULT, LONGEST_RESULT)
    assert len(ended.reported[0].words) == LONGEST_REPORT
    kept = await store.made.kept(lease.run)
    assert [*kept.files.values()] == ["b.txt"] and kept.left == (LeftOut(Why.LARGE, "answer.txt"),)


async def test_attached_files_are_bounded_and_safely_named(web: Served, store: Store, lease: Lease) -> None:
    """R15, R27, R29: whatever a worker sends."""
    async with web.service() as service:
        with pytest.raises(InvalidInput, match="Nothing was attached"):
            await service.call(lease, Attach((("large.txt", b64encode(b"x" * (LARGEST_FILE + 1)).decode()),)))
        await service.call(lease, Attach((("../b.txt", ""),), (LeftOut(Why.MANY, "<!channel>"),)))
    kept = await store.made.kept(lease.run)
    assert [*kept.files.values()] == ["_b.txt"] and kept.left == (LeftOut(Why.MANY, "__channel_"),)


@pytest.mark.parametrize("around", ["", "web.invalid"])
async def test_worker_reaches_web_as_the_environment_says(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through its proxy, as programs do, unless the host is left out."""
    asked = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode()
        if line.startswith("DELETE"):
            asked.append(line)
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for name, value in (("http_proxy", f"http://127.0.0.1:{port}"), ("no_proxy", around)):
            monkeypatch.setenv(name, value)

        async def resolve() -> WebAddress:
            return WebAddress(("http://web.invalid:81",), "key")

        async with HttpService(resolve) as service:
            if around:
                with pytest.raises(StoreUnavailable):
                    await service.retire(WorkerId("one"))
            else:
                await service.retire(WorkerId("one"))
    assert asked == ([] if around else ["DELETE http://web.invalid:81/v1/workers/one HTTP/1.1\r\n"])
