"""The head of the record stands in Slack, once for each day."""

import asyncio
import contextlib
from datetime import timedelta

from slack_sdk.web.async_client import AsyncWebClient

from bot.audit.auditor import Auditor
from bot.slack.projector import audit_posts
from bot.slack.projector.message_sync import Poster
from bot.slack.slack_calls import GatedCalls
from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import read_head
from countersign.domain.ids import ChannelId
from countersign.store.audit_log import Ledger
from countersign.store.store import Store
from countersign.usecases.ports import Change
from localslack import LocalSlack
from localslack.fixtures import HURRY
from tests.longest_wait import PATIENCE
from tests.sample_requests import HERE, NOW, OURS

WHERE = ChannelId("C0APPROVALS")


async def tell(store: Store) -> None:
    await store.commit(Change(events=(Event(EventType.CALL_PASSED, await store.now(), workspace=HERE),)))
    await Auditor(store, "web").catch_up()


def a_poster(slack: LocalSlack, store: Store) -> Poster:
    """Of one web process."""
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[], timeout=int(PATIENCE))
    return Poster(GatedCalls(client, HURRY), store, HERE, slack.url, OURS)


async def test_audit_head_is_posted_once_a_day(slack: LocalSlack, store: Store) -> None:
    """R6, R25: with several web processes, after a restart, and while the record grows."""
    ledger = Ledger(store)
    await audit_posts.post_checkpoint(ledger, a_poster(slack, store), WHERE, NOW)
    assert slack.channel("#approvals").messages == [], "there is nothing to stand for"
    await tell(store)
    first = (await ledger.position()).head
    for hour in range(7):
        await audit_posts.post_checkpoint(
            ledger, a_poster(slack, store), WHERE, NOW + timedelta(hours=hour) - timedelta(minutes=1)
        )
        await tell(store)
    (posted,) = slack.channel("#approvals").messages
    assert str(first) in posted.text
    before = (await ledger.position()).head
    tomorrow = NOW + timedelta(hours=7)
    await audit_posts.post_checkpoint(ledger, a_poster(slack, store), WHERE, tomorrow)
    _, second = slack.channel("#approvals").messages
    assert str(before) in second.text
    assert read_head(str(before)).n == 8
    assert "Record of 7 March 2026" in second.text


async def test_two_auditors_at_once_post_one_head(slack: LocalSlack, store: Store) -> None:
    """R2, R6: the lease of the auditor may have changed hands."""
    await tell(store)
    posters = [a_poster(slack, store) for _ in range(2)]
    await asyncio.gather(*(audit_posts.post_checkpoint(Ledger(store), poster, WHERE, NOW) for poster in posters))
    assert len(slack.channel("#approvals").messages) == 1


async def test_refused_audit_head_is_posted_at_the_next_look(slack: LocalSlack, store: Store) -> None:
    """R21: at the next look, and no sooner."""
    await tell(store)
    pauses: list[float] = []
    slack.faults.add("error", on="chat.postMessage", error="not_in_channel", times=1)

    class Enough(Exception):
        pass

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise Enough

    with contextlib.suppress(Enough):
        await audit_posts.keep_checkpoints(Ledger(store), store, a_poster(slack, store), WHERE, sleep=sleep)
    assert pauses == [60.0] * 3
    assert len(slack.channel("#approvals").messages) == 1
