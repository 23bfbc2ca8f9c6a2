"""Questions about changed code: whom they name, and what is left out once people continue."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.domain.ids import RequestId
from countersign.domain.requests import Kind, Request, Verb, request_id
from countersign.domain.requests import Status as RequestStatus
from countersign.domain.run_calls import Ask, R, RunCall
from countersign.domain.runs import Status
from countersign.frameworks.autogen.changed_code import _who
from countersign.frameworks.autogen.people.decision_messages import DecisionTermination
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from countersign.usecases.ports import Lease
from tests.autogen.harness import LEASE, House, Through, fact
from tests.autogen.test_gated_tools import call, life
from tests.autogen.test_journal import claimed

pytest_plugins = ["tests.redis_server"]
KEY = "0" * 24 + "/0"


@pytest.mark.parametrize(
    ("missing", "who", "agent"),
    [
        ("clerk", "clerk", "clerk"),
        ("society/inner/writer", "society/inner/writer", "writer"),
        (f"tool/clerk/{KEY}", "tool/clerk", "clerk"),
        (f"step/send mail/{KEY}/again1", "step/send mail", "send mail"),
        (f"gate/clerk/{KEY}/changed", "gate/clerk", "clerk"),
        (f"human/writer to second/{KEY}", "human/writer to second", "writer"),
    ],
)
def test_missing_step_names_its_agent(missing: str, who: str, agent: str) -> None:
    """R45: for nested turns the card named the society, or a path, and not the agent."""
    assert _who(missing) == (who, agent)


async def test_continuing_leaves_out_the_missing_turn_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R4: “Continue” set aside the later question of that agent, and asked about its turn again and again."""
    monkeypatch.setattr("countersign.runs.replay_order.LAST_RESORT", timedelta(milliseconds=20))
    question, answer = f"human/human/{KEY}", f"model/writer/{KEY}"
    await house.start()
    lease = await claimed(house)
    recorded = {question: Entry("done", place=1, turns=("human",)), answer: Entry("done", place=2, after=1)}
    for key, entry in recorded.items():
        await RedisJournal(house.area).record(lease, key, entry.dump())
    await house.lapse()
    async with life(house, "w2") as run:
        replaying = asyncio.create_task(run.held.journal.replayed(answer))
        asked = await house.asked()
        assert asked.question.kind is Kind.DIVERGED
        await house.decide(asked, Verb.APPROVE)
        again = asyncio.create_task(house.asked(not_this=asked))
        await asyncio.wait({replaying, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        assert replaying.done(), "the same question was asked again"


def writing(system: str, *, tools: tuple[Callable[[str], str], ...] = ()) -> Teams:
    """A team that writes for two readers at once, in the way that `system` says."""

    def build(run: Run) -> AutoGenTeam:
        workbench = run.tools("writer", tools) if tools else None
        writer = AssistantAgent("writer", run.model("writer"), system_message=system, workbench=workbench)
        ends = DecisionTermination({RequestStatus.APPROVED})
        return RoundRobinGroupChat([writer, run.reviewer("people")], termination_condition=ends)

    return Teams({"t": Team("t", "", build)}, {})


def weather(city: str) -> str:
    """The weather in a city."""
    return "fine"


async def waiting_with_two_drafts(house: House, model: ReplayChatCompletionClient) -> Request:
    house.park_after = timedelta(0)
    await house.start(team="t")
    async with house.worker(found=writing("Be brief."), model=model) as worker:
        await worker.advance()
        first = await house.asked()
        await house.decide(first, Verb.RESPOND, "shorter")
        await worker.advance()
        return await house.asked(not_this=first)


async def test_later_added_tool_pauses_no_run(house: House) -> None:
    """A recorded answer stays an answer, whatever else its model could call by now."""
    model = ReplayChatCompletionClient(["draft 1", "draft 2", "draft 3"])
    model.model_info["function_calling"] = True
    asked = await waiting_with_two_drafts(house, model)
    await house.decide(asked, Verb.RESPOND, "even shorter")
    async with house.worker(found=writing("Be brief.", tools=(weather,)), model=model) as worker:
        await worker.advance()
    third = await house.asked(not_this=asked)
    assert (third.question.kind, third.question.content) == (Kind.MESSAGE, "draft 3")


async def test_changed_code_is_asked_about_before_any_repeat(house: House) -> None:
    """R4: never a silent repeat. Continued, it goes on from there, asks its new question, and does not ask again."""
    model = ReplayChatCompletionClient(["draft 1", "draft 2", "new draft", "last draft"])
    model.model_info["function_calling"] = True
    asked = await waiting_with_two_drafts(house, model)
    await house.decide(asked, Verb.RESPOND, "even shorter")
    async with house.worker(found=writing("Be kind."), model=model) as worker:
        await worker.advance()
        assert (await house.run()).status is Status.PARKED
        diverged = await house.asked(not_this=asked)
        assert diverged.question.kind is Kind.DIVERGED
        assert "“writer” now asks for a new answer of its model, and 2 recorded" in diverged.question.content
        assert len(model.create_calls) == 2
        await house.decide(diverged, Verb.APPROVE)
        await worker.advance()
        new = await house.asked(not_this=asked)
        assert new.question.content == "new draft"
        await house.decide(new, Verb.RESPOND, "good, once more")
        await worker.advance()
        last = await house.asked(not_this=new)
        assert last.question.content == "last draft"
        await house.decide(last, Verb.APPROVE)
        await worker.advance()
    assert (await house.run()).status is Status.FINISHED
    assert len(model.create_calls) == 4


async def test_each_code_change_is_asked_about_separately(house: House) -> None:
    """R4: what was set aside at the first change does not count at the second."""
    model = ReplayChatCompletionClient(["draft 1", "draft 2", "new draft", "last draft"])
    asked = await waiting_with_two_drafts(house, model)
    for system, fits in (("Be kind.", "2 recorded before the change fit no"), ("Be bold.", "1 recorded before the")):
        await house.decide(asked, Verb.RESPOND, "once more")
        async with house.worker(found=writing(system), model=model) as worker:
            await worker.advance()
            diverged = await house.asked(not_this=asked)
            assert fits in diverged.question.content
            await house.decide(diverged, Verb.APPROVE)
            await worker.advance()
            asked = await house.asked(not_this=diverged)
    assert asked.question.content == "last draft"


async def test_question_dropped_by_changed_code_is_withdrawn(house: House) -> None:
    """R4: a deploy while people think: the old card goes when the run goes on and asks in other words."""
    await house.start(team="t")
    model = ReplayChatCompletionClient(["draft", "new draft"])
    async with house.worker(found=writing("Be brief."), model=model) as worker:
        worker.advance()
        asked = await house.asked()
    async with house.worker(found=writing("Be kind."), model=model, owner="w2") as worker:
        worker.advance()
        diverged = await house.asked(not_this=asked)
        assert set((await house.run()).open.values()) == {asked.id, diverged.id}
        await house.decide(diverged, Verb.APPROVE)
        new = await fact(lambda: shown(house, "new draft"))
    seen = await house.store.request(asked.id)
    assert seen is not None
    assert seen.value.status is RequestStatus.WITHDRAWN
    assert new.question.agent == asked.question.agent


async def shown(house: House, words: str) -> Request | None:
    asked = await house.asked()
    return asked if asked.question.content == words else None


async def test_reviewers_may_stop_a_run_whose_code_changed(house: House) -> None:
    model = ReplayChatCompletionClient(["draft 1", "draft 2", "new draft"])
    asked = await waiting_with_two_drafts(house, model)
    await house.decide(asked, Verb.APPROVE)
    async with house.worker(found=writing("Be kind."), model=model) as worker:
        await worker.advance()
        await house.decide(await house.asked(not_this=asked), Verb.REJECT)
        await worker.advance()
    run = await house.run()
    assert run.status is Status.FAILED
    assert run.result.endswith("Reviewer U0BOB chose to stop the run.")
    assert len(model.create_calls) == 2


class Late(Through):
    """Finds the requests in `late` only after `go`, as when `web` is slow."""

    def __init__(self, house: House, *late: RequestId) -> None:
        super().__init__(house.service)
        self.late, self.go = late, asyncio.Event()

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        if isinstance(call, Ask) and request_id(lease.run, call.question) in self.late:
            await self.go.wait()
        return await super().call(lease, call)


@pytest.mark.parametrize("passes", [False, True], ids=["asked about", "allowed automatically"])
async def test_late_found_decisions_are_not_a_code_change(house: House, passes: bool) -> None:
    """R4: an agent made three calls at once, and its worker was lost before the last one."""
    done: list[str] = []

    async def do(part: str) -> str:
        done.append(part)
        return f"did {part}"

    async def at_once(run: Run, parts: str) -> list[tuple[str, bool]]:
        tools = run.tools("caller", [do], ask=lambda call: not (passes and call.arguments["part"] == "c"))
        return await asyncio.gather(*(call(tools, "do", part, part=part) for part in parts))

    async def waiting(count: int) -> list[RequestId] | None:
        found = list((await house.run()).open.values())
        return found if len(found) == count else None

    async def two_done() -> bool | None:
        return len(done) == 2 or None

    before = "ab" if passes else "abc"
    await house.start()
    async with life(house) as run:
        job = asyncio.create_task(at_once(run, before))
        asked = await house.store.requests(await fact(lambda: waiting(len(before))))
        requests = sorted((request for request in asked if request), key=lambda request: request.question.content)
        for request in requests[:2]:
            await house.decide(request, Verb.APPROVE)
        await fact(two_done)
        await run.effects.finish(LEASE)  # their results are recorded
        run.token.cancel()
        job.cancel()
        await asyncio.wait({job})
    for request in requests[2:]:
        await house.decide(request, Verb.APPROVE)
    slow = Late(house, *(request.id for request in requests[:2]))
    async with life(replace(house, service=slow), owner="w2") as run:
        job = asyncio.create_task(at_once(run, "abc"))
        over, _ = await asyncio.wait({job}, timeout=0.5)
        assert not over
        assert [e["type"] for e in await house.events()].count("request_asked") == len(before), "nobody, about the code"
        slow.go.set()
        assert await job == [(f"did {part}", False) for part in "abc"]
    assert sorted(done) == ["a", "b", "c"]
