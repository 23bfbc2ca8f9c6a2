"""What became of what agents wanted is a value: no text that was written for a model reaches people."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import HandoffMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from countersign.domain import runs
from countersign.domain.errors import ActionFailed
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.runs import Status
from countersign.frameworks.autogen.gated_function import requires_approval
from countersign.frameworks.autogen.models.demo import DemoCall, demo_turns
from countersign.frameworks.autogen.people.conversation import for_people
from countersign.frameworks.autogen.people.run_outcomes import Outcome, OutcomeKind, Outcomes
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from tests.autogen.demo_runs import Playing, playing
from tests.autogen.harness import House

pytest_plugins = ["tests.redis_server"]

FOR_MODELS = re.compile(
    r"DECISION: |Do next: |Do not: |CONVERSATION OVER|TERMINATE|ENOUGH\b|\bFINE\b|The words given with it"
)
"""What stands in texts for models, and the words by which they tell code something."""
TASKS = {
    "deploy": "deploy shop 2.1 to staging",
    "support": "order 17 came broken, pay it back",
    "code": "add up 3, 4 and 35",
    "research": "how is tea made",
    "email": "tell the vendor we need 10% off",
    "chat": "plan it; invite Ann",
}
EDITS: dict[str, dict[str, Any]] = {
    "carry_out": {"task": "Deploy shop 2.1\n1. run_tests shop 2.1\n2. announce nothing"},
    "release": {"version": "2.2"},
    "refund": {"cents": 1000},
    "send_mail": {"subject": "Sorry"},
}


def read_by_people(run: runs.Run, asked: list[Request]) -> str:
    """Everything that cards, notes and the thread show of words of agents."""
    lines = [run.result, run.words, *(f"{line.agent}: {line.words}" for line in run.progress)]
    for one in (request.question for request in asked):
        lines += [one.title, one.content, one.before, *one.notes, *one.options]
    return "\n".join(lines)


async def judged(play: Playing, verb: Verb) -> runs.Run:
    """The run at its end: the first question decided so, and what comes then approved."""
    while True:
        done = await play.asked_or_over()
        if isinstance(done, runs.Run):
            return done
        offered = done.question.offers
        this = verb if len(play.seen) == 1 and (verb in offered or verb is Verb.EXPIRE) else Verb.APPROVE
        edits = EDITS[done.question.call.tool] if this is Verb.EDIT and done.question.call else {}
        await play.says(this, "" if this in (Verb.APPROVE, Verb.EXPIRE) else "make it shorter", **edits)


@pytest.mark.parametrize(
    ("team", "verb"),
    [
        *((team, verb) for team in TASKS for verb in (Verb.APPROVE, Verb.REJECT, Verb.RESPOND, Verb.EXPIRE)),
        ("deploy", Verb.EDIT),
        ("support", Verb.EDIT),
    ],
)
async def test_texts_for_models_are_never_shown_to_people(
    house: House, monkeypatch: pytest.MonkeyPatch, team: str, verb: Verb
) -> None:
    """R31: on no card, in no line of the activity and in no outcome, whatever people decide."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    async with playing(house, team, TASKS[team]) as play:
        run = await judged(play, verb)
    text = read_by_people(run, play.seen)
    assert (run.status, FOR_MODELS.findall(text)) == (Status.FINISHED, []), text
    if verb is Verb.EDIT and team == "deploy":
        assert run.result == (
            "A reviewer changed the plan before it was approved. The plan was carried out. Steps done: run tests, "
            "announce. Only written to the log, because no program is set up for them: run tests, announce."
        )


@requires_approval()
async def pay(cents: int) -> str:
    """Pay it."""
    raise ActionFailed(f"The bank has no {cents} cents.")


def calls(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    return [DemoCall("pay", {"cents": 30})] if demo_turns(messages) == 0 else "It is over."


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (
            Verb.EDIT,
            "“pay” was changed by a reviewer: cents: 30 → 10. Reason: “less” “pay” failed: The bank has no 10 cents.",
        ),
        (Verb.REJECT, "“pay” was not done: it was rejected. Reason: “less”"),
    ],
)
async def test_silent_team_ends_with_the_outcome_of_its_call(house: House, verb: Verb, words: str) -> None:
    """R31, R18: AutoGen makes the last message from the texts that the model got; the reason of a failure stays."""

    def build(run: Run) -> AutoGenTeam:
        clerk = AssistantAgent("clerk", run.model("clerk"), tools=[pay])
        return RoundRobinGroupChat([clerk], max_turns=1)

    found = Teams({"pays": Team("pays", "", build, demo=calls)}, {})
    await house.start(team="pays", found=found)
    async with house.worker(found=found) as worker:
        worker.advance()
        edited = '{"cents":10}' if verb is Verb.EDIT else ""
        await house.decide(await house.asked(), verb, "less", arguments=edited)
        run = await house.over()
    assert (run.words, [line.words for line in run.progress]) == (words, [words])


def test_outcome_sentence_replaces_the_text_for_the_model() -> None:
    """R31: wherever that text comes back, in other words of an agent too."""
    outcomes = Outcomes()
    outcomes.marks.add("DONE")
    for became in OutcomeKind:
        outcomes.add(Outcome("clerk", Kind.TOOL, became, "pay", result="paid"), f"FOR THE MODEL: {became}")
    assert outcomes.for_people("Well:\nFOR THE MODEL: expired\n\nDONE\n") == (
        "Well:\n“pay” was not done: nobody answered in time."
    )
    assert [one.became for one in outcomes.of("pay")] == list(OutcomeKind)
    assert outcomes.last("wire") is None


def test_handoff_between_agents_has_no_thread_line() -> None:
    """Its text is for the next agent; one to the user is for people."""
    said = for_people(TextMessage(content="Order 17 is paid.", source="triage"), Outcomes())
    assert said == "Order 17 is paid."
    to_agent = HandoffMessage(content="Transferred to clerk.", source="triage", target="clerk")
    to_user = HandoffMessage(content="Which order?", source="triage", target="user")
    assert (for_people(to_agent, Outcomes()), for_people(to_user, Outcomes())) == ("", "Which order?")
