"""The verdict on chaos sees what it is there to see: each thing that must not be, planted by hand."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.slack.views import approval_card, run_steps, thread_notes
from bot.slack.views.spoken_text import spoken
from countersign.domain import request_endings, requests, runs
from countersign.domain.api_keys import AskingProgram
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.decision_attempts import decide
from countersign.domain.events import Event
from countersign.domain.ids import ApiKeyId, RequestId, UserId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Decision, Request, Status
from countersign.domain.runs import Run
from countersign.usecases.ports import Message
from localslack.workspace import Message as SlackMessage
from tests.chaos import programs
from tests.chaos.callback_receiver import Post
from tests.chaos.invariants import Verdict
from tests.chaos.observations import Facts
from tests.chaos.people import Given
from tests.chaos.plan import Task
from tests.sample_requests import ALICE, GENERAL, HERE, NOW, attempt, call, request, rules

REVIEWER = UserId("U0REV1")


def a_good_end() -> Facts:
    """One run that asked once, was approved, did it, and is shown as it is."""
    asked = replace(request(), rules=rules(reviewers=Reviewers(frozenset({REVIEWER}))))
    step = decide(asked, attempt(asked, REVIEWER), NOW + timedelta(seconds=1))
    queued = runs.start(
        asked.run, workspace=HERE, channel=GENERAL, requester=ALICE, team="single", task="a task", now=NOW
    )
    begun = runs.move(queued.run, runs.Verb.START, NOW)
    assert begun is not None
    over = runs.end(replace(begun, recent=(asked.id,)), runs.Verb.FINISH, NOW, result="done")
    steps = run_steps.steps(over.run, [run_steps.RequestOnCard(step.request)])
    names: dict[str, Any] = {
        f"card/{asked.id}": approval_card.card(step.request, run=over.run, run_link=None),
        f"progress/{asked.run}": run_steps.drawn_as_list(over.run, steps),
        f"run/{asked.run}": thread_notes.run_message(over.run),
        f"outcome/{asked.run}": thread_notes.outcome_note(over.run),
    }
    line = {"run": asked.run, "request": asked.id}
    heard = {**line, "outcome": "approved", "by": [REVIEWER], "words": ""}
    return Facts(
        given=[Given(Task("tag", "single", "#general", "alice", None), asked.run)],
        runs={asked.run: over.run},
        requests={asked.id: step.request},
        events=[(e.at, e) for e in (*queued.events, *step.events, *over.events)],
        messages={name: Message(HERE, GENERAL, name, ts=f"{n}.0") for n, name in enumerate(names)},
        shown={
            name: [SlackMessage(GENERAL, f"{n}.0", "U0BOT", spoken(drawing), [])]
            for n, (name, drawing) in enumerate(names.items())
        },
        left={"pending": []},
        effects=[line],
        heard=[heard],
        mails=[],
        tracebacks={},
    )


def wrong(facts: Facts) -> set[str]:
    return {name for name, cases in Verdict(facts).figures.items() if cases}


def test_clean_run_has_no_violation() -> None:
    """The facts of a run in which all went well."""
    assert wrong(a_good_end()) == set()


def the_run(facts: Facts) -> Run:
    return next(iter(facts.runs.values()))


def the_request(facts: Facts) -> Request:
    return next(iter(facts.requests.values()))


def decided(facts: Facts) -> Event:
    return next(e for _, e in facts.events if e.type == "request_decided")


def lose_the_run(facts: Facts) -> None:
    facts.given.append(Given(Task("other", "single", "#general", "alice", None), "rother"))


def stick(facts: Facts) -> None:
    facts.runs[the_run(facts).id] = replace(the_run(facts), status=runs.Status.WAITING)


def fail(facts: Facts) -> None:
    facts.runs[the_run(facts).id] = replace(the_run(facts), status=runs.Status.FAILED, result="KeyError")


def decide_twice(facts: Facts) -> None:
    facts.events.append((NOW, decided(facts)))


def decide_late(facts: Facts) -> None:
    facts.events = [(at + timedelta(days=1) if e is decided(facts) else at, e) for at, e in facts.events]


def hear_another(facts: Facts) -> None:
    facts.heard.append({**facts.heard[0], "outcome": "rejected"})


def act_twice(facts: Facts) -> None:
    facts.effects.append(facts.effects[0])


def mail_twice(facts: Facts) -> None:
    facts.effects.clear()
    facts.mails += [f"{the_request(facts).id}.{the_run(facts).id}@example.com"] * 2


def act_unasked(facts: Facts) -> None:
    facts.effects.append({**facts.effects[0], "request": "qother"})


def act_for_nobody(facts: Facts) -> None:
    facts.unheard.add(the_request(facts).id)


def approve_unseen(facts: Facts) -> None:
    silent = request_endings.expire(request(on_timeout=OnTimeout.APPROVE), NOW + timedelta(hours=1)).request
    facts.requests[silent.id] = silent


def not_act(facts: Facts) -> None:
    facts.effects.clear()


def show_twice(facts: Facts) -> None:
    shown = facts.shown[f"card/{the_request(facts).id}"]
    shown.append(replace(shown[0], ts="9.9"))


def show_an_orphan(facts: Facts) -> None:
    facts.shown["request/qother"] = [SlackMessage(GENERAL, "9.9", "U0BOT")]


def show_another(facts: Facts) -> None:
    facts.shown[f"card/{the_request(facts).id}"][0].text = "single asks for a decision"


def flaw_the_record(facts: Facts) -> None:
    facts.flaws.append("entry 2: is missing.")


def leave_one(facts: Facts) -> None:
    facts.left["pending"].append(the_request(facts).id)


def ask_no_people(facts: Facts) -> None:
    facts.programs["tag"] = []


def ask_twice(facts: Facts) -> None:
    heard_by_a_program(facts)
    facts.requests[RequestId("qagain")] = replace(the_request(facts), id=RequestId("qagain"))


def mislead(facts: Facts) -> None:
    heard_by_a_program(facts, outcome="rejected")


def lose_a_report(facts: Facts) -> None:
    heard_by_a_program(facts)


def heard_by_a_program(facts: Facts, **other: str) -> None:
    """The run is that of a program, which heard this; its report is another one."""
    request = the_request(facts)
    titled = replace(request.question, title=programs.TITLE.format("tag"))
    facts.requests[request.id] = replace(request, question=titled)
    facts.programs["tag"] = [{**facts.heard[0], "chosen": [], "tag": "tag", **other}]


def acted(facts: Facts, *times: int, **other: Any) -> None:
    """A program acted behind its approval, once for each of these, and each life reported."""
    request, run = the_request(facts), the_run(facts)
    made = replace(call(times=1), title=programs.TITLE.format("tag").replace("?", programs.ARGUMENT))
    asked = replace(
        request, question=made, program=AskingProgram(ApiKeyId("k123456789abc"), "ci", names_requester=False), **other
    )
    facts.requests[request.id], facts.programs["tag"] = asked, []
    facts.runs[run.id] = replace(run, result="", ended_at=NOW)
    for life, one in enumerate(times):
        line = {"tag": "tag", "life": life}
        facts.acts += [{**line, "times": one, "at": NOW.timestamp() - 1}, line]
    facts.heard.clear()
    facts.effects.clear()


def act_as_a_program_twice(facts: Facts) -> None:
    acted(facts, 1, 1)


def act_on_something_else(facts: Facts) -> None:
    acted(facts, 2)


def act_as_a_program_unasked(facts: Facts) -> None:
    acted(facts, 1, decision=replace(decision_of(the_request(facts)), outcome=Status.REJECTED))


def act_after_the_report(facts: Facts) -> None:
    acted(facts, 1)
    facts.acts[0]["at"] = NOW.timestamp() + 1


def decision_of(request: Request) -> Decision:
    assert request.decision is not None
    return request.decision


def told_by_a_callback(facts: Facts, *, signed: bool = True, outcome: str = "approved", taken: bool = True) -> None:
    request = the_request(facts)
    facts.requests[request.id] = replace(request, callback="https://example.com")
    said = {"outcome": outcome, "by": list(decision_of(request).by)}
    facts.posts.append(Post("msg", {"id": request.id, "decision": said}, signed, taken))


def lose_a_callback(facts: Facts) -> None:
    told_by_a_callback(facts, taken=False)


def forge_a_callback(facts: Facts) -> None:
    told_by_a_callback(facts, signed=False)


def say_otherwise_in_a_callback(facts: Facts) -> None:
    told_by_a_callback(facts, outcome="rejected")


def test_program_that_acted_once_causes_no_violation() -> None:
    """So is one that heard of its decision by a callback."""
    facts = a_good_end()
    acted(facts, 1)
    assert not wrong(facts) & {PROGRAMS, CALLBACKS}
    told_by_a_callback(facts)
    assert CALLBACKS not in wrong(facts)


def test_program_that_asked_and_reported_causes_no_violation() -> None:
    """It asked once, and reported what it did."""
    facts = a_good_end()
    heard_by_a_program(facts)
    facts.runs[the_run(facts).id] = replace(the_run(facts), result=programs.DONE.format("tag"))
    assert PROGRAMS not in wrong(facts)


CALLBACKS = "callbacks lost, forged or false"
PROGRAMS = "programs asked twice, misled or left alone"


@pytest.mark.parametrize(
    ("plant", "figure"),
    [
        (lose_the_run, "lost or doubled runs"),
        (stick, "stuck runs"),
        (fail, "runs failed without a reason"),
        (decide_twice, "double decisions"),
        (decide_late, "decisions that should not count"),
        (hear_another, "agents that got another decision"),
        (act_twice, "double actions"),
        (mail_twice, "double actions"),
        (act_unasked, "actions without approval"),
        (act_for_nobody, "done after its waiter had left"),
        (approve_unseen, "approved without a card"),
        (not_act, "approved actions missing"),
        (show_twice, "surviving duplicate messages"),
        (show_an_orphan, "surviving duplicate messages"),
        (show_another, "messages that disagree with the store"),
        (ask_no_people, PROGRAMS),
        (ask_twice, PROGRAMS),
        (mislead, PROGRAMS),
        (lose_a_report, PROGRAMS),
        (act_as_a_program_twice, PROGRAMS),
        (act_on_something_else, PROGRAMS),
        (act_as_a_program_unasked, PROGRAMS),
        (act_after_the_report, PROGRAMS),
        (lose_a_callback, CALLBACKS),
        (forge_a_callback, CALLBACKS),
        (say_otherwise_in_a_callback, CALLBACKS),
        (leave_one, "left in indexes"),
        (flaw_the_record, "flaws of the record"),
    ],
)
def test_each_planted_violation_is_seen(plant: Callable[[Facts], None], figure: str) -> None:
    facts = a_good_end()
    plant(facts)
    assert figure in wrong(facts)


@pytest.mark.parametrize("of_another", [False, True])
def test_action_repeated_by_peoples_decision_causes_no_violation(of_another: bool) -> None:
    """Only an answered doubt about this action makes a second execution right."""
    facts = a_good_end()
    act_twice(facts)
    about = "qother" if of_another else the_request(facts).id
    question = replace(the_request(facts).question, kind=requests.Kind.IN_DOUBT, content=f"act\n{about}")
    doubt = replace(the_request(facts), id=RequestId("qdoubt"), question=question)
    facts.requests[doubt.id] = doubt
    assert ("double actions" in wrong(facts)) is of_another
