"""The journal of one run: what came from outside, so that nothing is repeated.

The key of an entry is its kind, the asking agent, the digest of what was asked, and how often this was asked before.
Everything that an agent waits for has its place, and reaches a rebuilt team in that order (`replay_order` states the
invariant): results, failures, refusals, and that it waited no longer. Of a human's answer only the place is recorded,
because the request of a question is found again by its id. What is asked inside an effect has no place: recorded, the
effect is not done again.
"""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Self, TypeVar

from countersign.domain.ids import digest_of
from countersign.replay.entries import Entry
from countersign.replay.late_cancellation import cancelled_late
from countersign.replay.pending_calls import PendingCalls
from countersign.replay.replay_order import MARK, Order, OrderedEvent
from countersign.replay.rest_detection import Activity
from countersign.replay.write_behind import WriteBehind
from countersign.usecases import ports
from countersign.usecases.ports import Lease
from countersign.usecases.store_outages import being_cancelled, patiently

T = TypeVar("T")
_INSIDE: Final[ContextVar[bool]] = ContextVar("inside an effect", default=False)


class RunJournal:
    """The journal of one run in this process; each `key` is given out once.

    `before_execution` raises to prevent what no record answers (`countersign.autogen.changed_code`). `now` is the clock
    of the entries. `is_leaving` says whether this process lets go of the run. `times` counts the keys given out, by all
    but their last part.
    """

    def __init__(self, journal: ports.Journal, lease: Lease, entries: Mapping[str, bytes]) -> None:
        self._journal = journal
        self.run = lease.run
        self._lease = lease
        self._entries = {key: Entry.load(raw) for key, raw in entries.items()}
        self.times: Counter[str] = Counter()
        self._unused = {key for key, entry in self._entries.items() if not entry.inside}
        self.activity = Activity()
        self.order = Order(self._entries, self.activity)
        self._abandoned: dict[str, OrderedEvent] = {}
        self._aside: set[str] = set()
        self.pending_calls = PendingCalls(self.order.notify)
        self.late_writes = WriteBehind()
        self.before_execution: Callable[[str], Awaitable[None]] = _allow
        self.now: Callable[[], Awaitable[datetime]] = _local_now
        self.is_leaving: Callable[[], bool] = lambda: False

    @classmethod
    async def open(cls, journal: ports.Journal, lease: Lease) -> Self:
        """Open the journal of the lease's run with everything recorded so far."""
        return cls(journal, lease, await patiently(lambda: journal.entries(lease.run)))

    def key(self, kind: str, agent: str, *content: str | bytes) -> str:
        """Give out the key for the next effect of this kind, agent and content."""
        name = f"{kind}/{agent}/{digest_of(*content)[:24]}"
        self.times[name] += 1
        return f"{name}/{self.times[name] - 1}"

    def lookup(self, key: str) -> Entry | None:
        """Return what was recorded under the key, if anything."""
        self._unused.discard(key)
        return self._entries.get(key)

    async def replayed(self, key: str) -> Entry | None:
        """Return the entry at its turn; wait on what was abandoned until it is again."""
        if _INSIDE.get():
            return self.lookup(key)
        entry = self.lookup(key)
        if key.startswith("tool/"):
            self.pending_calls.reach_effect()
        self.order.begin_wait(key)
        if entry is None:
            return None
        if entry.left:
            await self._await_abandonment(key)
        if (event := self.order.event_of(key)) is not None:
            turn = self.order.await_turn(event)
            await (turn if self.order.may_pass(event) else self.shielded(key, turn))
        self.order.end_wait(key)
        return entry

    async def shielded(self, name: str, work: Awaitable[T]) -> T:
        """Wait for work; its cancellation waits until what had reached it has come again.

        `name` is the key that the work waits for, or the agent if it waits for several.
        """

        def may_end() -> bool:
            event = self.order.next_recorded(name)
            return event is None or self._entries[event.name].left or self.is_leaving() or self.order.closed

        return await cancelled_late(self.order, work, may_end)

    def begin_wait(self, key: str) -> None:
        """Note that people are asked this from now on."""
        if not _INSIDE.get():
            self.order.begin_wait(key)

    async def wait_if_abandoned(self, key: str) -> None:
        """Wait, if this was recorded as abandoned, until it is again; else return at once."""
        entry = self.lookup(key)
        if entry is not None and entry.left:
            self.order.begin_wait(key)
            await self._await_abandonment(key)

    async def record_result(self, key: str, entry: Entry, *, replace: bool = False) -> Entry:
        """Record a result that has just come; return when it is its turn."""
        if _INSIDE.get():
            return await self.record(key, entry, replace=replace)
        if (abandoned := self._abandoned.get(key)) is not None:
            return await self.record(key, self._placed(entry, abandoned, left=True), replace=True)
        event = self.order.append(key)
        try:
            stored = await self.record(key, self._placed(entry, event), replace=replace)
            self.order.mark_persisted(event)
            await self.order.await_turn(event)
        except asyncio.CancelledError:
            self.abandon(key)
            raise
        except BaseException:
            self.order.remove(event)
            raise
        self.order.end_wait(key)
        return stored

    async def record_answer(self, key: str, deliver: Callable[[], Awaitable[object]]) -> None:
        """Give a person's answer its place; return when it is its turn.

        The request holds the answer, so only the place is recorded. `deliver` notes the delivery while the agent goes
        on.
        """
        replayed = self.order.event_of(key)
        new = self.order.append(key) if key not in self._entries and not _INSIDE.get() else None

        async def write() -> None:
            # The place first: who is seen to have the answer keeps it there, also when this process is lost in between.
            if new is not None and key not in self._abandoned:
                await self._record(key, self._placed(Entry("done"), new))
                self.order.mark_persisted(new)
            await deliver()

        self.late_writes.write(write)
        if (event := new or replayed) is not None:
            await self.order.await_turn(event)
        self.order.end_wait(key)

    def abandon(self, key: str) -> None:
        """Record that the team went on without this; not if the run leaves this process."""
        if self.is_leaving() or _INSIDE.get() or key in self._abandoned:
            return
        if (recorded := self._entries.get(key)) is not None and recorded.left:
            return
        event = self.order.event_of(key) or self.order.append(key)
        if event.recorded:
            return  # it had reached the team before, so the code is another one (`Order.first_missing`)
        self._abandoned[key], event.automatic = event, True
        entry = self._placed(recorded or Entry("started"), event, left=True)

        async def write() -> None:
            await self._record(key, entry, replace=True)
            self.order.mark_persisted(event)

        self.late_writes.write(write)
        self.order.end_wait(key)
        self.order.notify()

    async def record_ended_turns(self) -> None:
        """Record the order of ended turns, before anything is asked or done outside."""
        if self.order.has_unrecorded_turns and not _INSIDE.get():
            event = self.order.append(MARK, automatic=True)
            self.order.notify()
            await self.record(f"{MARK}{event.place}", self._placed(Entry("done"), event))
            self.order.mark_persisted(event)

    def unused(self) -> set[str]:
        """Return the keys of earlier processes that are neither used nor set aside."""
        return set(self._unused)

    def unused_since(self, names: Collection[str]) -> tuple[list[str], list[int]]:
        """Return the unused keys and the turns since the first of these keys or turns."""
        later = self.order.remaining_from(names)
        places = {event.place for event in later if event.place}
        keys = sorted(key for key in self._unused if self._entries[key].place in {0, *places})
        return keys, [event.number for event in later if not event.place]

    def is_recorded(self, key: str) -> bool:
        """Say whether anything is recorded under the key."""
        return key in self._entries

    def is_set_aside(self, key: str) -> bool:
        """Say whether nobody need ask for this any more."""
        return key in self._aside

    def of_kind(self, kind: str) -> dict[str, Entry]:
        """Return all entries of this kind by key, including those set aside."""
        return {key: entry for key, entry in self._entries.items() if key.startswith(f"{kind}/")}

    def set_aside(self, keys: Collection[str], turns: Collection[int]) -> None:
        """Let the run go on without these entries and turns; asked for, they still count."""
        self._unused.difference_update(keys)
        self._aside.update(keys)
        self.order.set_aside(keys, turns)

    @asynccontextmanager
    async def executing(self, key: str) -> AsyncIterator[None]:
        """Enclose what happens now, because nothing is recorded under the key."""
        try:
            await self.before_execution(key)
            with self.activity.working():
                yield
        except asyncio.CancelledError:
            self.abandon(key)
            raise
        finally:
            self.order.end_wait(key)

    async def record(self, key: str, entry: Entry, *, replace: bool = False, on_disk: bool = False) -> Entry:
        """Record an entry unless there is one (and not `replace`); return what is there.

        `on_disk`: return only when it, and the approval before it, survive the loss of the store's machine. Waits for
        writes that are still under way, and for a store that does not answer. LeaseLost if another worker holds the
        run.
        """
        await self.late_writes.written()
        inside = dataclasses.replace(entry, inside=True) if _INSIDE.get() else entry
        return await self._record(key, inside, replace=replace, on_disk=on_disk)

    def is_cut_off(self) -> bool:
        """Say whether a CancelledError means that the run leaves this process.

        Then it says nothing of what was done. An effect itself is not cancelled; the models and people that it waits
        for are.
        """
        return being_cancelled() or self.is_leaving()

    def _placed(self, entry: Entry, event: OrderedEvent, *, left: bool = False) -> Entry:
        asked = tuple(sorted(event.asked))
        return dataclasses.replace(
            entry, place=event.place, left=left, after=event.after, turns=event.turns, asked=asked
        )

    async def _await_abandonment(self, key: str) -> None:
        """Wait until the team waits no longer, as it did before."""
        event = self.order.event_of(key)
        try:
            with self.activity.working():
                await self.order.wait_until(lambda: False, busy=False)
        except asyncio.CancelledError:
            if event is not None and not self.is_leaving():
                event.automatic = True
                self.order.end_wait(key)
                self.order.notify()
            raise

    async def _record(self, key: str, entry: Entry, *, replace: bool = False, on_disk: bool = False) -> Entry:
        raw = entry.dump()
        how = {"replace": replace, "on_disk": on_disk}
        stored = Entry.load(await patiently(lambda: self._journal.record(self._lease, key, raw, **how)))
        self._entries[key] = stored
        return stored


async def inside(act: Callable[[], Awaitable[str]]) -> str:
    """Perform an effect; questions inside it have no place in the order."""
    token = _INSIDE.set(True)
    try:
        return await act()
    finally:
        _INSIDE.reset(token)


async def _allow(key: str) -> None:
    """Allow it."""


async def _local_now() -> datetime:
    return datetime.now(UTC)
