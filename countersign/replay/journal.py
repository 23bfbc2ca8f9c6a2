"""The journal of one run: what came from outside, so that nothing is repeated.

The key of an entry is its kind, the asking agent, the digest of what was asked, and how often this was asked
before. Everything that an agent waits for has its place, and reaches a rebuilt team in that order (`event_order` states
the invariant): results, failures, refusals, and that it waited no longer. Of a human's answer only the place is
recorded, because the request of a question is found again by its id. What is asked inside an effect has no place:
recorded, the effect is not done again.
"""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from countersign.domain.ids import digest_of
from countersign.replay.entries import Entry
from countersign.replay.event_order import MARK, Order, OrderedEvent
from countersign.replay.run_activity import Activity
from countersign.replay.store_outages import being_cancelled, patiently
from countersign.replay.write_behind import Behind
from countersign.usecases import ports
from countersign.usecases.ports import Lease

_INSIDE: Final[ContextVar[bool]] = ContextVar("inside an effect", default=False)
_CALL: Final[ContextVar["PendingCall | None"]] = ContextVar("call", default=None)


@dataclass(eq=False, slots=True)
class PendingCall:
    """Something that an agent wants to do and that has not come to its effect yet, which may be recorded."""

    agent: str
    asked: bool = False


class RunJournal:
    """The journal of one run, as this process goes through it: each `key` is given out once.

    `before_live` is asked before anything happens that nothing recorded answers; what it raises keeps it from
    happening (`countersign.autogen.unknown_outcomes`). `now` is the clock of what is recorded; `let_go` tells whether
    this process lets go of the run.
    """

    def __init__(self, journal: ports.Journal, lease: Lease, entries: Mapping[str, bytes]) -> None:
        self._journal = journal
        self.run = lease.run
        self._lease = lease
        self._entries = {key: Entry.load(raw) for key, raw in entries.items()}
        self._times: Counter[str] = Counter()
        self._unused = {key for key, entry in self._entries.items() if not entry.inside}
        self.activity = Activity()
        self.order = Order(self._entries, self.activity)
        self._left: dict[str, OrderedEvent] = {}
        self._aside: set[str] = set()
        self._calls: set[PendingCall] = set()
        self.behind = Behind()
        self.before_live: Callable[[str], Awaitable[None]] = _always
        self.now: Callable[[], Awaitable[datetime]] = _by_this_machine
        self.let_go: Callable[[], bool] = _not_let_go

    @classmethod
    async def open(cls, journal: ports.Journal, lease: Lease) -> Self:
        """Open the journal of the lease's run with everything recorded so far."""
        return cls(journal, lease, await patiently(lambda: journal.entries(lease.run)))

    def key(self, kind: str, agent: str, *content: str | bytes) -> str:
        """Give out the key for the next effect of this kind, agent and content."""
        name = f"{kind}/{agent}/{digest_of(*content)[:32]}"
        self._times[name] += 1
        return f"{name}/{self._times[name] - 1}"

    def found(self, key: str) -> Entry | None:
        """Return what was recorded under the key, if anything."""
        self._unused.discard(key)
        return self._entries.get(key)

    async def again(self, key: str) -> Entry | None:
        """Wait for the entry's turn and return it; where the team gave up waiting for it, wait until it does again."""
        if _INSIDE.get():
            return self.found(key)
        entry = self.found(key)
        if (call := _CALL.get()) is not None and key.startswith("tool/"):
            call.asked = True
        self.order.asking(key)
        if entry is None:
            return None
        if entry.left:
            await self._never(key)
        if (event := self.order.of(key)) is not None:
            await self.order.come(event)
        self.order.answered(key)
        return entry

    def asking(self, key: str) -> None:
        """Note that people are asked this from now on."""
        if not _INSIDE.get():
            self.order.asking(key)

    async def unless_left(self, key: str) -> None:
        """Wait, if this was recorded as left, until it is left again; else return at once."""
        entry = self.found(key)
        if entry is not None and entry.left:
            self.order.asking(key)
            await self._never(key)

    async def result(self, key: str, entry: Entry, *, replace: bool = False) -> Entry:
        """Record something that has just come, and return when it is its turn to be handed on."""
        if _INSIDE.get():
            return await self.record(key, entry, replace=replace)
        if (left := self._left.get(key)) is not None:
            return await self.record(key, self._placed(entry, left, left=True), replace=True)
        event = self.order.new(key)
        try:
            stands = await self.record(key, self._placed(entry, event), replace=replace)
            self.order.kept(event)
            await self.order.come(event)
        except asyncio.CancelledError:
            self.leave(key)
            raise
        except BaseException:
            self.order.drop(event)
            raise
        self.order.answered(key)
        return stands

    async def arrived(self, key: str, deliver: Callable[[], Awaitable[object]]) -> None:
        """A person's answer has its place too; nothing else of it is recorded, the request holds it.

        Returns when it is its turn to be handed on. `deliver` writes that it was, and runs while the agent goes on.
        """
        event = self.order.of(key)
        new = self.order.new(key) if key not in self._entries and not _INSIDE.get() else None

        async def write() -> None:
            # The place first: who is seen to have the answer keeps it there, also when this process is lost in between.
            if new is not None and key not in self._left:
                await self._record(key, self._placed(Entry("done"), new))
                self.order.kept(new)
            await deliver()

        self.behind.write(write)
        if (coming := new or event) is not None:
            await self.order.come(coming)
        self.order.answered(key)

    def leave(self, key: str) -> None:
        """Whoever waited for this was cancelled by the team itself, and goes on without it: that is recorded too,
        before anything that comes of it. Nothing, if it is the run that leaves this process."""
        if self.let_go() or _INSIDE.get() or key in self._left:
            return
        if (before := self._entries.get(key)) is not None and before.left:
            return
        event = self.order.of(key) or self.order.new(key)
        if event.recorded:
            return  # it had reached the team before, so the code is another one (`Order.missing`)
        self._left[key], event.done = event, True
        entry = self._placed(before or Entry("started"), event, left=True)

        async def write() -> None:
            await self._record(key, entry, replace=True)
            self.order.kept(event)

        self.behind.write(write)
        self.order.answered(key)
        self.order.move()

    async def mark(self) -> None:
        """Record in which order turns have ended, if nothing else tells; before anything is asked or done outside."""
        if self.order.unkept and not _INSIDE.get():
            event = self.order.new(MARK, done=True)
            self.order.move()
            await self.record(f"{MARK}{event.place}", self._placed(Entry("done"), event))
            self.order.kept(event)

    @contextmanager
    def calling(self, agent: str) -> Iterator[None]:
        """Enclose what an agent wants to do, with what is looked up before its effect."""
        call = PendingCall(agent)
        self._calls.add(call)
        token = _CALL.set(call)
        try:
            yield
        finally:
            _CALL.reset(token)
            self._calls.discard(call)
            self.order.move()

    def on_the_way(self, agent: str) -> bool:
        """Say whether the agent wants something whose effect it has not come to yet."""
        return any(call.agent == agent and not call.asked for call in self._calls)

    def unused(self) -> set[str]:
        """Return the keys recorded before this process took the run, and neither asked for since nor set aside."""
        return set(self._unused)

    def unused_since(self, names: Collection[str]) -> tuple[list[str], list[int]]:
        """Return the unused keys since the first of these keys or turns, and the numbers of the turns since."""
        later = self.order.left_from(names)
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
        """Return all that is recorded of this kind, by key; what was set aside too, for it happened."""
        return {key: entry for key, entry in self._entries.items() if key.startswith(f"{kind}/")}

    def set_aside(self, keys: Collection[str], turns: Collection[int]) -> None:
        """Let the run go on without these entries and turns; an agent that asks for one still finds it."""
        self._unused.difference_update(keys)
        self._aside.update(keys)
        self.order.set_aside(keys, turns)

    @asynccontextmanager
    async def live(self, key: str) -> AsyncIterator[None]:
        """Enclose what happens now, because nothing is recorded under the key."""
        try:
            await self.before_live(key)
            with self.activity.working():
                yield
        except asyncio.CancelledError:
            self.leave(key)
            raise
        finally:
            self.order.answered(key)

    async def record(self, key: str, entry: Entry, *, replace: bool = False, on_disk: bool = False) -> Entry:
        """Record, unless something stands there already (and not `replace`); returns what stands there then. `on_disk`:
        once nothing of it, nor of the approval before it, is lost with the store's machine.

        Waits for what is still being written behind the agent, and for a store that does not answer. LeaseLost if
        another worker holds the run.
        """
        await self.behind.written()
        inside = dataclasses.replace(entry, inside=True) if _INSIDE.get() else entry
        return await self._record(key, inside, replace=replace, on_disk=on_disk)

    def cut_off(self) -> bool:
        """Whether a CancelledError is the end of the run here, and says nothing of what was done: an effect is not
        cancelled itself, but the models and people that it waits for are."""
        return being_cancelled() or self.let_go()

    def _placed(self, entry: Entry, event: OrderedEvent, *, left: bool = False) -> Entry:
        asked = tuple(sorted(event.asked))
        return dataclasses.replace(
            entry, place=event.place, left=left, after=event.after, turns=event.turns, asked=asked
        )

    async def _never(self, key: str) -> None:
        """Wait until the team waits no longer, as it did before."""
        event = self.order.of(key)
        try:
            with self.activity.working():
                await self.order.until(lambda: False, held=False)
        except asyncio.CancelledError:
            if event is not None and not self.let_go():
                event.done = True
                self.order.answered(key)
                self.order.move()
            raise

    async def _record(self, key: str, entry: Entry, *, replace: bool = False, on_disk: bool = False) -> Entry:
        raw = entry.dump()
        how = {"replace": replace, "on_disk": on_disk}
        stands = Entry.load(await patiently(lambda: self._journal.record(self._lease, key, raw, **how)))
        self._entries[key] = stands
        return stands


async def inside(act: Callable[[], Awaitable[str]]) -> str:
    """Perform an effect; what it asks for has no place, because a recorded effect is not done again."""
    token = _INSIDE.set(True)
    try:
        return await act()
    finally:
        _INSIDE.reset(token)


async def _always(key: str) -> None:
    """Nothing speaks against it."""


def _not_let_go() -> bool:
    return False


async def _by_this_machine() -> datetime:
    return datetime.now(UTC)
