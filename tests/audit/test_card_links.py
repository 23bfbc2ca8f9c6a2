"""Who approved this? Whoever asks has the card before them, and gives its link."""

import json

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.audit.auditor import Auditor
from countersign import usecases
from countersign.domain.ids import RunId
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, Message, text_of
from tests.audit.conftest import Audit, Said
from tests.sample_requests import HERE, question
from tests.slack.test_batch_card import ask
from tests.slack.test_projector import all_drawn, card_of, decide, running_projector
from tests.store_fixtures import new_run


@pytest.fixture(autouse=True)
async def here(store: Store) -> None:
    await store.set_workspace(HERE)


async def link(slack: LocalSlack, message: Message, channel: str = "#approvals") -> str:
    """What “Copy link” gives."""
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
    answer = await client.chat_getPermalink(channel=slack.channel(channel).id, message_ts=message.ts)
    return str(answer["permalink"])


def told(said: Said) -> set[str]:
    return {json.loads(line)["entry"].get("request") for line in said.out.splitlines()}


async def test_card_link_leads_to_its_entries(slack: LocalSlack, store: Store, lease: Lease, audit: Audit) -> None:
    """R2: the card's alone; a line about it in the run's thread is part of that run's log."""
    asked = await usecases.ask(store, lease, question())
    await usecases.ask(store, await new_run(store, RunId("rother")), question("another"))
    async with running_projector(slack, store):
        await all_drawn(slack, store)
    card = next(m for m in slack.channel("#approvals").messages if asked.question.content in text_of(m))
    log = next(m for m in slack.channel("#general").posts.values() if m.is_reply and "Waiting" in m.text)
    await decide(store, asked)
    await Auditor(store, "web").catch_up()
    by_id = await audit("export", "--request", asked.id)
    assert by_id.status == 0 and told(by_id) == {asked.id}
    assert (await audit("export", "--request", await link(slack, card))).out == by_id.out
    from_log = await audit("export", "--request", await link(slack, log, "#general"))
    assert from_log.status == 2 and from_log.out == "" and "doesn't lead to a known card" in from_log.err
    receipt = await audit("receipt", await link(slack, card))
    assert json.loads(receipt.out)["request"] == asked.id


async def test_card_link_covers_all_its_rows(slack: LocalSlack, store: Store, lease: Lease, audit: Audit) -> None:
    """A receipt is for one request, so its refusal names all of them."""
    asked = await ask(store, lease, 1, 2, 3)
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        await decide(store, asked[1])
        await all_drawn(slack, store)
    await Auditor(store, "web").catch_up()
    where = await link(slack, await card_of(slack))
    assert told(await audit("export", "--request", where)) == {request.id for request in asked}
    refused = await audit("receipt", where)
    assert refused.status == 2 and refused.out == "" and all(request.id in refused.err for request in asked)


@pytest.mark.parametrize(
    "words",
    [
        "https://acme.slack.com/archives/C0APPROVALS/p1795385423408192",
        "https://acme.slack.com/archives/C0APPROVALS",
        "https://example.com/" + "a" * 500,
    ],
)
async def test_link_without_a_known_card_is_refused(store: Store, audit: Audit, words: str) -> None:
    """It is not taken for a request of which nothing is recorded."""
    for asked in (("export", "--request", words), ("receipt", words)):
        said = await audit(*asked)
        assert said.status == 2 and said.out == "" and "doesn't lead to a known card" in said.err
        assert len(said.err) < 400
