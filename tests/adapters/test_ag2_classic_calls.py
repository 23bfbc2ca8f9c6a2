"""Calls and code of AG2's classic agents: each is judged by itself, runs as it was approved, and once."""

import asyncio
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import autogen
import pytest
from autogen.coding import LocalCommandLineCodeExecutor

from countersign.client import executions
from countersign.domain.actions import Action
from countersign.domain.channel_settings import Risk
from countersign.frameworks.ag2_classic import ask_in_slack
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack
from tests.adapters.stage import Bob, Script, cards
from tests.adapters.test_ag2_classic import GO, SEES, STOP, assistant, elsewhere, one_line, played, texts

__all__ = ["elsewhere", "one_line"]
pytestmark = pytest.mark.slow  # the framework takes seconds to import

ORDER_17, ORDER_18 = ("refund", {"order": 17, "euros": 90.0}), ("refund", {"order": 18, "euros": 5.0})
CASH = ("cash", {"order": 19, "euros": 1.0})
DOUBT = "Did “refund” happen?"
Shop = Callable[..., Any]


class Killed(BaseException):
    """The end of a program of which nobody hears."""


@pytest.fixture(params=["sync", "async"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """A clerk whose calls a user's proxy executes: functions in a thread, or coroutine functions in an event loop."""

    def played_by(paid: list[str], act: Callable[[], None] = lambda: None) -> Any:
        clerk = assistant("clerk")
        user = autogen.UserProxyAgent("user", code_execution_config=False)

        def refund(order: int, euros: float) -> str:
            paid.append(f"refund {order} {euros}")
            act()
            return f"{euros:.2f} EUR for order {order}"

        def cash(order: int, euros: float) -> str:
            paid.append(f"cash {order} {euros}")
            return "cash"

        for function in (refund, cash):
            name = function.__name__
            autogen.register_function(
                function if request.param == "sync" else in_a_task(function),
                caller=clerk,
                executor=user,
                name=name,
                description=name,
            )
        if request.param == "sync":
            return user.initiate_chat(clerk, message="Pay.")
        return asyncio.run(user.a_initiate_chat(clerk, message="Pay."))

    return played_by


def in_a_task(function: Callable[..., str]) -> Callable[..., Any]:
    async def coroutine(order: int, euros: float) -> str:
        await asyncio.sleep(0)
        return function(order, euros)

    coroutine.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return coroutine


def tool_answers(result: Any) -> list[str]:
    """What the model reads of the calls."""
    return [one["content"] for m in result.chat_history for one in m.get("tool_responses", ())]


@pytest.mark.usefixtures("together")
async def test_each_call_of_a_message_is_judged_separately(
    slack: LocalSlack, bob: Bob, script: Script, shop: Shop
) -> None:
    """R13, R16, R26: on one card; one runs as people changed it, of the other the model reads why it did not."""
    script.plays("clerk", [ORDER_17, ORDER_18], "Well.")
    paid: list[str] = []
    result = await played(
        lambda: shop(paid),
        bob,
        ("Order: 18", *SEES),
        ("Order: 17", "Edit", {"Euros": "45", "why": "half"}),
        ("Order: 18", "Reject", {"reason": "kept the goods"}),
        ("Well.", *STOP),
    )
    assert paid == ["refund 17 45.0"]
    first, second = tool_answers(result)
    assert first == "45.00 EUR for order 17"
    assert "REJECTED" in second and "kept the goods" in second
    assert cards(slack) == 2
    await slack.wait_message("#approvals", lambda m: "45.00 EUR for order 17" in json.dumps([m.text, m.blocks]))


async def test_refusing_policy_rule_applies_to_each_call(
    store: Store, slack: LocalSlack, bob: Bob, script: Script, shop: Shop
) -> None:
    """R19: in one message with a call that people approve, and alone; the model reads the sentence."""
    await store.set_rulebook(Rulebook((Clause("no cash", Action.DENY, 1, tool="cash", why="Use the till."),)))
    script.plays("clerk", [CASH, ORDER_18], CASH, "Well.")
    paid: list[str] = []
    result = await played(lambda: shop(paid), bob, ("Refund:", *GO), ("Well.", *STOP))
    assert paid == ["refund 18 5.0"]
    refused, ran, alone = tool_answers(result)
    assert ran == "5.00 EUR for order 18"
    assert all("Use the till." in words for words in (refused, alone))
    assert cards(slack) == 2


async def test_high_risk_call_has_a_card_of_its_own(store: Store, bob: Bob, script: Script, shop: Shop) -> None:
    """R19: one click on the other call does not run it."""
    await store.set_rulebook(Rulebook(risks=(("cash", Risk.HIGH),)))
    script.plays("clerk", [CASH, ORDER_18], "Well.")
    paid: list[str] = []
    running = asyncio.create_task(asyncio.to_thread(shop, paid))
    assert "Approve" not in (await bob.card("Cash:")).buttons
    await bob.presses("Refund:", "Approve")
    await bob.presses("Cash:", "Reject", {"reason": "no"})
    await bob.presses("Well.", "Reject", {"reason": "enough"})
    await running
    assert paid == ["refund 18 5.0"]


@pytest.mark.parametrize("button", ["", "Reject"])
async def test_model_reads_why_calls_were_not_approved(bob: Bob, script: Script, shop: Shop, button: str) -> None:
    """R17: rejected, or not decided in time."""
    script.plays("clerk", [ORDER_17, ORDER_18], "Well.")
    paid: list[str] = []
    running = asyncio.create_task(asyncio.to_thread(shop, paid))
    for order in ("Order: 17", "Order: 18"):
        await bob.card(order)
        if button:
            await bob.presses(order, button, {"reason": f"no {order}"})
    if not button:
        await bob.lets_time_run_out()
    await bob.presses("Well.", "Reject", {"reason": "enough"})
    answers = tool_answers(await running)
    says_why = ["no Order: 17", "no Order: 18"] if button else ["NOBODY ANSWERED"] * 2
    assert all(words in answer for words, answer in zip(says_why, answers, strict=True))
    assert paid == []


@pytest.mark.parametrize("call", ["newline", "function_call", "no id"])
async def test_call_is_judged_in_any_notation(store: Store, slack: LocalSlack, bob: Bob, call: str) -> None:
    """R19: what AG2 reads as a call is one for the policy."""
    await store.set_rulebook(Rulebook((Clause("no cash", Action.DENY, 1, tool="cash", why="Use the till."),)))
    paid: list[str] = []
    user = autogen.UserProxyAgent("user", code_execution_config=False, function_map={"cash": paid.append})
    text = '{"order": "1\n9"}' if call == "newline" else '{"order": "19"}'
    function = {"name": "cash", "arguments": text}
    message: dict[str, Any] = {"role": "assistant", "content": None, "name": "clerk"}
    if call == "function_call":
        message |= {"function_call": function}
    else:
        one = {"type": "function", "function": function} | ({} if call == "no id" else {"id": "c1"})
        message |= {"tool_calls": [one]}
    clerk = assistant("clerk")

    def program() -> Any:
        clerk.send(message, user, request_reply=False)
        return user.generate_reply(sender=clerk)

    reply = await asyncio.to_thread(program)
    assert "Use the till." in json.dumps(reply)
    assert (paid, cards(slack)) == ([], 0)


@pytest.mark.usefixtures("together")
async def test_reported_calls_are_replayed_to_a_restarted_program(
    slack: LocalSlack, bob: Bob, script: Script, shop: Shop
) -> None:
    """R8: each with its own outcome, and nothing runs again."""
    script.plays("clerk", [ORDER_17, ORDER_18], "Well.")
    paid: list[str] = []

    def program() -> Any:
        with ask_in_slack("#general", run="orders"):
            return shop(paid)

    await played(program, bob, ("Order: 18", *SEES), ("Order: 17", *GO), ("Order: 18", *GO), ("Well.", *STOP))
    script.plays("clerk", [ORDER_17, ORDER_18], "Back again.")
    again = await played(program, bob, ("Back again.", *STOP))
    assert sorted(paid) == ["refund 17 90.0", "refund 18 5.0"]
    assert tool_answers(again) == [
        "90.00 EUR for order 17",
        "5.00 EUR for order 18",
    ]
    assert cards(slack) == 3


async def test_call_of_a_killed_program_is_asked_about(
    slack: LocalSlack, bob: Bob, script: Script, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8, R10: killed between the action and its report."""
    monkeypatch.setattr(executions, "LOOKS", 0)
    script.plays("clerk", ORDER_17, "Well.")
    paid: list[str] = []

    def dies() -> None:
        raise Killed

    def program(act: Callable[[], None] = lambda: None) -> Any:
        with ask_in_slack("#general", run="orders"):
            return shop(paid, act)

    running = asyncio.create_task(asyncio.to_thread(program, dies))
    await bob.presses("Refund:", "Approve")
    with pytest.raises(Killed):
        await running
    result = await played(program, bob, (DOUBT, "Choose", {"options": "1. It was done"}), ("Well.", *STOP))
    assert paid == ["refund 17 90.0"]
    assert tool_answers(result) == ["People say that it was done."]


CODE = "Here:\n```python\nopen('runs', 'a').write('x')\nprint(6 * 7)\n```"


def coder(tmp_path: Path, *, legacy: bool) -> Any:
    config = {"work_dir": str(tmp_path), "use_docker": False} if legacy else {"executor": local(tmp_path)}
    user = autogen.UserProxyAgent("user", code_execution_config=config)
    return user.initiate_chat(assistant("coder"), message="Six times seven.")


def local(tmp_path: Path) -> LocalCommandLineCodeExecutor:
    return LocalCommandLineCodeExecutor(work_dir=tmp_path)


@pytest.mark.parametrize("legacy", [False, True], ids=["executor", "as in AutoGen 0.2"])
async def test_reported_code_is_replayed_to_a_restarted_program(
    slack: LocalSlack, bob: Bob, script: Script, tmp_path: Path, legacy: bool
) -> None:
    """R8, S18: its card says what came of it, and it does not run again."""
    script.plays("coder", CODE, "It is 42. TERMINATE")

    def program() -> Any:
        with ask_in_slack("#general", run="code"):
            return coder(tmp_path, legacy=legacy)

    first = await played(program, bob, ("print(6 * 7)", *GO), ("It is 42.", *STOP))
    assert "execution succeeded" in texts(first)[2] and "42" in texts(first)[2]
    script.plays("coder", CODE, "Still 42. TERMINATE")
    again = await played(program, bob, ("Still 42.", *STOP))
    assert "execution succeeded" in texts(again)[2] and "42" in texts(again)[2]
    assert (tmp_path / "runs").read_text() == "x"
    assert cards(slack) == 3


async def test_code_of_a_killed_program_is_asked_about(
    bob: Bob, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8, R10."""
    monkeypatch.setattr(executions, "LOOKS", 0)
    script.plays("coder", CODE, "Well. TERMINATE")

    def program() -> Any:
        with ask_in_slack("#general", run="code"):
            return coder(tmp_path, legacy=False)

    def dies(*_: Any) -> Any:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(LocalCommandLineCodeExecutor, "execute_code_blocks", dies)
        running = asyncio.create_task(asyncio.to_thread(program))
        await bob.presses("print(6 * 7)", "Approve")
        with pytest.raises(Killed):
            await running
    result = await played(
        program, bob, ("happen?", "Choose", {"options": "2. It wasn't done: run it now"}), ("Well.", *STOP)
    )
    assert "42" in texts(result)[2]
    assert (tmp_path / "runs").read_text() == "x"


@pytest.mark.parametrize("button", ["", "Reject"])
async def test_unapproved_code_does_not_run(bob: Bob, script: Script, tmp_path: Path, button: str) -> None:
    """R17."""
    script.plays("coder", CODE)
    running = asyncio.create_task(asyncio.to_thread(coder, tmp_path, legacy=False))
    await bob.card("print(6 * 7)")
    if button:
        await bob.presses("print(6 * 7)", button, {"reason": "no"})
    else:
        await bob.lets_time_run_out()
    await running
    assert not (tmp_path / "runs").exists()


async def test_earlier_code_is_shown_before_it_runs(bob: Bob, script: Script, tmp_path: Path) -> None:
    """R13: in a group chat AG2 runs the newest code that its agent has not answered yet."""
    script.plays("coder", CODE)
    script.plays("critic", "It looks fine.", "Good.")

    def program() -> Any:
        user = autogen.UserProxyAgent("user", code_execution_config={"executor": local(tmp_path)})
        agents: list[autogen.Agent] = [user, assistant("coder"), assistant("critic")]
        chat = autogen.GroupChat(agents, [], max_round=4, speaker_selection_method="round_robin")
        return user.initiate_chat(autogen.GroupChatManager(chat, llm_config=False), message="Six times seven.")

    running = asyncio.create_task(asyncio.to_thread(program))
    card = await bob.card("It looks fine.")
    assert "print(6 * 7)" in json.dumps(card.blocks)
    await bob.presses("It looks fine.", "Approve")
    await running
    assert (tmp_path / "runs").read_text() == "x"


async def test_speaker_choice_does_not_block_the_event_loop(bob: Bob, script: Script) -> None:
    """R22."""
    script.plays("red", "I am red.")
    script.plays("blue", "I am blue.")
    user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
    agents: list[autogen.Agent] = [user, assistant("red"), assistant("blue")]
    chat = autogen.GroupChat(agents, [], max_round=2, speaker_selection_method="manual", allow_repeat_speaker=False)
    manager = autogen.GroupChatManager(chat, llm_config=False)
    running = asyncio.create_task(user.a_initiate_chat(manager, message="Who are you?"))
    await bob.presses("Who speaks next?", "blue")  # in this loop, as is the service
    assert texts(await running) == ["Who are you?", "I am blue."]


def test_keyboard_is_restored_when_the_adapter_closes() -> None:
    """The classes of AG2 are as they were before `ask_in_slack`."""
    before = {cls: dict(vars(cls)) for cls in (autogen.ConversableAgent, autogen.GroupChat)}
    with ask_in_slack("#general"):
        assert before != {cls: dict(vars(cls)) for cls in before}
    assert before == {cls: dict(vars(cls)) for cls in before}
