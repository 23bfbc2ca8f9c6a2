"""A worker writes the rules of what it asks; web counts by those that the settings and the policy give it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from countersign import usecases
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.channel_settings import ChannelSettings, OnTimeout, Risk
from countersign.domain.errors import Refused
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId, GroupId, RunId
from countersign.domain.people import Reviewers
from countersign.domain.requests import How, Request, Status
from countersign.domain.runs import Run
from countersign.policy.evaluation import Clause, Effect, Rulebook
from countersign.store.record_codecs import REQUESTS, RUNS
from countersign.usecases.ports import Change, Claimed, Message, Put
from tests.sample_requests import ALICE, BOB, CAROL, DAVE, GENERAL, HERE, attempt, question, rules
from tests.slack.socket_bot import events
from tests.store.two_users import Sides, start
from tests.store_fixtures import NoQueue, new_run

LAX = ChannelId("C0LAX")


async def ask(sides: Sides) -> Request:
    """As an honest worker does it, in a run of Alice's that web started."""
    await start(sides)
    return await usecases.ask(sides.agents, await new_run(sides.agents, "rtest"), question())


async def forge(sides: Sides, made: Request, /, **terms: Any) -> Request:
    """Past all of our own code, as the worker's user: the same question with other rules."""
    own = {name: terms.pop(name) for name in ("requester", "channel", "created_at", "deadline") if name in terms}
    forged = replace(made, rules=replace(made.rules, **terms), **own)
    await sides.agents.client.set(sides.agents.keys.asked(made.id), REQUESTS.write(forged, 1), px=60_000)
    return forged


async def forge_run(sides: Sides, **claims: Any) -> None:
    seen = await sides.agents.run(RunId("rtest"))
    assert seen is not None
    forged: Run = replace(seen.value, **claims)
    await sides.agents.client.set(sides.agents.keys.run(forged.id), RUNS.write(forged, seen.version), px=60_000)


async def seen(sides: Sides, made: Request) -> Claimed:
    found = await usecases.admitted(sides.web, made.id)
    assert found is not None
    return found


async def kinds(sides: Sides) -> list[EventType]:
    return [event.type for event in await events(sides.web)]


LAXER: dict[str, tuple[dict[str, Any], dict[str, Any], Refusal]] = {
    "reviewers": ({"reviewers": Reviewers(frozenset({DAVE}))}, {"user": DAVE}, Refusal.NOT_A_REVIEWER),
    "a group": (
        {"reviewers": Reviewers(frozenset(), frozenset({GroupId("S0MINE")}))},
        {"user": DAVE, "groups": frozenset({"S0MINE"})},
        Refusal.NOT_A_REVIEWER,
    ),
    "own requests": ({"own_requests": True}, {"user": ALICE}, Refusal.OWN_REQUEST),
    "another requester": ({"requester": DAVE}, {"user": ALICE}, Refusal.OWN_REQUEST),
    "break-glass": (
        {"break_glass": True},
        {"user": ALICE, "break_glass": True, "words": "Now!"},
        Refusal.NO_BREAK_GLASS,
    ),
    "a longer time": ({"deadline": None, "on_timeout": OnTimeout.WAIT}, {}, Refusal.TIME_RAN_OUT),
}


@pytest.mark.parametrize("what", LAXER)
async def test_nothing_is_decided_by_laxer_rules_that_a_worker_wrote(sides: Sides, what: str) -> None:
    """R9, R10: who may, and until when, is what the channel says, which no worker can write."""
    terms, tries, refusal = LAXER[what]
    own = frozenset({ALICE, BOB}) if refusal is Refusal.OWN_REQUEST else frozenset({BOB, CAROL})
    short = timedelta(milliseconds=1) if refusal is Refusal.TIME_RAN_OUT else timedelta(hours=1)
    await sides.web.set_defaults(rules(reviewers=Reviewers(own), timeout=short))
    made = await ask(sides)
    forged = await forge(sides, made, **terms)
    with pytest.raises(Refused) as refused:
        await usecases.decide(sides.web, NoQueue(), made.id, attempt(forged, **tries))
    assert refused.value.refusal is refusal
    counted = await seen(sides, made)
    assert counted.value.rules == made.rules
    assert (counted.value.requester, counted.value.deadline) == (made.requester, made.deadline)
    assert EventType.RULES_REPLACED in await kinds(sides)


async def test_a_smaller_quorum_counts_as_the_channels(sides: Sides) -> None:
    """R11"""
    await sides.web.set_defaults(rules(quorum=2))
    forged = await forge(sides, await ask(sides), quorum=1)
    voted = await usecases.decide(sides.web, NoQueue(), forged.id, attempt(forged))
    assert (voted.status, len(voted.votes), voted.rules.quorum) == (Status.PENDING, 1, 2)


async def test_a_smaller_risk_is_the_policys(sides: Sides) -> None:
    await sides.web.set_rulebook(Rulebook(risks=(("*", Risk.HIGH),)))
    forged = await forge(sides, await ask(sides), risk=Risk.LOW)
    assert (await seen(sides, forged)).value.rules.risk is Risk.HIGH


async def test_what_the_policy_refuses_is_asked_by_nobody(sides: Sides) -> None:
    """R19: a worker that asks past the policy gets no answer from people."""
    made = await ask(sides)
    await sides.web.set_rulebook(Rulebook((Clause("no mails", Effect.REFUSE, 1),)))
    with pytest.raises(Refused, match="Already decided"):
        await usecases.decide(sides.web, NoQueue(), made.id, attempt(made))
    settled = (await seen(sides, made)).value
    assert settled.decision is not None
    assert (settled.status, settled.decision.how, settled.decision.by) == (Status.REJECTED, How.POLICY, ())
    assert "no mails" in settled.decision.words


CLAIMS: dict[str, tuple[dict[str, Any], Callable[[Request], Any]]] = {
    "another requester": ({"requester": DAVE}, lambda r: r.requester),
    "another channel": ({"channel": LAX}, lambda r: r.channel),
    "a program of one's own": ({"requester": DAVE, "by_script": True}, lambda r: r.requester),
}


@pytest.mark.parametrize("what", CLAIMS)
async def test_whose_run_it_is_and_where_a_worker_cannot_say_of_what_web_started(sides: Sides, what: str) -> None:
    """R9: else it asks where the rules are lax, or lets people decide on what they started."""
    claims, said = CLAIMS[what]
    await sides.web.commit(Change(settings={LAX: Put(ChannelSettings(reviewers=Reviewers(frozenset({DAVE}))), 0)}))
    made = await ask(sides)
    await forge_run(sides, **claims)
    lax = {"reviewers": Reviewers(frozenset({DAVE}))}
    await forge(sides, made, **lax, **{name: claim for name, claim in claims.items() if name != "by_script"})
    counted = (await seen(sides, made)).value
    assert said(counted) == said(made)
    assert counted.rules.reviewers == made.rules.reviewers
    run = (await sides.web.readable_runs([made.run]))[made.run]
    assert run is not None
    assert (run.requester, run.channel, run.by_script) == (ALICE, GENERAL, False)


async def test_a_question_from_the_future_has_the_channels_time_from_now(sides: Sides) -> None:
    """R20"""
    made = await ask(sides)
    later = made.created_at + timedelta(days=9)
    await forge(sides, made, created_at=later, deadline=later + made.rules.timeout)
    counted = await seen(sides, made)
    assert counted.value.deadline is not None
    assert counted.value.deadline <= counted.now + made.rules.timeout
    due = await sides.admin.zscore(sides.web.keys.pending, made.id)
    assert due == counted.value.deadline.timestamp() * 1000


async def test_on_the_usual_way_nothing_is_written_and_what_was_drawn_stays_as_it_was_asked(sides: Sides) -> None:
    """A request keeps the rules of the moment it was asked in; the card's own record says which those are."""
    made = await ask(sides)
    first = await seen(sides, made)
    assert first.value == made
    card = Message(HERE, made.rules.approvals_channel, f"card/{made.id}", vouches=first.claim)
    await sides.web.commit(Change(messages=(Put(card, 0),)))
    await sides.web.set_defaults(rules(reviewers=Reviewers(frozenset({CAROL}))))
    assert (await seen(sides, made)).value == made
    assert await sides.admin.exists(sides.web.keys.request(made.id)) == 0
    decided = await usecases.decide(sides.web, NoQueue(), made.id, attempt(made))
    assert decided.status is Status.APPROVED
    assert EventType.RULES_REPLACED not in await kinds(sides)


async def test_what_is_written_after_the_card_was_drawn_is_not_what_the_card_vouches_for(sides: Sides) -> None:
    """R9, R13: the rules on the card are those that count."""
    made = await ask(sides)
    card = Message(HERE, made.rules.approvals_channel, f"card/{made.id}", vouches=(await seen(sides, made)).claim)
    await sides.web.commit(Change(messages=(Put(card, 0),)))
    forged = await forge(sides, made, reviewers=Reviewers(frozenset({DAVE})))
    with pytest.raises(Refused) as refused:
        await usecases.decide(sides.web, NoQueue(), made.id, attempt(forged, DAVE))
    assert refused.value.refusal is Refusal.NOT_A_REVIEWER
