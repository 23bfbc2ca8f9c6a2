"""What the chat team's assistant says without a model, and that its options and its modes are the same."""

import pytest
from autogen_core.models import AssistantMessage, LLMMessage, SystemMessage, UserMessage

from agents import registry
from agents.teams import chat
from countersign.domain.errors import InvalidInput
from countersign.frameworks.autogen.models.demo import DEMO_NOTE
from countersign.frameworks.autogen.people.conversation import GO_ON
from countersign.frameworks.autogen.people.human_input_modes import HumanInputMode
from tests.autogen.harness import House

pytest_plugins = ["tests.redis_server"]


def conversation(*said: str) -> list[str]:
    """What the assistant says after each of these, and what it says in between is its own."""
    messages: list[LLMMessage] = [SystemMessage(content="You work")]
    answers = []
    for words in said:
        messages.append(UserMessage(content=words, source="people"))
        answers.append(chat.play("assistant", messages))
        messages.append(AssistantMessage(content=answers[-1], source="assistant"))
    return answers


def test_chat_steps_are_the_tasks_parts_and_replies() -> None:
    """Each part of the task is a step, and each reply of a person adds one."""
    said = conversation("plan it; invite Ann, then buy bread", GO_ON, "take Bob too", GO_ON, GO_ON, "and Eve", GO_ON)
    steps = [
        "1 of 3: plan it",
        "2 of 3: invite Ann",
        "3 of 4: take Bob too",
        "4 of 4: buy bread",
        "",
        "5 of 5: and Eve",
    ]
    for answer, step in zip(said, steps, strict=False):
        assert step in answer
        assert DEMO_NOTE in answer
    assert [answer.splitlines()[-1] == "TERMINATE" for answer in said] == [False] * 4 + [True, False, True]


@pytest.mark.parametrize("task", ["", " ", ";", "?", "x" * 10_000])
def test_any_chat_task_ends(task: str) -> None:
    assert conversation(task, GO_ON)[-1].endswith("TERMINATE")


def test_chat_team_offers_every_human_input_mode() -> None:
    mode = next(option for option in chat.TEAM.options if option.name == "mode")
    assert set(mode.choices) == {*HumanInputMode, "adaptive"}
    assert {info.name: len(info.options) for info in registry.find().infos()}["chat"] == 2


async def test_removed_option_ends_the_run_by_name(house: House) -> None:
    """The code changed under a waiting run: it does not go on in a mode that nobody chose."""
    run = await house.start()
    assert chat.TEAM.chosen(run).options == {"mode": "always", "replies": "10"}
    run.options["mode"] = "sometimes"
    with pytest.raises(InvalidInput, match="started with mode=sometimes, which the team “chat” no longer offers"):
        chat.TEAM.chosen(run)
