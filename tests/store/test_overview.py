"""Lists of what waits, goes on and was decided are right without reading every record, and mend themselves."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from countersign import usecases
from countersign.domain.decision_attempts import Attempt
from countersign.domain.events import Event, EventType
from countersign.domain.ids import GroupId, RequestId, UserId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Request, Verb
from countersign.store.keys import KEPT
from countersign.store.request_lists import KEPT_DECIDED, Name, Overview
from countersign.store.store import Store
from countersign.usecases.overview import Waiting
from countersign.usecases.ports import Change, Lease, Put
from tests.sample_requests import (
    ALICE,
    APPROVALS,
    BOB,
    CAROL,
    DAVE,
    GENERAL,
    HERE,
    LEADS,
    attempt,
    question,
    request,
    rules,
)
from tests.store_fixtures import NoQueue, new_run, update_lists


class AfterTheEvents(Overview):
    """Reads lists that have followed all that happened so far."""

    async def groups(self) -> list[GroupId]:
        await update_lists(self._store)
        return await super().groups()

    async def waiting(
        self,
        names: Sequence[Name],
        unless: UserId | None,
        fits: Callable[[Request], bool],
        limit: int,
        beside: Sequence[Name] = (),
    ) -> Waiting:
        await update_lists(self._store)
        return await super().waiting(names, unless, fits, limit, beside)

    async def decided(self, name: Name, limit: int) -> list[Request]:
        await update_lists(self._store)
        return await super().decided(name, limit)


@pytest.fixture
def overview(store: Store) -> Overview:
    return AfterTheEvents(store)


async def asked(store: Store, lease: Lease, words: str = "a", **changes: object) -> Request:
    await store.set_defaults(rules(**changes))
    return await usecases.ask(store, lease, question(words, agent=f"agent {words}"))


async def decided(store: Store, of: Request, user: UserId = BOB, verb: Verb = Verb.APPROVE) -> Request:
    return await usecases.decide(store, NoQueue(), of.id, _by(of, user, verb))


def _by(of: Request, user: UserId, verb: Verb) -> Attempt:
    groups = frozenset({LEADS} if user == DAVE else ())
    return attempt(of, user, verb, name=f"{of.id}-{user}", groups=groups)


async def waiting(
    overview: Overview, *names: UserId | GroupId, unless: UserId | None = None, limit: int = 9
) -> Waiting:
    return await overview.waiting(names, unless or UserId(names[0]), lambda request: True, limit)


async def ids(overview: Overview, *names: UserId | GroupId, unless: UserId | None = None) -> list[RequestId]:
    return [request.id for request in (await waiting(overview, *names, unless=unless)).requests]


async def test_waiting_requests_are_listed_newest_first_for_each_reviewer(
    store: Store, lease: Lease, overview: Overview
) -> None:
    """R9: each person reads those that they may decide."""
    first, second = await asked(store, lease, "a"), await asked(store, lease, "b")
    for name in (BOB, CAROL):
        assert await ids(overview, name) == [second.id, first.id]
    assert await ids(overview, DAVE) == await ids(overview, ALICE) == []
    for place in (GENERAL, APPROVALS):
        here = await overview.waiting([place], None, lambda request: True, 9)
        assert [r.id for r in here.requests] == [second.id, first.id]
    assert await waiting(overview, BOB, limit=1) == Waiting((second,), 2)
    await decided(store, second, CAROL, Verb.REJECT)
    assert await ids(overview, BOB) == await ids(overview, CAROL) == [first.id]


async def test_voted_request_is_listed_only_for_the_other_reviewers(
    store: Store, lease: Lease, overview: Overview
) -> None:
    """R11"""
    mixed = Reviewers(frozenset({BOB}), frozenset({LEADS}))
    voted = await decided(store, await asked(store, lease, reviewers=mixed, quorum=3), DAVE)
    assert len(voted.votes) == 1
    assert await ids(overview, DAVE, LEADS) == []
    assert await ids(overview, CAROL, LEADS) == await ids(overview, BOB) == [voted.id]


async def test_group_request_is_listed_for_members_except_the_requester(
    store: Store, lease: Lease, overview: Overview
) -> None:
    """R10"""
    of_group = await asked(store, lease, reviewers=Reviewers(groups=frozenset({LEADS})))
    assert await overview.groups() == [LEADS]
    assert await ids(overview, DAVE, LEADS) == [of_group.id]
    assert await ids(overview, ALICE, LEADS) == []
    await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
    assert await overview.groups() == []
    assert await store.client.zcard(store.keys.waits_not(ALICE)) == 0


async def test_own_request_is_listed_where_the_channel_allows_it(
    store: Store, lease: Lease, overview: Overview
) -> None:
    """R10"""
    both = await asked(store, lease, reviewers=Reviewers(frozenset({ALICE}), frozenset({LEADS})), own_requests=True)
    assert await ids(overview, ALICE, LEADS) == [both.id]


async def test_stale_list_repairs_itself(store: Store, lease: Lease, overview: Overview) -> None:
    """Others are asked than before, and it was settled: nobody took it out of the old list."""
    waits = await asked(store, lease)
    assert await ids(overview, BOB) == [waits.id]
    seen = await store.request(waits.id)
    assert seen is not None
    other = replace(waits, rules=rules(reviewers=Reviewers(frozenset({DAVE}))))
    told = Event(EventType.REQUEST_ESCALATED, seen.now, request=waits.id)
    await store.commit(Change(requests=(Put(other, seen.version),), events=(told,)))
    assert await ids(overview, DAVE) == [waits.id]
    await decided(store, other, DAVE)
    assert await store.client.zcard(store.keys.waits(BOB)) == 1
    assert await waiting(overview, BOB) == Waiting((), 0)
    assert await store.client.zcard(store.keys.waits(BOB)) == 0


async def test_filtered_list_counts_everything_that_matches(store: Store, lease: Lease, overview: Overview) -> None:
    """More matches than are shown."""
    for number in range(7):
        await asked(store, lease, str(number))
    odd = await overview.waiting([BOB], BOB, lambda r: int(r.question.content) % 2 == 1, 2)
    assert ([r.question.content for r in odd.requests], odd.total) == (["5", "3"], 3)


async def test_huge_list_shows_its_newest_and_a_partial_count(
    store: Store, lease: Lease, overview: Overview, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`whole=False` says that there are more; nothing older is missed."""
    monkeypatch.setattr("countersign.store.request_lists._READ", 4)
    monkeypatch.setattr("countersign.store.request_lists._PAGE", 2)
    mixed = Reviewers(frozenset({BOB}), frozenset({LEADS}))
    made = [await asked(store, lease, str(number), reviewers=mixed) for number in range(10)]
    newest = await waiting(overview, BOB, LEADS, limit=2)
    assert newest == Waiting((made[9], made[8]), 4, whole=False)
    await decided(store, made[8])
    oldest = await overview.waiting([BOB, LEADS], BOB, lambda r: r.question.content in "012", 2)
    assert oldest.requests == (made[2], made[1]), "those after many that do not fit are found too"
    assert await waiting(overview, DAVE, LEADS, limit=99) == Waiting((made[9], *made[7::-1]), 9)


async def test_settled_entries_in_a_list_hide_no_pending_ones(
    store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: the lists come after the click; what is left of the newest must not push what is older out of a page."""
    monkeypatch.setattr("countersign.store.request_lists._READ", 2)
    made = [await asked(store, lease, str(number)) for number in range(5)]
    await update_lists(store)
    for settled in made[2:]:
        await decided(store, settled)
    for _ in range(2):
        found = await Overview(store).waiting([BOB], BOB, lambda request: True, 9)
        assert found == Waiting((made[1], made[0]), 2)
    assert await store.client.zcard(store.keys.waits(BOB)) == 2


async def test_newest_decisions_are_kept_for_everybody_concerned(
    store: Store, lease: Lease, overview: Overview
) -> None:
    """R25"""
    first = await decided(store, await asked(store, lease, "a"), BOB)
    second = await decided(store, await asked(store, lease, "b"), CAROL, Verb.REJECT)
    assert await overview.decided(ALICE, 9) == await overview.decided(GENERAL, 9) == [second, first]
    assert await overview.decided(ALICE, 1) == [second]
    assert await overview.decided(BOB, 9) == [first]
    assert await overview.decided(DAVE, 9) == []
    left = await store.client.pttl(store.keys.decided(BOB))
    assert KEPT - timedelta(minutes=1) < timedelta(milliseconds=left) <= KEPT


async def test_list_of_decisions_is_bounded(store: Store, overview: Overview) -> None:
    now = await store.now()
    for number in range(KEPT_DECIDED + 5):
        made = request(now, run=f"r{number}")
        await store.commit(Change(requests=(Put(made, 0),)))
        await decided(store, made, BOB)
    await update_lists(store)
    assert await store.client.zcard(store.keys.decided(BOB)) == KEPT_DECIDED
    assert (await overview.decided(BOB, 1))[0].run == f"r{KEPT_DECIDED + 4}"


async def test_active_runs_are_listed_for_their_requester(store: Store, lease: Lease, overview: Overview) -> None:
    """With the total where there are more than are shown."""
    other = await new_run(store, "rother")
    runs, total = await overview.runs(ALICE, 1)
    assert ([run.id for run in runs], total) == ([other.run], 2)
    assert await overview.runs(BOB, 9) == ([], 0)
    await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
    runs, total = await overview.runs(ALICE, 9)
    assert ([run.id for run in runs], total) == ([other.run], 1)


async def test_home_is_live_for_its_stated_time(store: Store, overview: Overview) -> None:
    """R20: by the server's clock."""
    await overview.watch(ALICE, timedelta(hours=1))
    await overview.watch(BOB, timedelta(0))
    assert await overview.watching() == {ALICE}
    await overview.watch(CAROL, timedelta(hours=1))
    assert await store.client.zcard(store.keys.watching) == 2
