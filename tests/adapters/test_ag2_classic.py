"""Programs of the AutoGen 0.2 guides, unchanged but for one line: asked in Slack instead of at the keyboard."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import autogen
import httpx
import pytest
from autogen.coding import LocalCommandLineCodeExecutor

from countersign.client.exchange import ServiceRefused
from countersign.frameworks.ag2_classic import ask_in_slack
from countersign.frameworks.ag2_classic.questions import People
from localslack import LocalSlack
from tests.adapters.stage import Bob, Script, cards

pytestmark = pytest.mark.slow  # the framework takes seconds to import

GO, STOP = ("Approve", None), ("Reject", {"reason": "enough"})
SEES = ("", None)
"""Only waits for the card: whoever decides its first row before the second one is there gets another card for that."""


def says(words: str) -> tuple[str, dict[str, Any]]:
    return "Request changes", {"answer": words}


@pytest.fixture(autouse=True)
def one_line(known: None) -> Iterator[None]:
    """The line that each of these programs gets."""
    with ask_in_slack("#general"):
        yield


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AG2 writes its cache where it runs."""
    monkeypatch.chdir(tmp_path)


def model(name: str) -> Any:
    return {"config_list": [{"model": name, "api_key": "sk-local", "price": [0, 0]}], "cache_seed": None}


def assistant(name: str) -> autogen.AssistantAgent:
    return autogen.AssistantAgent(name, llm_config=model(name))


def texts(result: Any) -> list[str]:
    return [message["content"] for message in result.chat_history]


async def played(program: Any, bob: Bob, *decisions: tuple[str, str, dict[str, Any] | None]) -> Any:
    """What the program returns in a thread of its own, while these decisions are made."""
    running = asyncio.create_task(asyncio.to_thread(program))
    for words, button, window in decisions:
        card = asyncio.create_task(bob.card(words))
        await asyncio.wait({running, card}, return_when=asyncio.FIRST_COMPLETED)
        assert card.done(), running.result()
        if button:  # after the last one the program may end before Bob's window closes
            await bob.presses(words, button, window)
    return await running


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_always_mode_asks_after_every_message(bob: Bob, script: Script, asynchronous: bool) -> None:
    """S1: Approve is the empty line, Respond the next message, Reject `exit`; the same for `a_initiate_chat`."""
    script.plays("writer", "Draft one.", "Draft two.", "Draft three.")

    def program() -> Any:
        user = autogen.UserProxyAgent(
            "user", human_input_mode="ALWAYS", code_execution_config=False, default_auto_reply="Go on."
        )
        writer = assistant("writer")
        if asynchronous:
            return asyncio.run(user.a_initiate_chat(writer, message="Write to the vendor."))
        return user.initiate_chat(writer, message="Write to the vendor.")

    result = await played(program, bob, ("Draft one.", *says("shorter")), ("Draft two.", *GO), ("Draft three.", *STOP))
    assert texts(result) == [
        *("Write to the vendor.", "Draft one.", "shorter", "Draft two.", "Go on.", "Draft three."),
    ]


async def test_never_mode_ends_by_its_own_rules(slack: LocalSlack, script: Script) -> None:
    """S2: the limit of replies ends it, and so does `is_termination_msg`."""
    script.plays("writer", "One.", "Two.", "Three. TERMINATE")

    def program(limit: int) -> Any:
        user = autogen.UserProxyAgent(
            "user",
            human_input_mode="NEVER",
            max_consecutive_auto_reply=limit,
            is_termination_msg=lambda m: "TERMINATE" in (m.get("content") or ""),
            code_execution_config=False,
            default_auto_reply="Continue.",
        )
        return user.initiate_chat(assistant("writer"), message="Count.")

    assert texts(await asyncio.to_thread(program, 1)) == ["Count.", "One.", "Continue.", "Two."]
    assert texts(await asyncio.to_thread(program, 9))[-1] == "Three. TERMINATE"
    assert cards(slack) == 0


async def test_terminate_mode_asks_where_it_would_end(bob: Bob, script: Script) -> None:
    """S3: an answer goes on and resets the counter, Approve ends; any callable says where the end is."""
    script.plays("coder", "step 1", "step 2", "NEEDS_REVIEW: draft", "ERROR: no paper")

    def program() -> Any:
        user = autogen.UserProxyAgent(
            "user",
            human_input_mode="TERMINATE",
            max_consecutive_auto_reply=1,
            is_termination_msg=lambda m: (m.get("content") or "").startswith(("NEEDS_REVIEW", "ERROR:")),
            code_execution_config=False,
            default_auto_reply="go on",
        )
        return user.initiate_chat(assistant("coder"), message="Print it.")

    result = await played(
        program,
        bob,
        ("step 2", *says("finish")),
        ("NEEDS_REVIEW: draft", *says("print")),
        ("ERROR: no paper", *GO),
    )
    assert texts(result)[1::2] == ["step 1", "step 2", "NEEDS_REVIEW: draft", "ERROR: no paper"]
    assert texts(result)[2::2] == ["go on", "finish", "print"]


class Adaptive(autogen.UserProxyAgent):
    """As the guides have it: it takes the prompt alone, as in AutoGen 0.2, and asks only where it matters."""

    def get_human_input(self, prompt: str) -> str:  # type: ignore[override]
        newest = next(iter(self.chat_messages.values()))[-1]["content"]
        if any(word in newest.lower() for word in ("delete", "production")):
            return super().get_human_input(prompt)
        return ""


async def test_adaptive_proxy_asks_only_where_it_says(slack: LocalSlack, bob: Bob, script: Script) -> None:
    """S4: a subclass written for AutoGen 0.2, as it stands."""
    script.plays("ops", "I list the tables.", "I delete the table users.", "I am done.")

    def program() -> Any:
        user = Adaptive("user", code_execution_config=False, default_auto_reply="Good.")
        return user.initiate_chat(assistant("ops"), message="Clean up.", max_turns=3)

    result = await played(program, bob, ("delete the table", *says("Archive it instead.")))
    assert texts(result)[2::2] == ["Good.", "Archive it instead."]
    assert cards(slack) == 1


class EverySecond(autogen.UserProxyAgent):
    """It asks after every second message; the other one with `await`, as the guides have it."""

    steps = 0

    def get_human_input(self, prompt: str) -> str:  # type: ignore[override]
        self.steps += 1
        return "" if self.steps % 2 else super().get_human_input(prompt)

    async def a_get_human_input(self, prompt: str) -> str:  # type: ignore[override]
        self.steps += 1
        return "" if self.steps % 2 else await super().a_get_human_input(prompt)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_adaptive_proxy_asks_at_every_second_step(
    slack: LocalSlack, bob: Bob, script: Script, asynchronous: bool
) -> None:
    """S4: a counter instead of words, and the method that tasks await."""
    script.plays("writer", "One.", "Two.", "Three.", "Four.")

    def program() -> Any:
        user = EverySecond("user", code_execution_config=False, default_auto_reply="Go on.")
        if asynchronous:
            return asyncio.run(user.a_initiate_chat(assistant("writer"), message="Count."))
        return user.initiate_chat(assistant("writer"), message="Count.")

    result = await played(program, bob, ("Two.", *says("higher")), ("Four.", *STOP))
    assert texts(result)[2::2] == ["Go on.", "higher", "Go on."]
    assert cards(slack) == 2


async def test_event_reading_program_is_asked_in_slack(bob: Bob, script: Script) -> None:
    """`run()` hands out events; none of them asks its reader for input."""
    script.plays("writer", "Draft one.", "Draft two.")

    def program() -> list[str]:
        user = autogen.UserProxyAgent("user", human_input_mode="ALWAYS", code_execution_config=False)
        response = user.run(recipient=assistant("writer"), message="Write to the vendor.")
        return [str(getattr(event, "type", "")) for event in response.events]

    kinds = await played(program, bob, ("Draft one.", *says("shorter")), ("Draft two.", *STOP))
    assert "input_request" not in kinds
    assert kinds.count("text") == 4


async def test_resumed_group_chat_finds_its_decision(slack: LocalSlack, bob: Bob, script: Script) -> None:
    """R8, S6: `a_resume` with the messages, in one program after another under the run's name."""
    script.plays("writer", "A draft.", "A shorter draft.")

    def managed(rounds: int) -> autogen.GroupChatManager:
        approver = autogen.UserProxyAgent("approver", human_input_mode="ALWAYS", code_execution_config=False)
        agents: list[autogen.Agent] = [approver, assistant("writer")]
        chat = autogen.GroupChat(agents, [], max_round=rounds, speaker_selection_method="round_robin")
        return autogen.GroupChatManager(chat, llm_config=False)

    begun = managed(2)
    approver: Any = begun.groupchat.agents[0]
    await asyncio.to_thread(approver.initiate_chat, begun, message="A report, please.")
    assert [m["content"] for m in begun.groupchat.messages] == ["A report, please.", "A draft."]

    async def resumed() -> list[str]:
        manager = managed(3)
        speaker, last = await manager.a_resume(begun.groupchat.messages)
        text: Any = last
        result = await speaker.a_initiate_chat(manager, message=text, clear_history=False)
        return texts(result)

    def program() -> list[str]:
        with ask_in_slack("#general", run="report"):
            return asyncio.run(resumed())

    first = await played(program, bob, ("A draft.", *says("shorter")))
    assert first[-2:] == ["shorter", "A shorter draft."]
    assert await asyncio.to_thread(program) == first
    assert cards(slack) == 1


class AsksAService(autogen.UserProxyAgent):
    """It asks a web service, and at the keyboard if that does not answer in time."""

    def get_human_input(self, prompt: str, *, iostream: Any = None) -> str:
        try:
            return httpx.get(self.description, timeout=0.2).text
        except httpx.TimeoutException:
            return super().get_human_input(prompt)


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Keep the connection until the client gives up."""
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_unanswered_question_stops_the_conversation_with_a_reason(bob: Bob, script: Script) -> None:
    """S5: and if people do not decide in time, the conversation stops and the terminal says why."""
    script.plays("writer", "First.", "Second.")
    silent = await asyncio.start_server(says_nothing, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"

    def program() -> Any:
        user = AsksAService("user", code_execution_config=False, description=address)
        return user.initiate_chat(assistant("writer"), message="Write.")

    async with silent:
        result = await played(program, bob, ("First.", *says("again")), ("Second.", *STOP))
    assert texts(result) == ["Write.", "First.", "again", "Second."]


async def test_approver_asks_while_other_proxies_run_free(slack: LocalSlack, bob: Bob, script: Script) -> None:
    """S6, S17, S20: specialists and the worker run free, a critic reviews first, and the approver signs off."""
    script.plays("researcher", "Facts.", "More facts.")
    script.plays("writer", "Report.", "Better report.")
    script.plays("critic", "Fine, but short.", "Good.")

    def program() -> Any:
        worker = autogen.UserProxyAgent(
            "worker", human_input_mode="NEVER", code_execution_config=False, default_auto_reply="Noted."
        )
        approver = autogen.UserProxyAgent("approver", human_input_mode="ALWAYS", code_execution_config=False)
        agents: list[autogen.Agent] = [
            worker,
            assistant("researcher"),
            assistant("writer"),
            assistant("critic"),
            approver,
        ]
        chat = autogen.GroupChat(agents, [], max_round=12, speaker_selection_method="round_robin")
        manager = autogen.GroupChatManager(chat, llm_config=False)
        return worker.initiate_chat(manager, message="A report, please.")

    result = await played(program, bob, ("Fine, but short.", *says("longer")), ("Good.", *STOP))
    assert [m["name"] for m in result.chat_history][:5] == ["worker", "researcher", "writer", "critic", "approver"]
    assert texts(result)[4:6] == ["longer", "Noted."]
    assert texts(result)[-1] == "Good."
    assert cards(slack) == 2


async def test_people_choose_the_next_speaker(bob: Bob, script: Script) -> None:
    """The options of a card are the agents of a group chat whose speakers are chosen by hand."""
    script.plays("red", "I am red.")
    script.plays("blue", "I am blue.")

    def program() -> Any:
        user = autogen.UserProxyAgent("user", human_input_mode="NEVER", code_execution_config=False)
        agents: list[autogen.Agent] = [user, assistant("red"), assistant("blue")]
        chat = autogen.GroupChat(agents, [], max_round=2, speaker_selection_method="manual", allow_repeat_speaker=False)
        return user.initiate_chat(autogen.GroupChatManager(chat, llm_config=False), message="Who are you?")

    result = await played(program, bob, ("Who speaks next?", "blue", None))
    assert texts(result) == ["Who are you?", "I am blue."]


async def test_code_is_shown_whole_and_runs_after_approval(bob: Bob, script: Script, tmp_path: Path) -> None:
    """S18: the output goes back to the agents."""
    script.plays("coder", "Here:\n```python\nprint(6 * 7)\n```", "It is 42. TERMINATE")

    def program() -> Any:
        user = autogen.UserProxyAgent(
            "user", code_execution_config={"executor": LocalCommandLineCodeExecutor(work_dir=tmp_path)}
        )
        return user.initiate_chat(assistant("coder"), message="Six times seven.")

    result = await played(program, bob, ("print(6 * 7)", *GO), ("It is 42.", *STOP))
    assert "execution succeeded" in texts(result)[2] and "42" in texts(result)[2]


def shop(paid: list[float], while_it_runs: Callable[[], None] = lambda: None) -> Any:
    clerk = assistant("clerk")
    user = autogen.UserProxyAgent("user", code_execution_config=False)

    def refund(order: int, euros: float) -> str:
        while_it_runs()
        paid.append(euros)
        return f"{euros:.2f} EUR for order {order}"

    autogen.register_function(refund, caller=clerk, executor=user, name="refund", description="Pays back.")
    return user.initiate_chat(clerk, message="Refund order 17.")


async def test_edited_call_runs_and_its_outcome_is_shown(slack: LocalSlack, bob: Bob, script: Script) -> None:
    """R13: a function that people may edit; a call that they answer instead does not run."""
    script.plays(
        "clerk", ("refund", {"order": 17, "euros": 90.0}), "Paid.", ("refund", {"order": 18, "euros": 1.0}), "Well."
    )
    paid: list[float] = []
    await played(
        lambda: shop(paid),
        bob,
        ("Refund:", "Edit", {"Euros": "45", "why": "half"}),
        ("Paid.", *says("And order 18.")),
        ("Refund:", *says("Not this one.")),
        ("Well.", *STOP),
    )
    assert paid == [45.0]
    await slack.wait_message("#approvals", lambda m: "45.00 EUR for order 17" in json.dumps([m.text, m.blocks]))


@pytest.mark.parametrize(("button", "says_why"), [("", "NOBODY ANSWERED"), ("Reject", "too much")])
async def test_terminal_says_why_a_conversation_stops(
    bob: Bob,
    script: Script,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    button: str,
    says_why: str,
) -> None:
    """S5, R20: nobody decided in time, or somebody rejected it with a reason. AG2 prints, or logs if it finds a log."""
    script.plays("clerk", ("refund", {"order": 17, "euros": 90.0}))
    paid: list[float] = []
    running = asyncio.create_task(asyncio.to_thread(shop, paid))
    await bob.card("Refund:")
    if button:
        await bob.presses("Refund:", button, {"reason": "too much"})
    else:
        await bob.lets_time_run_out()
    await running
    assert paid == []
    assert says_why in caplog.text + capsys.readouterr().out


PROGRAM_DIES = RuntimeError("the program dies")


@pytest.mark.parametrize("reported", [False, True], ids=["nothing for a day", "a failure"])
async def test_returning_program_runs_approved_but_unreported_calls(
    bob: Bob, script: Script, monkeypatch: pytest.MonkeyPatch, reported: bool
) -> None:
    """R8, R31: what was approved runs, also after a weekend; of what failed before the model reads that."""
    script.plays("clerk", ("refund", {"order": 17, "euros": 90.0}), "Well.")
    paid: list[float] = []

    def dies(*_: Any, **__: Any) -> Any:
        raise PROGRAM_DIES

    def program() -> Any:
        with ask_in_slack("#general", run="order 17"):
            return shop(paid)

    with monkeypatch.context() as dying:
        dying.setattr(People, "execute", dies)  # after the decision, before it begins
        running = asyncio.create_task(asyncio.to_thread(program))
        await bob.presses("Refund:", "Approve")
        with pytest.raises(RuntimeError, match="dies"):
            await running
    if reported:
        await bob.reports(succeeded=False, words="ValueError: no till")
    else:
        await bob.lets_a_day_pass()
    result = await played(program, bob, ("Well.", *STOP))
    assert paid == ([] if reported else [90.0])
    assert texts(result)[2] == ("ValueError: no till" if reported else "90.00 EUR for order 17")


async def test_refused_report_hides_no_result(bob: Bob, script: Script, caplog: pytest.LogCaptureFixture) -> None:
    """R5: what was done was done, though the key was revoked meanwhile."""
    script.plays("clerk", ("refund", {"order": 17, "euros": 90.0}), "Well.")
    loop, paid = asyncio.get_running_loop(), list[float]()

    def key_is_revoked() -> None:
        asyncio.run_coroutine_threadsafe(bob.loses_its_key(), loop).result()

    running = asyncio.create_task(asyncio.to_thread(shop, paid, key_is_revoked))
    await bob.presses("Refund:", "Approve")
    with pytest.raises(ServiceRefused, match="revoked"):  # by the next question, not by the report
        await running
    assert paid == [90.0]
    assert "outcome couldn't be reported: This key was revoked." in caplog.text
