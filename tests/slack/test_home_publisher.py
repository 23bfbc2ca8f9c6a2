"""A Home over the local Slack: drawn when it is opened, live for those whom something concerns, at a pace."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bot.audit import receipts
from bot.audit.auditor import Auditor
from bot.slack.handlers.context import Services
from bot.slack.ports import Importance
from bot.slack.projector.home_publisher import HomePublisher
from bot.slack.projector.message_sync import Poster
from bot.slack.projector.projector import Projector
from bot.slack.slack_calls import GatedCalls
from countersign import usecases
from countersign.domain import runs
from countersign.domain.hash_chain import START
from countersign.domain.ids import GroupId, UserId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Question, Request, Scope, Verb
from countersign.domain.run_calls import Finish
from countersign.domain.standing_permissions import PermissionChoice, Span
from countersign.store.audit_log import Ledger
from countersign.store.outbox import Outbox
from countersign.store.request_lists import Overview
from countersign.store.store import Store
from countersign.usecases import delegation, permission_use
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.fixtures import HURRY
from localslack.person import Person
from tests.sample_requests import ALICE, BOB, CAROL, DAVE, HERE, OURS, attempt, call, choice, question, rules
from tests.slack.socket_bot import Show, redis_away, unconnected_bot
from tests.slack.test_projector import all_drawn
from tests.store_fixtures import NoQueue, update_lists

REVIEWERS = GroupId("S0REVIEWERS")
RATELIMITED = pytest.param("ratelimited", marks=pytest.mark.slow)
"""Slack says for how many whole seconds."""


@asynccontextmanager
async def living(
    slack: LocalSlack, store: Store, services: Services, each: float = 0.1
) -> AsyncIterator[HomePublisher]:
    """A projector at work, and HomePublisher that it tells of what it drew."""
    span = timedelta(seconds=each)
    homes = HomePublisher(
        store, Overview(store), services.directory, GatedCalls(services.client, HURRY), services.link, each=span
    )
    poster = Poster(GatedCalls(services.client, HURRY), store, HERE, slack.url, OURS)
    projector = Projector(store, Outbox(store), poster, "web-1", drawn=homes.changed)
    tasks = [asyncio.create_task(projector.run()), asyncio.create_task(homes.run())]
    try:
        yield homes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def shown(person: Person, *words: str, without: str = "⟦") -> str:
    """The Home's text once it has all of the words, and not that one."""

    def now() -> str:
        return text_of(person.home.json) if person.home else ""

    await person.slack.wait_for(
        lambda _: all(w in now() for w in words) and without not in now(), description=f"{words}"
    )
    return now()


def published(slack: LocalSlack) -> list[str]:
    return [call.args["user_id"] for call in slack.calls if call.method == "views.publish"]


async def ask(store: Store, lease: Lease, asked: Question) -> Request:
    """Asked, and in the lists."""
    request = await usecases.ask(store, lease, asked)
    await update_lists(store)
    return request


async def decided(store: Store, request: Request, verb: Verb = Verb.APPROVE) -> Request:
    return await usecases.decide(store, NoQueue(), request.id, attempt(request, BOB, verb, name=request.id))


async def test_home_lists_waiting_requests_with_links_to_their_cards(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, show: Show
) -> None:
    """For each person those that they may decide, and their own runs."""
    card = await show(await ask(store, lease, question()))
    bob, alice = slack.user("bob"), slack.user("alice")
    await bob.open_home()
    text = await shown(bob, "Waiting for you (1)", "send this mail", "<@U0ALICE>", "<#C0GENERAL>", "Expires")
    assert f"archives/C0APPROVALS/p{card.ts.replace('.', '')}|open the card" in text
    assert "No runs in progress" in text and "No decisions yet" in text
    await alice.open_home()
    text = await shown(alice, "Nothing is waiting for you", "Your runs (1)", "Waiting: send this mail", "10% off")
    assert "Waiting for a decision" in text


async def test_receipt_is_verifiable_with_the_public_key_alone(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, tmp_path: Path
) -> None:
    """R25: neither our program nor our machines; and there is no such section before there is a key."""
    file = tmp_path / "key.pem"
    public = partial(receipts.public_if_made, file)
    reading = (store, Overview(store), bot.directory, GatedCalls(bot.client, HURRY), bot.link)
    homes = HomePublisher(*reading, public_key=public, admins=frozenset({BOB}))
    bob = slack.user("bob")
    await homes.opened(BOB)
    assert "receipts" not in await shown(bob, "Nothing is waiting for you")
    key = receipts.private_key(file)
    done = await decided(store, await ask(store, lease, question()))
    await Auditor(store, "web").catch_up()
    found = [kept async for _, kept in Ledger(store).all() if kept.fields().get("request") == done.id]
    said = json.loads(receipts.receipt(done.id, found, START, await store.now(), key))

    await homes.opened(BOB)
    await shown(bob, "For admins: decision receipts", "countersign audit check receipt.json --key public.pem")
    await homes.opened(CAROL)
    assert "receipts" not in await shown(slack.user("carol"), "Nothing is waiting for you")
    assert bob.home is not None
    boxes = [part for block in bob.home.json["blocks"] for part in block.get("elements", ())]
    (box,) = [part for part in boxes if part.get("type") == "rich_text_preformatted"]
    pem = load_pem_public_key(box["elements"][0]["text"].encode())
    assert isinstance(pem, Ed25519PublicKey)
    signature = base64.b64decode(said.pop("signature"))
    pem.verify(signature, json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    said["request"] = "qother"
    with pytest.raises(InvalidSignature):
        pem.verify(signature, json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    file.write_text("no key")
    await homes.opened(BOB)
    await shown(bob, "Nothing is waiting for you", without="receipts")


async def test_request_for_a_group_is_listed_for_its_members(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R9: by what Slack says of the group; what it does not say is told, and nothing is guessed."""
    await store.set_defaults(rules(reviewers=Reviewers(groups=frozenset({REVIEWERS}))))
    await ask(store, lease, question())
    slack.faults.add("error", on="usergroups.list", error="fatal_error", times=None)
    bob, dave = slack.user("bob"), slack.user("dave")
    await bob.open_home()
    assert "send this mail" not in await shown(bob, "didn't confirm whether you are in <!subteam^S0REVIEWERS>")
    slack.faults.clear()
    await bob.open_home()
    await shown(bob, "Waiting for you (1)", "send this mail")
    await dave.open_home()
    await shown(dave, "Nothing is waiting for you")


@pytest.mark.parametrize("named", [Reviewers(frozenset({BOB, CAROL})), Reviewers(groups=frozenset({REVIEWERS}))])
async def test_tied_choice_is_listed_again_for_all_its_voters(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, named: Reviewers
) -> None:
    """R11: each may choose anew, and nobody's list said so."""
    await store.set_defaults(rules(reviewers=named, quorum=2))
    asked = await ask(store, lease, choice("eu", "us"))
    people = slack.user("bob"), slack.user("carol")

    async def choose(user: UserId, chosen: str, name: str = "") -> None:
        groups = named.groups or frozenset()
        both = tuple(Actor(HERE, one, groups) for one in (BOB, CAROL))
        one = attempt(asked, user, Verb.CHOOSE, name, chosen=(chosen,), groups=groups, voters=both)
        await usecases.decide(store, NoQueue(), asked.id, one)
        await update_lists(store)

    await choose(BOB, "eu")
    for person, says in zip(people, ("Nothing is waiting for you", "Waiting for you (1)"), strict=True):
        await person.open_home()
        await shown(person, says)
    await choose(CAROL, "us")
    for person in people:
        await person.open_home()
        await shown(person, "Waiting for you (1)", "1 of 2 matching choices")
    await choose(CAROL, "eu", "anew")
    for person in people:
        await person.open_home()
        await shown(person, "Nothing is waiting for you")


@pytest.mark.parametrize(("who", "sees"), [("greta", "Your runs"), ("sam", "Only members of the workspace")])
async def test_home_lists_no_request_that_its_person_cannot_decide(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, who: str, sees: str
) -> None:
    """R9: even where somebody named them."""
    person = slack.user(who)
    await store.set_defaults(rules(reviewers=Reviewers(frozenset({BOB, UserId(person.id)}))))
    await ask(store, lease, question())
    await person.open_home()
    assert "send this mail" not in await shown(person, sees)


async def test_home_lists_nothing_while_slack_hides_the_person(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R9"""
    await ask(store, lease, question())
    slack.faults.add("error", on="users.info", error="fatal_error", times=None)
    bob = slack.user("bob")
    await bob.open_home()
    assert "send this mail" not in await shown(bob, "didn't confirm whether you can decide")


async def test_open_home_follows_changes_that_concern_its_person(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R6: drawn from the store, after the card stands."""
    bob, alice, dave = (slack.user(name) for name in ("bob", "alice", "dave"))
    async with living(slack, store, bot):
        for person in (bob, alice, dave):
            await person.open_home()
            await shown(person, "Recent decisions")
        asked = await ask(store, lease, question())
        assert "open the card" in await shown(bob, "Waiting for you (1)", "send this mail")
        await shown(alice, "Waiting: send this mail")
        await decided(store, asked, Verb.REJECT)
        await shown(bob, "Nothing is waiting for you", "Rejected", "<@U0BOB>")
        await shown(alice, "Rejected", without="Waiting:")
        await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
        await shown(alice, "No runs in progress", "|open>")
    assert published(slack).count("U0DAVE") == 1, "nothing of this concerns Dave"
    assert "U0CAROL" not in published(slack), "who has not opened it gets no Home"


async def posted(slack: LocalSlack, times: int) -> None:
    await slack.wait_for(lambda _: len(slack.channel("#approvals").messages) >= times)


async def test_burst_redraws_an_open_home_only_a_few_times(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """The last drawing shows the last state."""
    bob = slack.user("bob")
    async with living(slack, store, bot, each=1.0):
        await bob.open_home()
        await shown(bob, "Nothing is waiting")
        started = asyncio.get_running_loop().time()
        for number in range(20):
            await ask(store, lease, question(f"mail {number}", agent=f"agent {number}"))
            await posted(slack, number + 1)
        await shown(bob, "Waiting for you (20)", "and 10 more", without="not posted yet")
        took = asyncio.get_running_loop().time() - started
    assert published(slack).count("U0BOB") <= 2 + took / 1.0


async def test_messages_tab_does_not_draw_the_home(slack: LocalSlack, store: Store, bot: Services) -> None:
    bob = slack.user("bob")
    await bob.open_home("messages")
    await bob.open_home()
    await shown(bob, "Waiting for you")
    await bot.drain()
    assert published(slack) == ["U0BOB"]


async def test_home_lists_own_standing_permissions_until_revoked(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R6, R24: to nobody else, and it follows the use and the end."""
    asked = await ask(store, lease, call())
    bob, alice = slack.user("bob"), slack.user("alice")
    async with living(slack, store, bot):
        for person in (bob, alice):
            await person.open_home()
            await shown(person, "Recent decisions", without="Standing permissions")
        approved = attempt(asked, BOB, permission=PermissionChoice(Scope.TOOL, Span.HOUR))
        await usecases.decide(store, NoQueue(), asked.id, approved)
        await shown(
            bob, "Standing permissions (1)", "*refund* (`refund`) with any values in <#C0GENERAL>", "not used yet"
        )
        await shown(alice, "*Approved* by <@U0BOB>", without="Standing permissions")
        await all_drawn(slack, store)
    (standing,) = await store.permissions()
    async with living(slack, store, bot):  # nothing is left to draw of what was before
        await permission_use.revoke(store, standing.value.id, Actor(HERE, BOB), frozenset())
        await shown(bob, "Recent decisions", without="Standing permissions")


async def test_home_says_that_redis_is_away(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R7"""
    bob = slack.user("bob")
    async with redis_away(store):
        await bob.open_home()
        await shown(bob, "can't reach its database", "Nothing is lost")
    await bob.open_home()
    await shown(bob, "Nothing is waiting")


async def test_opened_home_does_not_wait_for_background_redraws(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R35: what follows takes three fifths of what Slack takes of views.publish in a minute."""
    calls = GatedCalls(bot.client, 10)
    for _ in range(60):
        async with calls.gate("views.publish").turn("", Importance.REST, None):
            pass
    homes = HomePublisher(store, Overview(store), bot.directory, calls, bot.link)
    following = asyncio.create_task(homes.draw(BOB))
    await homes.opened(CAROL)
    assert [call.args["user_id"] for call in slack.calls if call.method == "views.publish"] == [CAROL]
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


@pytest.mark.parametrize("fault", [RATELIMITED, "server_error", "lost_request"])
async def test_home_that_slack_refused_is_drawn_later(
    slack: LocalSlack, store: Store, bot: Services, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R21"""
    monkeypatch.setattr("bot.slack.projector.home_publisher.LATER", timedelta(seconds=0.1))
    options = {"ratelimited": {"retry_after": 1}, "server_error": {"status": 503}, "lost_request": {}}[fault]
    slack.faults.add(fault, on="views.publish", times=3, **options)
    bob = slack.user("bob")
    async with living(slack, store, bot) as homes:
        await homes.opened(BOB)
        await shown(bob, "Nothing is waiting")


async def test_home_overwritten_with_older_state_is_drawn_again(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R6: two processes, one of which read before the other and drew after it."""
    bob = slack.user("bob")
    slack.faults.add("delay", on="views.publish", seconds=1)
    slow = HomePublisher(
        store,
        Overview(store),
        bot.directory,
        GatedCalls(bot.client, HURRY),
        bot.link,
        each=timedelta(seconds=0.1),
    )
    running = asyncio.create_task(slow.run())  # and no projector that would tell it of what happens
    opening = asyncio.create_task(slow.opened(BOB))
    await slack.wait_for(lambda _: not slack.faults.active, description="what the first one read, on its way")
    async with unconnected_bot(slack, store) as (other, _, _):
        await ask(store, lease, question())
        assert isinstance(other.homes, HomePublisher)
        await other.homes.draw(BOB)
        await shown(bob, "Waiting for you (1)")
        assert not opening.done()
    await opening
    await shown(bob, "Waiting for you (1)")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("replaced", [False, True])
async def test_home_of_a_former_stand_in_lists_nothing_inherited(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, replaced: bool
) -> None:
    """R6, R9: what waits comes with the place and goes with it, also when somebody else stands in from now on."""
    await usecases.ask(store, lease, question())
    bob, dave, alice = [await bot.directory.actor(name) for name in (BOB, DAVE, ALICE)]
    person, until = slack.user("dave"), await store.now() + timedelta(days=1)
    async with living(slack, store, bot):
        await all_drawn(slack, store)
        await person.open_home()
        await shown(person, "Nothing is waiting")
        await delegation.leave(store, bob, dave, until)
        await shown(person, "Waiting for you (1)", "send this mail")
        if replaced:
            await delegation.leave(store, bob, alice, until)
        else:
            await delegation.come_back(store, bob)
        await shown(person, "Nothing is waiting for you")


async def test_ended_run_removes_its_permissions_from_the_lists(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """R6, R24: from the Home of who gave it, and from `/approvals permissions`."""
    asked = await ask(store, lease, call())
    bob = slack.user("bob")
    async with living(slack, store, bot):
        await bob.open_home()
        await usecases.decide(
            store, NoQueue(), asked.id, attempt(asked, BOB, permission=PermissionChoice(Scope.TOOL, Span.RUN))
        )
        await shown(bob, "Standing permissions (1)", "in one run")
        assert "1 standing permission" in (await bob.command("/approvals permissions")).text
        await usecases.finish(store, lease, Finish(runs.Verb.FINISH, result="done"))
        await shown(bob, "Recent decisions", without="Standing permissions")
        assert "No standing permission" in (await bob.command("/approvals permissions")).text
