"""Proxies of the AutoGen 0.2 guides that decide themselves when to ask, by `input()` in their own code."""

import asyncio
import builtins
import io
from typing import Any

import autogen
import pytest
from autogen.coding import CodeBlock, LocalCommandLineCodeExecutor

from localslack import LocalSlack, text_of
from tests.adapters.stage import Bob, Script, cards
from tests.adapters.test_ag2_classic import GO, STOP, assistant, elsewhere, one_line, played, says, texts

__all__ = ["elsewhere", "one_line"]
pytestmark = pytest.mark.slow  # the framework takes seconds to import

EVERY = 3
KEYWORDS = ("delete", "deploy")


class AdaptiveProxy(autogen.UserProxyAgent):
    """It asks at keywords, and every few steps; its own method reads the keyboard."""

    def __init__(self, name: str, *, prompt: str = "Press Enter to accept, or type feedback: ", **more: Any) -> None:
        super().__init__(name, human_input_mode="NEVER", code_execution_config=False, **more)
        self.prompt, self.steps, self.typed = prompt, 0, list[str]()
        self.register_reply([autogen.Agent, None], AdaptiveProxy.check_termination_and_human_reply, position=0)

    def check_termination_and_human_reply(  # type: ignore[override]
        self, messages: Any = None, sender: Any = None, config: Any = None
    ) -> tuple[bool, Any]:
        self.steps += 1
        said = str(messages[-1]["content"]).lower()
        if not any(word in said for word in KEYWORDS) and self.steps % EVERY:
            return True, "Go on."
        typed = input(self.prompt)
        self.typed.append(typed)
        return True, None if typed == "exit" else typed or "Go on."


class OwnKeyboard(autogen.UserProxyAgent):
    """Its `get_human_input` reads the keyboard itself, as older examples have it."""

    def get_human_input(self, prompt: str, **_: Any) -> str:
        return input(f"{self.name}> {prompt}")


async def test_adaptive_proxy_asks_at_keywords_and_every_few_steps(slack: LocalSlack, bob: Bob, script: Script) -> None:
    """The card has the message; each answer is what a person would have typed, and then the program's own."""
    script.plays("writer", "I list files.", "I delete a.", "I sort.", "I copy.", "I check.", "I deploy.", "Never.")

    def program() -> Any:
        user = AdaptiveProxy("user")
        return user, user.initiate_chat(assistant("writer"), message="Clean up.")

    user, result = await played(program, bob, ("I delete a.", *says("Keep a.")), ("I sort.", *GO), ("I deploy.", *STOP))
    assert user.typed == ["Keep a.", "", "exit"]
    assert texts(result) == [
        *("Clean up.", "I list files.", "Go on.", "I delete a.", "Keep a.", "I sort.", "Go on."),
        *("I copy.", "Go on.", "I check.", "Go on.", "I deploy."),
    ]
    assert cards(slack) == 3


@pytest.mark.parametrize(("decision", "typed"), [(GO, "y"), (STOP, "n"), (says("yes, but not today"), "n")])
async def test_yes_or_no_prompt_gets_yes_or_no(bob: Bob, script: Script, decision: Any, typed: str) -> None:
    """R12, R38, R39: a refusal is never another word than no, whatever people write."""
    script.plays("writer", "I delete a.", "Well.")

    def program() -> Any:
        user = AdaptiveProxy("user", prompt="Continue? (y/n): ")
        user.initiate_chat(assistant("writer"), message="Clean up.", max_turns=2)
        return user

    user = await played(program, bob, ("I delete a.", *decision))
    assert user.typed == [typed]


@pytest.mark.parametrize(
    ("prompt", "typed"), [("Press Enter to accept, or type feedback: ", "exit"), ("Continue? (y/n): ", "n")]
)
async def test_silence_accepts_nothing(bob: Bob, script: Script, prompt: str, typed: str) -> None:
    """R38, R39: nobody answers in time, and the program hears the word that ends it."""
    script.plays("writer", "I delete a.", "Well.")

    def program() -> list[str]:
        user = AdaptiveProxy("user", prompt=prompt)
        user.initiate_chat(assistant("writer"), message="Clean up.", max_turns=2)
        return user.typed

    running = asyncio.create_task(asyncio.to_thread(program))
    await bob.card("I delete a.")
    await bob.lets_time_run_out()
    assert await running == [typed]


async def test_overridden_get_human_input_reaches_slack(bob: Bob, script: Script) -> None:
    script.plays("writer", "Draft one.", "Draft two.")

    def program() -> Any:
        user = OwnKeyboard("user", code_execution_config=False)
        return user.initiate_chat(assistant("writer"), message="Write.")

    result = await played(program, bob, ("Draft one.", *says("Shorter.")), ("Draft two.", *STOP))
    assert texts(result) == ["Write.", "Draft one.", "Shorter.", "Draft two."]


async def test_card_shows_the_last_message_instead_of_terminate(bob: Bob, script: Script) -> None:
    """The card shows what was said last, and that Approve ends the conversation."""
    script.plays("writer", "The letter is ready.", "TERMINATE")

    def program() -> Any:
        user = autogen.UserProxyAgent(
            "user",
            code_execution_config=False,
            human_input_mode="TERMINATE",
            default_auto_reply="Go on.",
            is_termination_msg=lambda message: "TERMINATE" in str(message.get("content")),
        )
        return user.initiate_chat(assistant("writer"), message="Write.")

    running = asyncio.create_task(asyncio.to_thread(program))
    card = text_of(await bob.card("has finished"))
    await bob.presses("has finished", "Approve")
    await running
    assert "TERMINATE" not in card
    assert "The letter is ready." in card and "end the conversation" in card


async def test_code_other_than_the_approved_does_not_run(bob: Bob, script: Script) -> None:
    """R37: something in the program put other code in the place of the approved one."""
    script.plays("writer", "```python\nprint(1)\n```", "Well.")
    ran: list[Any] = []

    class Other(LocalCommandLineCodeExecutor):
        def execute_code_blocks(self, code_blocks: Any) -> Any:
            ran.append(code_blocks)
            return super().execute_code_blocks(code_blocks)

        @property
        def code_extractor(self) -> Any:
            return self

        def extract_code_blocks(self, message: Any) -> list[CodeBlock]:
            return [CodeBlock(code="print(2)", language="python")]

    def program() -> Any:
        user = autogen.UserProxyAgent("user", code_execution_config={"executor": Other()})
        return user.initiate_chat(assistant("writer"), message="Count.")

    result = await played(program, bob, ("print(1)", *GO), ("Well.", *STOP))
    assert ran == []
    assert "its arguments differ" in texts(result)[2]


def test_unrelated_input_reads_the_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what reads while an agent replies is asked in Slack."""
    monkeypatch.setattr("sys.stdin", io.StringIO("typed\n"))
    assert builtins.input("? ") == "typed"
