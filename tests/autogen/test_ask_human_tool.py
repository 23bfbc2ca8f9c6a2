"""`ask_human`, and functions behind `requires_approval`."""

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import pytest
from autogen_core import CancellationToken
from autogen_core.tools import FunctionTool, StaticWorkbench

from countersign.domain.calls import canonical
from countersign.domain.errors import ActionFailed
from countersign.domain.requests import Kind, Verb
from countersign.frameworks.autogen.gated_function import requires_approval
from countersign.frameworks.autogen.run_context import Run
from tests.autogen.harness import House, fact
from tests.autogen.test_gated_tools import life

pytest_plugins = ["tests.redis_server"]


def ask(run: Run, **arguments: Any) -> asyncio.Task[tuple[str, bool]]:
    return asyncio.create_task(said(run, arguments))


async def said(run: Run, arguments: dict[str, Any]) -> tuple[str, bool]:
    tools = StaticWorkbench([run.ask_human("planner")])
    result = await tools.call_tool("ask_human", arguments, CancellationToken())
    return result.to_text(), result.is_error


async def test_model_asks_a_choice_and_reads_the_answer(house: House) -> None:
    await house.start()
    for _ in range(2):
        async with life(house) as run:
            job = ask(run, question="Which region?", options=["eu", " eu ", "us", ""], several=True)
            if _ == 0:
                question = (request := await house.asked()).question
                assert (question.kind, question.agent, question.options) == (Kind.CHOICE, "planner", ("eu", "us"))
                assert question.several
                assert question.offers == (Verb.CHOOSE, Verb.RESPOND, Verb.REJECT)
                await house.decide(request, Verb.CHOOSE, chosen=("us", "eu"))
            text, failed = await job
            assert not failed
            assert text.startswith("DECISION: CHOSEN (")
            assert "Chosen:\n> eu\n> us\n" in text
    assert sum(event["type"] == "request_asked" for event in await house.events()) == 1


async def test_answer_to_an_open_question_approves_nothing(house: House) -> None:
    """R12: there is nothing to approve."""
    await house.start()
    async with life(house) as run:
        job = ask(run, question="May I delete all of it?")
        request = await house.asked()
        assert request.question.kind is Kind.MESSAGE
        assert request.question.offers == (Verb.RESPOND, Verb.REJECT)
        await house.decide(request, Verb.RESPOND, "APPROVED")
        assert "Nobody has allowed it" in (await job)[0]


async def test_repeated_waiting_question_shares_one_card(house: House) -> None:
    """R26: identical pending questions merge; later it is asked again."""
    await house.start()
    async with life(house) as run:
        tool = run.ask_human("planner")
        jobs = [asyncio.create_task(tool.run_json({"question": "Why?"}, CancellationToken())) for _ in range(3)]
        first = await house.asked()
        assert len((await house.run()).open) == 1
        await house.decide(first, Verb.RESPOND, "Because.")
        assert len(set(await asyncio.gather(*jobs))) == 1
        job = asyncio.create_task(tool.run_json({"question": "Why?"}, CancellationToken()))
        assert (await house.asked(not_this=first)).id != first.id
        job.cancel()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"question": " "}, "at least one character"),
        ({"question": "x" * 10_001}, "at most 10,000"),
        ({"question": "Which?", "options": ["", " "]}, "all of the options are empty"),
        ({"question": "Which?", "options": [f"{n}" for n in range(101)]}, "more than the 100"),
        ({"question": "Which?", "options": ["x" * 76]}, "has more than 75 characters"),
        ({"question": "Which?", "options": "eu"}, "valid list"),
    ],
)
async def test_unshowable_question_is_an_error_for_the_model(
    house: House, arguments: dict[str, Any], says: str
) -> None:
    """Nobody is asked, and the run continues."""
    await house.start()
    async with life(house) as run:
        text, failed = await ask(run, **arguments)
        assert failed
        assert says in text
        assert run.error is None
    assert not (await house.run()).open


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


PAID: list[Any] = []


def draw(arguments: dict[str, Any]) -> str:
    return f"{arguments['amount']} to {arguments['iban']}"


@requires_approval(show=draw, hide=["iban"])
async def pay(amount: Annotated[int, "in cents"], iban: str, size: Size = Size.SMALL) -> str:
    """Pay somebody."""
    PAID.append((amount, iban, size))
    return f"paid {amount}"


@requires_approval(ask=False)
def look(item: str) -> int:
    """How many."""
    return len(item)


def test_gated_function_keeps_its_signature_for_the_model() -> None:
    tool = FunctionTool(pay, description=pay.__doc__ or "")
    assert tool.name == "pay"
    assert tool.schema["description"] == "Pay somebody."
    parameters = tool.schema["parameters"]
    assert parameters["properties"]["amount"]["description"] == "in cents"
    assert list(parameters["properties"]) == ["amount", "iban", "size"]
    assert parameters["required"] == ["amount", "iban"]


async def test_gated_function_asks_and_runs_with_approved_arguments(house: House) -> None:
    """R13, R18: in the types that it wants, changed arguments too."""
    await house.start()
    PAID.clear()
    async with life(house) as run:
        run.enter()
        job = asyncio.ensure_future(pay(1200, "DE00 1234", size=Size.LARGE))
        request = await house.asked()
        assert request.question.agent == "pay"
        assert "DE00" not in request.question.content
        assert request.question.call is not None
        assert request.question.call.arguments == canonical({"amount": 1200, "iban": "DE00 1234", "size": "large"})
        edited = canonical({"amount": 100, "iban": "DE00 1234", "size": "large"})
        await house.decide(request, Verb.EDIT, arguments=edited)
        assert "- amount: 1200 → 100" in await job
        assert await look("abc") == "3"
        refused = asyncio.ensure_future(pay(1, "DE"))
        await house.decide(await house.asked(not_this=request), Verb.REJECT)
        with pytest.raises(ActionFailed, match="DECISION: CALL REJECTED"):
            await refused
        with pytest.raises(ActionFailed, match="“pay” was not done"):
            await pay("a lot", "DE")
    assert PAID == [(100, "DE00 1234", Size.LARGE)]


async def test_gated_function_among_tools_asks_once_and_can_park(house: House) -> None:
    """R19, R22: its own gate is the one, and its run may park while people think."""
    await house.start()
    PAID.clear()
    async with life(house) as run:
        run.enter()
        tools = run.tools("clerk", [pay, run.ask_human("clerk")], ask=False)
        job = asyncio.ensure_future(tools.call_tool("pay", {"amount": 5, "iban": "DE"}, CancellationToken(), "c1"))
        request = await house.asked()
        assert request.question.kind is Kind.TOOL
        await fact(lambda: resting(run))
        await house.decide(request, Verb.APPROVE)
        assert (await job).to_text() == "paid 5"
    assert PAID == [(5, "DE", Size.SMALL)]
    assert sum(event["type"] == "request_asked" for event in await house.events()) == 1


async def resting(run: Run) -> bool | None:
    return True if run.activity.resting else None
