"""Names and moments are a worker's to choose; whichever it chooses, web goes on with everything else."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from countersign.domain.errors import UnknownSchema
from countersign.domain.events import Event, EventType
from countersign.domain.requests import Decision, How, Request, Status
from countersign.store.codec import ms
from countersign.store.outbox import Outbox
from countersign.store.request_lists import Lists, Overview
from countersign.usecases.ports import Change
from tests.sample_requests import GENERAL
from tests.store.test_forgery import asked, read, write
from tests.store.two_users import Sides


def withdrawn(made: Request, at: datetime) -> Request:
    """As a worker takes it back, at whatever moment it says."""
    return replace(made, status=Status.WITHDRAWN, decision=Decision(Status.WITHDRAWN, How.RUN, at))


async def test_an_ending_at_a_moment_without_a_zone_cannot_be_read_and_the_events_go_on(sides: Sides) -> None:
    """R4, R29: web would end as it lists it, and at each start again."""
    made = await asked(sides)
    await write(sides, withdrawn(made, datetime(2026, 1, 1)), 7)  # noqa: DTZ001 -- that is what is wrong with it
    with pytest.raises(UnknownSchema, match="timezone"):
        await read(sides, made)
    told = Event(
        EventType.REQUEST_DECIDED, made.created_at, made.run, made.id, data={"outcome": "withdrawn", "how": "run"}
    )
    await sides.agents.commit(Change(events=(told,)))
    await sides.web.commit(Change())
    outbox = Outbox(sides.web)
    await outbox.open()
    assert await outbox.read(100) == [], "nothing was in hand"
    assert told in [event for _, event in await outbox.read(100)]


async def test_an_ending_in_the_far_future_is_no_newer_decision_than_those_to_come(sides: Sides) -> None:
    """R25: a hundred of them would keep all others out of what was decided last, for ever."""
    made = await asked(sides)
    ended = withdrawn(made, datetime(2999, 1, 1, tzinfo=UTC))
    await write(sides, ended, 7)
    await Lists(sides.web).keep([await read(sides, made)])
    assert await Overview(sides.web).decided(GENERAL, 9) == [ended]
    score = await sides.admin.zscore(sides.web.keys.decided(GENERAL), made.id)
    assert score is not None and score <= ms(await sides.web.now())
