"""The gate: what is asked, what runs then, and what the model reads."""

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from autogen_core import CancellationToken
from autogen_core.tools import FunctionTool, StaticWorkbench

from countersign.domain import request_endings
from countersign.domain.actions import Action
from countersign.domain.calls import LONGEST_ARGUMENTS, canonical
from countersign.domain.errors import ActionFailed, GivenUp, WrongTeam
from countersign.domain.ids import RequestId
from countersign.domain.requests import Kind, Question, Request, Verb
from countersign.frameworks.autogen.gated_function import requires_approval
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.tools.permits import Permit, ProposedAction
from countersign.frameworks.autogen.tools.team_policy import Proposal, Verdict
from countersign.usecases.ports import Change, Put
from tests.autogen.harness import House, fact
from tests.autogen.test_gated_tools import call, life
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]
CALL = canonical({"order": 17, "amount": 20, "password": ""})
"""What `asking` asks for, with the tool's default."""
SHOWN = "Order: 17\nAmount: 20\nPassword: “”"
"""The same, as people read it."""


class Till:
    """Pays back, and remembers what it did."""

    def __init__(self) -> None:
        self.paid: list[tuple[int, int]] = []

    async def refund(self, order: int, amount: int, password: str = "") -> str:
        """Pay back."""
        self.paid.append((order, amount))
        return f"paid {amount}"


def asking(run: Run, till: Till, **rules: Any) -> asyncio.Task[tuple[str, bool]]:
    """A call of `refund`, order 17 and 20 EUR, under way."""
    return asyncio.create_task(call(run.tools("clerk", [till.refund], **rules), "refund", order=17, amount=20))


async def count(house: House, kind: str) -> int:
    return sum(event["type"] == kind for event in await house.events())


async def test_gate_asks_by_default_and_runs_the_approved_call(house: House) -> None:
    """R13: the request holds exactly what runs."""
    await house.start()
    till = Till()
    async with life(house) as run:
        job = asking(run, till)
        request = await house.asked()
        question = request.question
        assert (question.kind, question.agent, question.title) == (Kind.TOOL, "clerk", "Refund: order 17, amount 20")
        assert question.call is not None
        assert question.call.arguments == CALL
        assert set(json.loads(question.call.schema)["properties"]) == {"order", "amount", "password"}
        assert question.content == SHOWN
        assert question.offers == (Verb.APPROVE, Verb.EDIT, Verb.REJECT, Verb.RESPOND)
        assert not till.paid
        await house.decide(request, Verb.APPROVE)
        assert await job == ("paid 20", False)
    assert till.paid == [(17, 20)]


@pytest.mark.parametrize(
    ("verb", "words", "title", "says"),
    [
        (Verb.REJECT, "too much", "CALL REJECTED", "> too much"),
        (Verb.RESPOND, "APPROVED", "CALL ANSWERED, NOT ALLOWED", "Nobody has allowed it, whatever the words say"),
    ],
)
async def test_unapproved_call_does_not_run_and_model_reads_why(
    house: House, verb: Verb, words: str, title: str, says: str
) -> None:
    """R12, R16: words are no approval, and the run lives."""
    await house.start()
    till = Till()
    async with life(house) as run:
        job = asking(run, till)
        await house.decide(await house.asked(), verb, words)
        text, failed = await job
        assert failed
        assert text.startswith(f"DECISION: {title} (request ")
        assert says in text
        assert run.error is None
    assert not till.paid


async def test_edited_call_runs_as_edited_and_reports_the_changes(house: House) -> None:
    """R18: with secrets left out."""
    await house.start()
    till = Till()
    async with life(house) as run:
        job = asking(run, till)
        edited = canonical({"order": 17, "amount": 5, "password": "hunter2hunter2"})
        await house.decide(await house.asked(), Verb.EDIT, arguments=edited)
        text, failed = await job
    assert not failed
    assert text.startswith("DECISION: CALL APPROVED WITH CHANGES (request ")
    assert '- amount: 20 → 5\n- password: "" → "⟦hidden: 14 characters⟧"' in text
    assert text.endswith("The result of the changed call:\npaid 5")
    assert "hunter2" not in text
    assert till.paid == [(17, 5)]


async def test_one_approval_permits_one_action(house: House) -> None:
    """R13: the same call once more is asked about once more, after the first is done."""
    await house.start()
    till = Till()
    async with life(house) as run:
        tools = run.tools("clerk", [till.refund])
        jobs = [asyncio.create_task(call(tools, "refund", f"c{n}", order=17, amount=20)) for n in range(2)]
        first = await house.asked()
        assert len((await house.run()).open) == 1
        await house.decide(first, Verb.APPROVE)
        second = await house.asked(not_this=first)
        assert till.paid == [(17, 20)]
        await house.decide(second, Verb.REJECT)
        assert sorted(failed for _, failed in await asyncio.gather(*jobs)) == [False, True]
    assert till.paid == [(17, 20)]


@pytest.mark.parametrize("verb", [Verb.REJECT, Verb.EXPIRE])
async def test_identical_waiting_calls_share_a_rejection(house: House, verb: Verb) -> None:
    """R26: one card for both."""
    await house.start()
    till = Till()
    async with life(house) as run:
        tools = run.tools("clerk", [till.refund])
        jobs = [asyncio.create_task(call(tools, "refund", f"c{n}", order=17, amount=20)) for n in range(3)]
        request = await house.asked()
        if verb is Verb.EXPIRE:
            await expire(house, request)
        else:
            await house.decide(request, verb)
        said = await asyncio.gather(*jobs)
    assert all(failed for _, failed in said)
    first, *others = sorted((text for text, _ in said), key=len)  # whichever came to the gate first
    assert "nobody was asked again" not in first
    assert all("nobody was asked again" in text and text.startswith(first) for text in others)
    assert await count(house, "request_asked") == 1


async def expire(house: House, request: Request) -> None:
    """Its time has run out; its run, which looks when it is woken, finds it settled."""

    async def once() -> bool | None:
        seen = await house.store.request(request.id)
        assert seen is not None
        step = request_endings.expire(replace(seen.value, deadline=seen.now - timedelta(seconds=1)), seen.now)
        done = await house.store.commit(Change(requests=(Put(step.request, seen.version),), events=step.events))
        return True if done.startswith("done") else None

    await fact(once)


async def test_rejected_call_repeated_by_any_agent_is_refused(house: House) -> None:
    """R16, R26: by any other way it is refused too, and nobody is asked twice."""
    await house.start()
    till = Till()
    async with life(house) as run:
        job = asking(run, till)
        await house.decide(await house.asked(), Verb.REJECT)
        await job
        again, failed = await call(run.tools("boss", [till.refund]), "refund", "c9", order=17, amount=20)
        other = asyncio.create_task(call(run.tools("aide", [till.refund]), "refund", order=17, amount=19))
        assert (await house.asked()).question.call is not None
        other.cancel()
    assert failed
    assert "nobody was asked again" in again
    assert await count(house, "request_asked") == 2
    assert not till.paid


async def test_revised_call_carries_its_refused_version(house: House) -> None:
    """The card shows the reviewer what changed."""
    await house.start()
    till = Till()
    async with life(house) as run:
        tools = run.tools("clerk", [till.refund], show={"refund": lambda a: f"{a['amount']} EUR"})
        job = asyncio.create_task(call(tools, "refund", order=17, amount=20))
        await house.decide(first := await house.asked(), Verb.RESPOND, "less")
        await job
        job = asyncio.create_task(call(tools, "refund", order=17, amount=10))
        second = await house.asked(not_this=first)
        assert (first.question.before, second.question.before) == ("", "20 EUR")
        assert second.question.content == "10 EUR"
        await house.decide(second, Verb.APPROVE)
        assert await job == ("paid 10", False)


async def test_secrets_reach_only_the_tool(house: House) -> None:
    """R15: what is drawn and recorded holds none; what runs holds all."""
    await house.start()
    seen: list[Any] = []

    async def login(user: str, password: str, pin: str) -> str:
        """Log in."""
        seen.append((user, password, pin))
        return "in"

    async with life(house) as run:
        drawn: list[dict[str, Any]] = []

        def show(arguments: dict[str, Any]) -> str:
            drawn.append(arguments)
            return str(arguments)

        tools = run.tools("clerk", [login], hide={"login": ["pin"]}, show={"login": show})
        job = asyncio.create_task(call(tools, "login", user="ann", password="hunter2", pin="1234"))
        request = await house.asked()
        assert request.question.call is not None
        assert request.question.call.hidden == ("pin",)  # the password is hidden by our guess, and so is reviewed
        assert "hunter2" not in request.question.content
        assert "1234" not in request.question.content
        assert drawn[0]["user"] == "ann"
        await house.decide(request, Verb.APPROVE)
        await job
        await call(
            run.tools("aide", [login], ask=False, hide={"login": ["pin"]}), "login", **dict(drawn[0], pin="98-76")
        )
    assert seen[0] == ("ann", "hunter2", "1234")
    assert "98-76" not in str(await house.events())


@pytest.mark.parametrize("show", [lambda a: 1 / 0, lambda a: "", lambda a: None])
async def test_failing_view_shows_the_raw_arguments(house: House, show: Callable[[Any], Any]) -> None:
    await house.start()
    async with life(house) as run:
        job = asking(run, Till(), show={"refund": show})
        question = (await house.asked()).question
        assert question.content == SHOWN
        assert "arguments are shown as they are" in question.notes[0]
        job.cancel()


POLICIES: list[tuple[Any, Action]] = [
    (False, Action.ALLOW),
    (True, Action.ASK),
    ("refund", Action.ASK),
    ({"refund"}, Action.ASK),
    ([], Action.ALLOW),
    ({"refund": Action.ALLOW}, Action.ALLOW),
    ({"refund": Action.DENY}, Action.DENY),
    ({}, Action.ASK),
    (lambda proposal: proposal.arguments["amount"] > 10, Action.ASK),
    (lambda proposal: proposal.arguments["amount"] > 100, Action.ALLOW),
    (lambda proposal: Verdict(Action.DENY, "never"), Action.DENY),
]


@pytest.mark.parametrize(("ask", "tier"), POLICIES)
async def test_policy_verdict_is_logged_once_even_after_a_rebuild(house: House, ask: Any, tier: Action) -> None:
    """R19, R25: also when the run is rebuilt."""
    await house.start()
    till = Till()
    for _ in range(2):
        async with life(house) as run:
            job = asking(run, till, ask=ask)
            if tier is Action.ASK:
                await house.asked()
                job.cancel()
                return
            text, failed = await job
    assert failed == (tier is Action.DENY)
    assert till.paid == ([] if failed else [(17, 20)])
    assert text.startswith("DECISION: REFUSED BY POLICY" if failed else "paid")
    told = [event for event in await house.events() if event["type"] in ("call_passed", "call_refused")]
    assert [(event["type"], event["agent"], event["tool"]) for event in told] == [
        ("call_refused" if failed else "call_passed", "clerk", "refund")
    ]
    assert json.loads(told[0]["arguments"]) == json.loads(CALL)
    assert len(told[0]["digest"]) == 64


async def slow(proposal: Proposal) -> bool:
    await asyncio.Event().wait()
    return False


def stuck(proposal: Proposal) -> bool:
    STUCK.wait(PATIENCE)
    return False


STUCK = threading.Event()
HOUR = timedelta(hours=1)


def broken(proposal: Proposal) -> bool:
    raise ValueError("no table of limits")


class Callable_:
    async def __call__(self, proposal: Proposal) -> bool:
        proposal.arguments["amount"] = 0
        return True


@pytest.mark.parametrize(
    ("ask", "note"),
    [
        (slow, "no answer within"),
        (stuck, "no answer within"),
        (broken, "failed (ValueError: no table of limits)"),
        (lambda proposal: None, "no verdict but a NoneType"),
        (lambda proposal: "pass", "no verdict but a str"),
        (lambda proposal: Verdict("pass"), "no verdict but a Verdict"),  # type: ignore[arg-type]
        ({"refund": "pass"}, "no verdict but a str"),
        (7, "is a int, which is none"),
        (Callable_(), ""),
    ],
)
async def test_failing_policy_asks_and_the_card_says_why(
    house: House, ask: Any, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R19: closed, and the other runs go on meanwhile."""
    monkeypatch.setattr(
        "countersign.frameworks.autogen.people.user_callbacks.WITHIN",
        timedelta(milliseconds=50) if ask in (slow, stuck) else HOUR,
    )
    await house.start()
    STUCK.clear()
    async with life(house) as run:
        job = asking(run, Till(), ask=ask)
        request = await house.asked()
        assert note in "".join(request.question.notes)
        assert request.question.call is not None
        assert request.question.call.arguments == CALL
        job.cancel()
    STUCK.set()


async def test_policy_is_not_called_again_after_a_rebuild(house: House) -> None:
    """R4: its verdict is in the journal."""
    await house.start()
    till = Till()
    asked: list[Proposal] = []

    def policy(proposal: Proposal) -> Verdict:
        asked.append(proposal)
        return Verdict(Action.ASK, f"The {len(asked)}. time.")

    made = []
    for _ in range(2):
        async with life(house) as run:
            job = asking(run, till, ask=policy)
            made.append(await house.asked())
            job.cancel()
    assert made[0].id == made[1].id
    assert made[1].question.notes == ("The 1. time.",)
    assert [(p.agent, p.tool, p.team, p.requester) for p in asked] == [("clerk", "refund", "email", "U0ANN")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"order": 1, "amount": float("nan")}, "cannot be shown"),
        ({"order": 1, "amount": b"\x00"}, "cannot be shown"),
        ({"order": 1, "amount": "\ud800"}, "cannot be shown"),
        ({"order": 1, "amount": "x" * LONGEST_ARGUMENTS}, "1,000,0"),
        ([1, 2], "no object with names"),
        ("text", "no object with names"),
        ({"order": "seventeen", "amount": 1}, "valid integer"),
        ({"amount": 1}, "Field required"),
    ],
)
async def test_unjudgeable_arguments_are_refused_and_the_model_continues(
    house: House, arguments: Any, says: str
) -> None:
    """R13: and nobody is bothered with what would not run."""
    await house.start()
    till = Till()
    async with life(house) as run:
        result = await run.tools("clerk", [till.refund]).call_tool("refund", arguments, CancellationToken(), "c1")
        assert result.is_error
        assert says in result.to_text()
        assert run.error is None
    assert not (await house.run()).open
    assert not till.paid


async def test_duplicate_tool_names_and_rules_without_tools_are_refused(house: House) -> None:
    """When the team is built."""
    await house.start()
    till = Till()
    async with life(house) as run:
        with pytest.raises(WrongTeam, match="two tools of the name “refund”"):
            run.tools("clerk", [till.refund, till.refund])
        for rules in ({"ask": {"refnud"}}, {"hide": {"refnud": ["x"]}}, {"idempotent": {"refnud"}}):
            with pytest.raises(WrongTeam, match="there is no such tool"):
                run.tools("clerk", [till.refund], **rules)
        run.tools("clerk", [till.refund])
        with pytest.raises(WrongTeam, match="twice"):
            run.tools("clerk", [till.refund])


async def test_rule_for_an_unknown_workbench_tool_ends_the_run(house: House) -> None:
    """R19: a typing error in a policy must not let anything pass."""
    await house.start()
    till = Till()
    async with life(house) as run:
        bench = StaticWorkbench([FunctionTool(till.refund, "")])
        _, failed = await call(run.tools("clerk", bench, ask={"refnud"}), "refund", order=1, amount=1)
        assert failed
        assert isinstance(run.error, WrongTeam)
    assert not till.paid


async def test_question_over_the_limit_ends_the_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R26: a model that asks without end is ended, and a rebuilt run counts the same."""
    few = house.settings().model_copy(update={"requests": 2})
    monkeypatch.setattr(house, "settings", lambda: few)
    await house.start()
    till = Till()
    for _ in range(2):
        async with life(house) as run:
            tools = run.tools("clerk", [till.refund])
            jobs = [asyncio.create_task(call(tools, "refund", f"c{n}", order=n, amount=1)) for n in range(2)]
            await fact(lambda: both_open(house))
            for job in jobs:
                job.cancel()
    assert (await house.run()).asked == 2
    async with life(house) as run:
        tools = run.tools("clerk", [till.refund])
        for n in range(3):
            jobs.append(asyncio.create_task(call(tools, "refund", f"c{n}", order=n, amount=1)))
        assert all(failed for _, failed in await asyncio.gather(*jobs[2:]))
        assert isinstance(run.error, GivenUp)
        assert "asked people 2 times" in str(run.error)


async def both_open(house: House) -> bool | None:
    return True if len((await house.run()).open) == 2 else None


def test_permit_admits_only_the_judged_call() -> None:
    """R13: at the door, byte for byte."""
    wanted = ProposedAction("clerk", "refund", canonical({"order": 17}), True, ("refund",))
    permit = Permit(wanted, "key", wanted.arguments)
    permit.check("refund", {"order": 17})
    for tool, arguments in (("refund", {"order": 18}), ("refund", {"order": 17, "x": 1}), ("delete", {"order": 17})):
        with pytest.raises(ActionFailed, match="not what would run"):
            permit.check(tool, arguments)


async def test_nested_gated_tool_asks_twice_without_deadlock(
    house: House,
) -> None:
    """R19: each door has its own question."""
    await house.start()
    done: list[str] = []

    @requires_approval()
    async def wipe(path: str) -> str:
        """Delete."""
        done.append(path)
        return "gone"

    inner = wipe

    async def wrapper(path: str) -> str:
        """Delete, too."""
        return await inner(path)

    wrapper.__name__ = "wipe"
    async with life(house) as run:
        run.enter()
        job = asyncio.create_task(call(run.tools("clerk", [wrapper]), "wipe", path="/tmp"))
        await house.decide(first := await house.asked(), Verb.APPROVE)
        await house.decide(await house.asked(not_this=first), Verb.APPROVE)
        assert await asyncio.wait_for(job, PATIENCE) == ("gone", False)
    assert done == ["/tmp"]


async def test_tampered_request_is_given_to_no_team(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R13: a team that does by itself what was approved takes it from there."""
    await house.start()
    async with life(house) as run:
        asking = asyncio.create_task(
            run.human().questions.put(Question("writer", 0, Kind.MESSAGE, "Send this?", "Pay."))
        )
        request = await house.asked()
        assert (await run.request(request.id)).question == request.question
        await house.decide(request, Verb.APPROVE)
        await asking
        seen = await house.store.request(request.id)
        assert seen is not None
        other = replace(seen.value, question=replace(seen.value.question, content="Pay twice."))

        async def tampered(name: RequestId) -> object:
            return replace(seen, value=other)

        monkeypatch.setattr(house.store, "request", tampered)
        with pytest.raises(ActionFailed, match="What was approved is not what is stored"):
            await run.request(request.id)
