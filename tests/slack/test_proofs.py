"""What needs a proof, in Slack: cards lead to its page, clicks that approve are refused, and enrolments are told."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.slack.handlers.context import Services
from bot.slack.views import approval_card
from countersign import usecases
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.events import EventType
from countersign.domain.people import Actor
from countersign.domain.proof import Proof
from countersign.domain.requests import Request, Status
from countersign.store.store import Store
from countersign.usecases import passkeys
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from localslack.workspace import Message
from tests.bot.test_passkeys import enrolled
from tests.sample_requests import BOB, CAROL, GENERAL, HERE, call
from tests.slack.conftest import PAGES
from tests.slack.socket_bot import events, newest_ephemeral, post
from tests.slack.test_projector import all_drawn, running_projector
from tests.store_fixtures import change_settings


@pytest.fixture
async def drawn(slack: LocalSlack, store: Store) -> AsyncIterator[None]:
    """Slack is drawn from the events."""
    async with running_projector(slack, store, pages=PAGES):
        yield


async def asked(store: Store, lease: Lease, proof: Proof = Proof.PASSKEY) -> Request:
    await change_settings(store, Actor(HERE, BOB, is_admin=True), lambda own: replace(own, proof=proof))
    return await usecases.ask(store, lease, call())


def buttons(card: Message) -> list[tuple[str, str]]:
    """The labels of a card's buttons, with the addresses of links."""
    elements = [one for block in card.blocks or [] for one in block.get("elements", ()) if one.get("type") == "button"]
    return [(one["text"]["text"], one.get("url", "")) for one in elements]


async def linked_card(slack: LocalSlack) -> Message:
    return await slack.wait_message("#approvals", lambda m: "Approve with passkey…" in m.buttons)


async def test_card_needing_proof_links_to_its_page_and_rejects(
    slack: LocalSlack, store: Store, lease: Lease, bot_with_pages: Services, drawn: None
) -> None:
    of = await asked(store, lease)
    card = await linked_card(slack)
    assert buttons(card)[:2] == [("Approve with passkey…", f"{PAGES}/requests/{of.id}"), ("Reject", "")]
    assert "sign with your passkey on the request's page" in text_of(card)
    bob = slack.user("bob")
    await bob.click(card, "Approve with passkey…")
    seen = await store.request(of.id)
    assert seen is not None and seen.value.status is Status.PENDING
    assert bob.ephemerals == []
    await bob.click(card, "Reject")
    await bob.wait_modal("Reject")
    assert await bob.submit() == {}
    await slack.wait_message("#approvals", lambda m: "Rejected" in text_of(m))


async def test_click_without_proof_is_refused_with_instructions(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services
) -> None:
    """A button that approves, as it stood on a card of another time, or as somebody made it up."""
    of = await asked(store, lease)
    run = await store.run(of.run)
    assert run is not None
    clickable = replace(of, rules=replace(of.rules, proof=Proof.SLACK))
    card = await post(slack, store, bot, approval_card.card(clickable, run=run.value, run_link=None), of)
    bob = slack.user("bob")
    for times, click in enumerate(("Approve", "Edit…", "Approve and don't ask again…"), 1):
        await bob.click(card, click, stale=True)
        assert "use the link on its card" in await newest_ephemeral(bob, times)
    refused = [one.data["refusal"] for one in await events(store) if one.type is EventType.ATTEMPT_REFUSED]
    assert refused == [Refusal.NEEDS_PASSKEY.name.lower()] * 3


async def test_proof_without_pages_cannot_be_set(slack: LocalSlack, store: Store, bot: Services) -> None:
    said = await slack.user("alice").command("/approvals proof passkey", "#general")
    assert "Set PUBLIC_URL where the app runs first" in said.text
    assert "Nothing was changed" in said.text
    said = await slack.user("alice").command("/approvals proof fingerprint", "#general")
    assert "isn't one of `slack`, `oidc`, `passkey`" in said.text


async def test_loosening_under_proof_leads_to_its_page(
    slack: LocalSlack, store: Store, bot_with_pages: Services, drawn: None
) -> None:
    """R33: the admin's click loosens nothing, and the approvals channel reads of it."""
    alice = slack.user("alice")
    assert (await alice.command("/approvals proof passkey", "#general")).text.startswith("Saved.")
    said = await alice.command("/approvals proof slack", "#general")
    assert f"{PAGES}/settings/" in said.text
    assert "an admin must confirm it with one" in said.text
    notice = await slack.wait_message("#approvals", lambda m: "wants to loosen the rules" in m.text)
    ((label, page),) = buttons(notice)
    assert (label, page.startswith(f"{PAGES}/settings/")) == ("Loosen rules with passkey…", True)
    assert (await usecases.rules_of(store, GENERAL)).proof is Proof.PASSKEY


async def test_inherited_loosening_needs_the_inheriting_channels_proof(
    slack: LocalSlack, store: Store, bot_with_pages: Services, drawn: None
) -> None:
    """R33: #general names its proof, and inherits the quorum of the channel where its cards go."""
    alice = slack.user("alice")
    assert (await alice.command("/approvals quorum 2", "#approvals")).text.startswith("Saved.")
    assert (await alice.command("/approvals proof passkey", "#general")).text.startswith("Saved.")
    said = await alice.command("/approvals quorum 1", "#approvals")
    assert f"{PAGES}/settings/" in said.text
    assert "rules that need a passkey" in said.text
    assert (await usecases.rules_of(store, GENERAL)).quorum == 2
    assert (await alice.command("/approvals quorum 2", "#general")).text.startswith("Saved.")
    assert "/settings/" not in (await alice.command("/approvals quorum 1", "#approvals")).text


async def test_enrolment_and_revocation_are_announced(slack: LocalSlack, store: Store) -> None:
    """In the approvals channel, and to the person: a code, an enrolment and a revocation."""
    key = await enrolled(store, BOB)
    await passkeys.revoke(store, BOB, key.credential, Actor(HERE, CAROL, is_admin=True), frozenset())
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    for place, whose in (("#approvals", "of <@U0BOB>"), (slack.workspace.direct("U0BOB").id, "of yours")):
        texts = [text_of(message) for message in slack.channel(place).messages]
        code, enrolment, revocation = (text for text in texts if ":key:" in text)
        assert "the operator root made a code" in code
        assert "with a code of the operator root" in enrolment
        assert "Its name: Bob's phone" in enrolment
        assert f"<@U0CAROL> revoked a passkey {whose}" in revocation
