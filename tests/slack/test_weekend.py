"""Quiet hours in Slack, on a clock that the test moves: a weekend, hour by hour, on which summer time begins."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain import quiet_hours, schedule
from countersign.domain.channel_settings import Escalation, OnTimeout
from countersign.domain.events import EventType
from countersign.domain.ids import WorkerId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Request, Status
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.usecases.ports import Announcement, Lease, TeamInfo
from localslack import LocalSlack, text_of
from tests.sample_requests import DAVE, GENERAL, question, rules
from tests.slack.socket_bot import events
from tests.slack.test_pending_state import drawn, thread
from tests.slack.test_projector import all_drawn, card_of
from tests.store_fixtures import NoQueue, card_is_there, configure
from tests.usecases.test_presence import as_it_is

__all__ = ["drawn"]

HOUR = timedelta(hours=1)
HOURS = quiet_hours.parse("19:00-08:00 weekends Europe/Berlin")


def berlin(words: str) -> datetime:
    """A moment of March 2050, in which the clock in Berlin jumps on Sunday the 27th from 2:00 to 3:00."""
    return datetime.strptime(f"2050-03-{words}", "%Y-%m-%d %H:%M").replace(tzinfo=quiet_hours.zone_of(HOURS.zone))


class MovedStore(Store):
    """A store on whose clock it is as late as the test says; so far ahead that to the server nothing is ever late."""

    at = berlin("25 17:00").astimezone(UTC)

    async def now(self) -> datetime:
        return self.at

    async def values(self, *keys: str, messages: Sequence[str] = ()) -> tuple[list[bytes | None], datetime]:
        return (await super().values(*keys, messages=messages))[0], self.at

    async def until(self, words: str) -> None:
        """Hour by hour; at each what is due is done, as the keeper of deadlines does it."""
        while self.at < berlin(words):
            self.at += HOUR
            for request in (await self.indexes.due(10))[0]:
                await usecases.catch_up(self, NoQueue(), request, card_is_there)


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[MovedStore]:
    client = connect(redis_url)
    store = MovedStore(client, namespace)
    await store.set_defaults(rules())
    email = TeamInfo("email", "writes a mail")
    await store.workers.announce(WorkerId("worker"), Announcement((email,)), timedelta(days=1))
    yield store
    await client.aclose()


async def told(store: Store) -> list[tuple[str, str]]:
    """What people heard of by itself, and when on the wall in Berlin."""
    kinds = (EventType.REQUEST_REMINDED, EventType.REQUEST_ESCALATED, EventType.REQUEST_DECIDED)
    zone = quiet_hours.zone_of(HOURS.zone)
    return [
        (f"{e.at.astimezone(zone):%a %H:%M}", e.type.name.lower()[8:]) for e in await events(store) if e.type in kinds
    ]


async def weekend(slack: LocalSlack, store: MovedStore, lease: Lease, on_timeout: OnTimeout) -> Request:
    """Asked on Friday at five; Bob leaves, Carol looks on Saturday, and on Monday she puts it off to Tuesday."""
    slack.add_user("erin")
    await configure(
        store,
        timeout=timedelta(days=5),
        on_timeout=on_timeout,
        remind_after=2 * HOUR,
        quiet=HOURS,
        escalation=(Escalation(20 * HOUR, Reviewers(frozenset({DAVE})), GENERAL),),
    )
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    bob, carol, dave = (slack.user(name) for name in ("bob", "carol", "dave"))
    assert "decides in your place" in (await bob.command("/approvals away @erin for 5d")).text
    await store.until("26 12:00")
    await carol.click(await card_of(slack), "more", choose="I'm reviewing this")
    await carol.wait_ephemeral("you are reviewing this")
    await dave.click(await card_of(slack), "Approve")
    await dave.wait_ephemeral("not a reviewer")
    await store.until("28 07:00")
    await all_drawn(slack, store)
    assert await told(store) == [] and thread(slack, card) == [], "people are left alone"
    await store.until("28 08:00")
    await all_drawn(slack, store)
    assert await told(store) == [("Mon 08:00", "escalated"), ("Mon 08:00", "reminded")]
    assert "Escalated to <@U0DAVE> in <#C0GENERAL>" in text_of(await card_of(slack, where="#general"))
    (reminder,) = thread(slack, card)
    assert "<@U0CAROL>, <@U0DAVE>, <@U0ERIN>" in text_of(reminder)
    await carol.click(await card_of(slack), "more", choose="Remind tomorrow at 9:00 (Europe/Berlin)")
    await carol.wait_ephemeral("Next reminder")
    return asked


async def test_snooze_past_the_deadline_promises_no_reminder(
    slack: LocalSlack, store: MovedStore, lease: Lease, bot: Services, drawn: None
) -> None:
    """R7: the card offered an hour when there was more than one left."""
    await configure(store, timeout=2 * HOUR, remind_after=HOUR)
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    assert asked.deadline is not None
    store.at = asked.deadline - HOUR / 2
    await slack.user("carol").click(card, "more", choose="Remind in 1 hour")
    text = text_of(await slack.user("carol").wait_ephemeral("No more reminders before the deadline at"))
    assert f"<!date^{int(asked.deadline.timestamp())}^" in text


async def test_snooze_into_quiet_hours_names_the_reminders_time(
    slack: LocalSlack, store: MovedStore, lease: Lease, bot: Services, drawn: None
) -> None:
    """R7, R49: at the end of the quiet hours, in the answer and on the card."""
    await configure(store, timeout=timedelta(days=9), remind_after=5 * HOUR, quiet=HOURS)
    asked = await usecases.ask(store, lease, question())
    card = await card_of(slack)
    store.at = berlin("25 18:30").astimezone(UTC)
    await slack.user("carol").click(card, "more", choose="Remind in 1 hour")
    text = text_of(await slack.user("carol").wait_ephemeral("Next reminder"))
    await all_drawn(slack, store)
    monday = f"<!date^{int(berlin('28 08:00').timestamp())}^"
    assert schedule.next_reminder(await as_it_is(store, asked)) == berlin("28 08:00")
    assert monday in text
    assert f"postponed by <@U0CAROL> until {monday}" in text_of(await card_of(slack))


MONDAY = [("Mon 08:00", "escalated"), ("Mon 08:00", "reminded")]
TUESDAY = [("Tue 09:00", "reminded"), ("Tue 17:00", "reminded")]


async def test_weekend_with_dst_change_ends_with_stand_ins_decision(
    slack: LocalSlack, store: MovedStore, lease: Lease, bot: Services, drawn: None
) -> None:
    """R6, R9, R20: reminders in growing gaps outside of the quiet hours, the next channel, and one end on all cards."""
    asked = await weekend(slack, store, lease, OnTimeout.REJECT)
    await store.until("29 18:00")
    assert await told(store) == MONDAY + TUESDAY
    await slack.user("erin").click(await card_of(slack), "Approve")
    await all_drawn(slack, store)
    assert (await as_it_is(store, asked)).status is Status.APPROVED
    for where in ("#approvals", "#general"):
        assert "by <@U0ERIN> (in place of <@U0BOB>)" in text_of(await card_of(slack, pending=False, where=where))
    await store.until("31 18:00")
    assert await told(store) == [*MONDAY, *TUESDAY, ("Tue 18:00", "decided")]


@pytest.mark.parametrize(
    ("on_timeout", "status", "words"),
    [
        (OnTimeout.REJECT, Status.EXPIRED, "Expired"),
        (OnTimeout.APPROVE, Status.APPROVED, "Approved by timeout"),
    ],
)
async def test_weekend_with_dst_change_ends_with_channels_timeout(
    slack: LocalSlack,
    store: MovedStore,
    lease: Lease,
    bot: Services,
    drawn: None,
    on_timeout: OnTimeout,
    status: Status,
    words: str,
) -> None:
    """R6, R17, R20, R23: five days are five days, though one of them had 23 hours."""
    asked = await weekend(slack, store, lease, on_timeout)
    await store.until("30 17:00")
    assert await told(store) == [*MONDAY, *TUESDAY, ("Wed 09:00", "reminded")]
    await store.until("30 18:00")
    await all_drawn(slack, store)
    assert (await told(store))[-1] == ("Wed 18:00", "decided")
    assert (await as_it_is(store, asked)).status is status
    for where in ("#approvals", "#general"):
        assert words in text_of(await card_of(slack, pending=False, where=where))
