"""The workspace's policy where requests are made."""

from dataclasses import replace
from datetime import timedelta

import pytest

from countersign import usecases
from countersign.domain.actions import Action
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.calls import canonical
from countersign.domain.channel_settings import OnTimeout, Risk
from countersign.domain.errors import Refused
from countersign.domain.events import EventType
from countersign.domain.ids import UserId
from countersign.domain.people import Reviewers
from countersign.domain.question_salts import asking
from countersign.domain.requests import Kind, Status, Verb
from countersign.policy import file
from countersign.policy.evaluation import Rulebook
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from tests.sample_requests import ALICE, BOB, CAROL, DAVE, attempt, call, question, rules
from tests.store_fixtures import NoQueue, card_is_there, place_card
from tests.usecases.test_usecases import kinds

POLICY = """\
version: 1
risks: {wire: high}
rules:
  - {name: big refunds, tool: refund, if: amount > 15, then: ask, quorum: 2, timeout: 4h, why: Money}
  - {name: small refunds, tool: refund, if: amount <= 15, then: allow}
  - {name: only Alice, tool: ship, then: ask, reviewers: [U0ALICE]}
  - {name: never, tool: drop_table, then: deny, why: Make a migration.}
"""


@pytest.fixture
async def policy(store: Store) -> None:
    await store.set_rulebook(file.understand(POLICY))


@pytest.mark.usefixtures("policy")
async def test_request_is_asked_under_the_strictest_rule(store: Store, lease: Lease) -> None:
    asked = await usecases.ask(store, lease, call(order=17, amount=20))
    assert asked.rules == rules(quorum=2, timeout=timedelta(hours=4), clause="big refunds", why="Money")
    assert asked.deadline == asked.created_at + timedelta(hours=4)


@pytest.mark.usefixtures("policy")
async def test_call_refused_by_policy_is_logged_and_not_asked(store: Store, lease: Lease) -> None:
    """R25: once, though a rebuilt run asks again."""
    asked = call()
    assert asked.call is not None
    forbidden = replace(asked, call=replace(asked.call, tool="drop_table"))
    for _ in range(2):
        with pytest.raises(Refused, match=r"rule “never”: Make a migration\."):
            await usecases.ask(store, lease, forbidden)
    assert (await kinds(store)).count(EventType.CALL_REFUSED) == 1
    assert EventType.REQUEST_ASKED not in await kinds(store)


@pytest.mark.usefixtures("policy")
async def test_undecidable_request_is_refused_before_it_is_asked(store: Store, lease: Lease) -> None:
    """R10: the only reviewer started the run."""
    asked = call()
    assert asked.call is not None
    with pytest.raises(Refused, match="can't decide on your own"):
        await usecases.ask(store, lease, replace(asked, call=replace(asked.call, tool="ship")))
    assert EventType.REQUEST_ASKED not in await kinds(store)


@pytest.mark.usefixtures("policy")
async def test_asking_team_overrules_a_permitting_policy(store: Store, lease: Lease) -> None:
    """Without a wish of the team the policy lets the small refund pass."""
    run = await store.run(lease.run)
    assert run is not None
    small = call(order=17, amount=5).call
    assert (await usecases.judge(store, run.value, "clerk", small, None)).then is Action.ALLOW
    assert (await usecases.judge(store, run.value, "clerk", small, Action.ASK)).then is Action.ASK


async def test_rule_for_an_agent_counts_for_all_its_humans(store: Store, lease: Lease) -> None:
    """R19: the rule, the card and the record mean the same agent."""
    rule = "  - {name: twice, agent: writer, then: ask, quorum: 2}"
    await store.set_rulebook(file.understand(f"version: 1\nrules:\n{rule}\n"))
    for agent in ("writer", asking("writer", "boss")):
        asked = await usecases.ask(store, lease, replace(question(), agent=agent))
        assert (asked.rules.clause, asked.rules.quorum) == ("twice", 2)


async def test_high_risk_overrules_a_channels_approval_by_timeout(store: Store, lease: Lease) -> None:
    """R23."""
    await store.set_defaults(rules(on_timeout=OnTimeout.APPROVE))
    await store.set_rulebook(file.understand(POLICY))
    asked = call()
    assert asked.call is not None
    risky = await usecases.ask(store, lease, replace(asked, call=replace(asked.call, tool="wire")))
    assert (risky.rules.risk, risky.rules.on_timeout) == (Risk.HIGH, OnTimeout.REJECT)


@pytest.mark.parametrize("meanwhile", ["the channel says otherwise", "the policy calls it of high risk"])
async def test_silent_approval_needs_the_setting_at_the_deadline(store: Store, lease: Lease, meanwhile: str) -> None:
    """R23."""
    await store.set_defaults(rules(on_timeout=OnTimeout.APPROVE, timeout=timedelta(milliseconds=1)))
    asked = await usecases.ask(store, lease, call())
    if "channel" in meanwhile:
        await store.set_defaults(rules())
    else:
        await store.set_rulebook(Rulebook(risks=(("refund", Risk.HIGH),)))
    await place_card(store, asked)
    settled = await usecases.catch_up(store, NoQueue(), asked.id, card_is_there)
    assert settled is not None and settled.status is Status.EXPIRED


async def test_doubt_about_a_high_risk_action_is_high_risk(store: Store, lease: Lease) -> None:
    """R13: of a doubt the agent is what may have happened."""
    await store.set_rulebook(file.understand(POLICY))
    for name, risk in (("wire", Risk.HIGH), ("refund", Risk.LOW)):
        asked = await usecases.ask(store, lease, question(f"Did {name} happen?", kind=Kind.IN_DOUBT, agent=name))
        assert asked.rules.risk is risk


@pytest.mark.usefixtures("policy")
async def test_doubt_needs_reviewers_who_may_approve_the_action(store: Store, lease: Lease) -> None:
    """R9, R11, R19: a doubt does not tell the arguments, so the strictest rule counts that may have held."""
    doubt = question("Did refund happen?", kind=Kind.IN_DOUBT, agent="refund")
    asked = await usecases.ask(store, lease, doubt)
    assert (asked.rules.quorum, asked.rules.clause) == (2, "big refunds")
    voted = await usecases.decide(store, NoQueue(), asked.id, attempt(asked))
    assert voted.status is Status.PENDING
    assert (await usecases.decide(store, NoQueue(), asked.id, attempt(asked, CAROL))).status is Status.APPROVED
    other = await usecases.ask(store, lease, question("Did send happen?", kind=Kind.IN_DOUBT, agent="send"))
    assert other.rules == rules()


async def test_doubt_is_closed_to_requesters_where_a_rule_says(store: Store, lease: Lease) -> None:
    """R10"""
    await store.set_defaults(rules(own_requests=True, reviewers=Reviewers(frozenset({ALICE, BOB, CAROL}))))
    await store.set_rulebook(file.understand(SMALL))
    asked = await usecases.ask(store, lease, question("Did refund happen?", kind=Kind.IN_DOUBT, agent="refund"))
    assert not asked.rules.own_requests


@pytest.mark.usefixtures("policy")
async def test_doubt_is_asked_although_one_rule_leaves_nobody(store: Store, lease: Lease) -> None:
    """R10: under that rule nobody could have been asked, so it was not the one that held."""
    asked = await usecases.ask(store, lease, question("Did ship happen?", kind=Kind.IN_DOUBT, agent="ship"))
    assert asked.rules == rules()


async def test_doubt_about_a_run_ignores_the_policy(store: Store, lease: Lease) -> None:
    """A policy that denies everything does not hide it."""
    await store.set_rulebook(file.understand("version: 1\nrules: [{name: nothing, then: deny}]"))
    assert await usecases.ask(store, lease, question(kind=Kind.IN_DOUBT))
    with pytest.raises(Refused, match="nothing"):
        await usecases.ask(store, lease, question())


async def test_request_without_a_policy_follows_the_channel(store: Store, lease: Lease) -> None:
    assert (await usecases.ask(store, lease, question())).rules == rules()
    assert {BOB, CAROL} == rules().reviewers.users
    assert ALICE not in rules().reviewers.users


SMALL = """\
version: 1
rules:
  - {name: small refunds, tool: refund, if: amount <= 20, then: ask, reviewers: [U0ALICE, U0DAVE, U0BOB]}
  - {name: not their own, tool: refund, if: amount == 21, then: ask, own_requests: false}
  - {name: only Dave, tool: refund, if: amount == 22, then: ask, reviewers: [U0DAVE]}
  - {name: two, tool: refund, if: amount == 23, then: ask, quorum: 2}
  - {name: never, tool: refund, if: amount == 24, then: deny}
"""
EDITS = [
    (DAVE, 10, True),
    (DAVE, 500, False),  # whom the channel names decides on these, and that is not Dave
    (BOB, 500, True),
    (DAVE, 22, True),
    (BOB, 22, False),
    (ALICE, 10, True),
    (ALICE, 21, False),
    (BOB, 21, True),
    (BOB, 23, False),
    (BOB, 24, False),
]


@pytest.mark.parametrize(("who", "amount", "may"), EDITS)
async def test_edit_needs_a_reviewer_of_the_changed_call(
    store: Store, lease: Lease, who: UserId, amount: int, may: bool
) -> None:
    """R9, R19: else whom a rule names for small things decides on large ones, by an edit."""
    await store.set_defaults(rules(own_requests=True, reviewers=Reviewers(frozenset({ALICE, BOB, CAROL}))))
    await store.set_rulebook(file.understand(SMALL))
    asked = await usecases.ask(store, lease, call(order=17, amount=20))
    edit = attempt(asked, who, Verb.EDIT, arguments=canonical({"order": 17, "amount": amount}))
    if may:
        assert (await usecases.decide(store, NoQueue(), asked.id, edit)).status is Status.EDITED
        return
    with pytest.raises(Refused) as refused:
        await usecases.decide(store, NoQueue(), asked.id, edit)
    assert refused.value.refusal is Refusal.EDIT_UNDER_ANOTHER_RULE


async def test_each_action_is_decided_by_its_rules_reviewers(store: Store, lease: Lease) -> None:
    """R9, S12: Carol decides on large refunds, Bob on the others; neither decides on the other's."""
    large = "  - {name: large, tool: refund, if: amount > 100, then: ask, reviewers: [U0CAROL]}"
    small = "  - {name: small, tool: refund, if: amount <= 100, then: ask, reviewers: [U0BOB]}"
    await store.set_rulebook(file.understand(f"version: 1\nrules:\n{large}\n{small}\n"))
    for amount, named, other in ((500, CAROL, BOB), (20, BOB, CAROL)):
        asked = await usecases.ask(store, lease, call(order=17, amount=amount))
        with pytest.raises(Refused) as refused:
            await usecases.decide(store, NoQueue(), asked.id, attempt(asked, other, Verb.APPROVE))
        assert refused.value.refusal is Refusal.NOT_A_REVIEWER
        decided = await usecases.decide(store, NoQueue(), asked.id, attempt(asked, named, Verb.APPROVE))
        assert decided.status is Status.APPROVED
