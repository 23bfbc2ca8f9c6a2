"""The journal of one run: all outside results, so that nothing is repeated.

The key of an entry is its kind, the asking agent, the digest of what was asked, and how often this was asked before.
Everything that an agent waits for has its place, and reaches a rebuilt team in that order (`replay_order` states the
invariant): results, failures, refusals, and the end of its waiting. Only the place of a person's answer is recorded,
because the question's request is found again by its id.

Questions inside an effect have no place, and their keys contain the key of that effect. So a rebuilt run that finds
the effect done, and skips what it asked inside, gives out the same keys around it.
"""

import asyncio
import dataclasses
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self, TypeVar

from countersign.domain.errors import LeaseLost
from countersign.domain.ids import digest_of
from countersign.runs.entries import Entry
from countersign.runs.replay_order import MARK, Order, OrderedEvent, PendingCalls, Shelter, cancelled_early, note_asked
from countersign.runs.rest_detection import Activity
from countersign.runs.write_behind import WriteBehind
from countersign.usecases import ports
from countersign.usecases.ports import Lease
from countersign.usecases.store_outages import being_cancelled, patient

T = TypeVar("T")


@dataclass(eq=False, frozen=True, slots=True)
class _Enclosing:
    """The effect around the current code: its key, and the counts of keys inside.

    `repeated`: people had it run again, so failed effects inside it are tried again too.
    """

    key: str
    repeated: bool
    times: Counter[str] = field(default_factory=Counter)


_INSIDE: Final[ContextVar[_Enclosing | None]] = ContextVar("inside an effect", default=None)


class RunJournal:
    """The journal of one run in this process; each `key` is given out once.

    `before_execution` is called before an unrecorded effect and may raise to block it (`changed_code`). `now` is the
    clock of the entries. `is_leaving` says whether this process lets go of the run. `times` counts the keys given out,
    by all but their last part.
    """

    def __init__(self, journal: ports.Journal, lease: Lease, entries: Mapping[str, bytes]) -> None:
        self._journal = patient(journal)
        self.run = lease.run
        self._lease = lease
        self._entries = {key: Entry.load(raw) for key, raw in entries.items()}
        self.times: Counter[str] = Counter()
        self.activity = Activity()
        self.order = Order(self._entries, self.activity)
        self.cut: set[str] = set()
        """The first attempts of effects that waited for a model or a person inside when the run was released."""
        self.pending_calls = PendingCalls(self.order.notify)
        self.order.several_calls = self.pending_calls.several
        self.late_writes = WriteBehind()
        self._opened_at = asyncio.get_running_loop().time()
        self._recording: dict[str, asyncio.Future[None]] = {}
        self.before_execution: Callable[[str], Awaitable[None]] = _allow
        self.now: Callable[[], Awaitable[datetime]] = self._journal.now
        self.is_leaving: Callable[[], bool] = lambda: False

    @classmethod
    async def open(cls, journal: ports.Journal, lease: Lease) -> Self:
        """Open the journal of the lease's run with everything recorded so far."""
        return cls(journal, lease, await patient(journal).entries(lease.run))

    def key(self, kind: str, agent: str, *content: str | bytes) -> str:
        """Give out the key for the next effect of this kind, agent and content.

        Inside an effect, or a call, its keys are its own. A rebuilt run that skips the effect, or leaves the call at
        another point, gives out the same keys around it.
        """
        around = _INSIDE.get() or self.pending_calls.current()
        times, about = (self.times, content) if around is None else (around.times, (around.key, *content))
        name = f"{kind}/{agent}/{digest_of(*about)[:24]}"
        times[name] += 1
        return f"{name}/{times[name] - 1}"

    def place(self, name: str) -> str:
        """Return the name; inside an effect with a suffix of that effect."""
        enclosing = _INSIDE.get()
        return name if enclosing is None else f"{name} in {digest_of(enclosing.key)[:8]}"

    @property
    def enclosing(self) -> object:
        """Identify the attempt at an effect that the current code is part of."""
        return _INSIDE.get()

    @property
    def inside(self) -> bool:
        """Tell whether the current code is part of an effect."""
        return _INSIDE.get() is not None

    def lookup(self, key: str) -> Entry | None:
        """Return what was recorded under the key, if anything."""
        entry, enclosing = self._entries.get(key), _INSIDE.get()
        if enclosing is not None and enclosing.repeated and entry is not None and entry.state == "failed":
            return None
        return entry

    def use(self, key: str) -> Entry | None:
        """Return what was recorded under the key, which then counts as asked for."""
        self._ask(key)
        return self.lookup(key)

    async def replayed(self, key: str) -> Entry | None:
        """Return the entry at its turn; for an abandoned one, wait until it is again."""
        if self.inside:
            return self.lookup(key)
        entry = self.lookup(key)
        if entry is None and self.order.closed:
            raise asyncio.CancelledError
        if key.startswith("tool/"):
            self.pending_calls.reach_effect()
        self._ask(key)
        if entry is None:
            await self._begin_nothing_in_a_left_call()
        self.order.begin_wait(key)
        if entry is None:
            if self._ends_early():
                self.abandon(key)
                raise asyncio.CancelledError
            return None
        if entry.left:
            await self._await_abandonment(key)
            if entry.state == "started" and not entry.attempt:  # left before it had begun
                return None  # people let the run go on without it, so it is asked for now
        if (event := self.order.event_of(key)) is not None:
            turn = self.order.await_turn(event)
            await (turn if self.order.may_pass(event) else self.shielded(key, turn))
        self.order.end_wait(key)
        return entry

    async def call(self, agent: str, work: Awaitable[T], *about: str) -> T:
        """Wait for an agent's call.

        A deadline of the team's own may pass before any part of the call is recorded. A rebuilt run would then not know
        that the call was left, and where, so the call has its own key for that.
        """
        key = self.key("call", agent, *about)
        recorded = self.use(key)
        left_before = recorded is not None and recorded.left
        with self.pending_calls.calling(agent, key, left_before=left_before) as call:
            try:
                result = await self.shielded(key, work)
                if left_before and self.order.event_of(key) is not None:  # it was left at its very end
                    await self._await_abandonment(key)
                return result
            except asyncio.CancelledError:
                if left_before:
                    self._leave_again(self.order.event_of(key))
                elif not call.left:
                    self.abandon(key)
                raise

    async def shielded(self, key: str, work: Awaitable[T]) -> T:
        """Wait for work; hold its cancellation until its recorded results have come again.

        `key` is the one that the work waits for, or one of several; empty if the order has nothing of it.
        """
        if not key or self.inside:
            return await work
        return await Shelter[T](self.order, key, self._may_end, self._begun).wait(work)

    def begin_wait(self, key: str) -> None:
        """Note that people are asked this from now on."""
        if not self.inside:
            self._ask(key)
            self.order.begin_wait(key)

    async def wait_if_abandoned(self, key: str) -> None:
        """Wait, if this was recorded as abandoned, until it is again; else return at once."""
        entry = self.use(key)
        if entry is None and self.order.closed and not self.inside:
            raise asyncio.CancelledError
        if entry is None:
            await self._begin_nothing_in_a_left_call()
        elif entry.left:
            self.order.begin_wait(key)
            await self._await_abandonment(key)

    async def record_result(self, key: str, entry: Entry, *, replace: bool = False) -> Entry:
        """Record a new result; return when it is its turn."""
        if self.inside:
            return await self.record(key, entry, replace=replace)
        wait = self.order.wait(key)
        if wait.left is None:
            await self._begin_nothing_in_a_left_call()
        event = wait.left or self.order.append(key)
        try:
            stored = await self.record(key, self._placed(entry, event), replace=replace)
            if wait.left is not None:  # perhaps while it was recorded, so nobody waits for it
                return stored
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

        The request holds the answer, so only the place is recorded. `deliver` notes the delivery while the agent
        continues.
        """
        replayed = self.order.event_of(key)
        new = self.order.append(key) if key not in self._entries and not self.inside else None

        async def write() -> None:
            # The place first: who is seen to have the answer keeps it there, also when this process is lost in between.
            if new is not None and self.order.wait(key).left is None:
                await self._record(key, self._placed(Entry("done"), new))
                self.order.mark_persisted(new)
            await deliver()

        self.late_writes.write(write)
        if (event := new or replayed) is not None:
            await self.order.await_turn(event)
        self.order.end_wait(key)

    def abandon(self, key: str) -> None:
        """Record that the team continued without this, unless the run leaves this process."""
        wait, enclosing = self.order.wait(key), _INSIDE.get()
        if enclosing is not None and self.is_leaving():
            self.cut.add(enclosing.key)  # this effect may wait forever, and is not waited for (`Effects.finish`)
        if self.is_leaving() or enclosing is not None:
            return
        self.pending_calls.mark_left()
        if wait.left is not None:
            return
        recorded, event = self._entries.get(key), self.order.event_of(key)
        if recorded is not None and recorded.left:
            self._leave_again(event)
            return
        if self.pending_calls.ends():
            return
        if event is not None and event.recorded:
            return  # it had reached the team before, so the code is another one (`Order.first_missing`)
        wait.left = event = event or self.order.append(key)
        event.automatic = True
        event.held = int(asyncio.get_running_loop().time() - self._opened_at) + 1

        async def write() -> None:
            # By now an effect that had begun has recorded so, and one that has just ended its result.
            if (recording := self._recording.get(key)) is not None:
                await recording
            entry = self._placed(self._entries.get(key) or Entry("started"), event, left=True)
            await self._record(key, entry, replace=True)
            self.order.mark_persisted(event)

        self.late_writes.write(write)
        self.order.end_wait(key)
        self.order.notify()

    def tell_lost(self, key: str, sentence: str, tell: Callable[[datetime], Awaitable[object]]) -> None:
        """Tell people once about a left effect that an earlier process never ended.

        `tell` gets the time at which it was started, and may be called again if this process is lost as well.
        """
        entry = self._entries.get(key)
        if entry is None or entry.state != "started" or not (entry.left and entry.attempt):
            return
        if self.was_left(key) or self.is_leaving():  # it is under way here
            return

        async def write() -> None:
            await tell(datetime.fromisoformat(entry.at))
            await self._record(key, dataclasses.replace(entry, state="unknown", value=sentence), replace=True)

        self.late_writes.write(write)

    def was_left(self, key: str) -> bool:
        """Tell whether the team continued without this in this process."""
        return self.order.wait(key).left is not None

    async def record_ended_turns(self) -> None:
        """Record the order of ended turns, before anything is asked or done outside."""
        if self.order.has_unrecorded_turns and not self.inside:
            event = self.order.append(MARK, automatic=True)
            self.order.notify()
            await self.record(f"{MARK}{event.place}", self._placed(Entry("done"), event))
            self.order.mark_persisted(event)

    @property
    def empty(self) -> bool:
        """Tell whether nothing is recorded for the run."""
        return not self._entries

    def is_recorded(self, key: str) -> bool:
        """Tell whether anything is recorded under the key."""
        return key in self._entries

    def of_kind(self, kind: str) -> dict[str, Entry]:
        """Return all entries of this kind by key, including those set aside."""
        return {key: entry for key, entry in self._entries.items() if key.startswith(f"{kind}/")}

    @asynccontextmanager
    async def executing(self, key: str) -> AsyncIterator[None]:
        """Enclose the execution of an effect that is not recorded under the key."""
        try:
            await self.before_execution(key)
            if self._ends_early():
                raise asyncio.CancelledError
            with self.activity.working():
                yield
        except asyncio.CancelledError:
            self.abandon(key)
            raise
        finally:
            self.order.end_wait(key)

    async def record(self, key: str, entry: Entry, *, replace: bool = False, on_disk: bool = False) -> Entry:
        """Record an entry, unless one exists (and not `replace`); return the stored one.

        `on_disk`: return only when it, and the approval before it, survive the loss of the store's machine. Waits for
        writes that are still under way, and for a store that does not answer. LeaseLost if another worker holds the
        run.
        """
        await self.late_writes.written()
        if (enclosing := _INSIDE.get()) is not None:
            entry = dataclasses.replace(entry, inside=True)
        elif (left := self.order.wait(key).left) is not None:
            # An effect outlives the call that was left: it ends when it ends, and its place stays that of the leaving.
            entry = self._placed(entry, left, left=True)
        if (earlier := self._entries.get(key)) is not None:
            # What failed inside is tried again where people had the whole repeated. And what was left is asked for now.
            repeated = enclosing is not None and enclosing.repeated and earlier.state == "failed"
            replace = replace or repeated or (earlier.left and self.order.wait(key).aside)
        return await self._record(key, entry, replace=replace, on_disk=on_disk)

    def is_cut_off(self) -> bool:
        """Tell whether a CancelledError means that the run leaves this process.

        If so, it says nothing about the effect's outcome. The effect itself is not cancelled, only its waits for models
        and people.
        """
        return being_cancelled() or self.is_leaving()

    def _placed(self, entry: Entry, event: OrderedEvent, *, left: bool = False) -> Entry:
        asked = tuple(sorted(event.asked))
        return dataclasses.replace(
            entry, place=event.place, left=left, held=event.held, after=event.after, turns=event.turns, asked=asked
        )

    async def _await_abandonment(self, key: str) -> None:
        """Wait until the team stops waiting again; return if people let the run skip that.

        The team's own clock may be early. The team leaves when the journal says so: at the place where it left before.
        """
        event = self.order.event_of(key)
        waiting = self.order.wait_until(lambda: self.order.wait(key).aside, busy=False)
        try:
            with self.activity.working():
                await self.shielded(key, waiting)
        except asyncio.CancelledError:
            if not self.is_leaving():
                self._leave_again(event)
            raise

    async def _begin_nothing_in_a_left_call(self) -> None:
        """Wait, if the current call was left before it came here, until it is left again.

        Only events up to that may need what it asks for here: the next process may leave the call before.
        """
        if (call := self.pending_calls.ends()) and not self.inside and self.order.event_of(call) is not None:
            self.order.notify()
            await self._await_abandonment(call)

    def _ask(self, key: str) -> None:
        """Note that this process asks for the key, and so do the shelters around."""
        self.order.wait(key).asked = True
        note_asked(key)

    def _ends_early(self) -> bool:
        """Tell whether an early cancellation forbids the current code to begin anything."""
        return not (self.inside or self.order.replaying) and cancelled_early()

    def _may_end(self, keys: Collection[str]) -> bool:
        """Tell whether a shelter in which these keys were asked for may be cancelled now."""
        if self.is_leaving() or self.order.closed:
            return True
        if (event := self.order.first_recorded()) is None:
            return not self._begun()
        # The left key must be asked for again first; otherwise an earlier one would be left in its place.
        left = event.name in keys and self._entries[event.name].left
        return left and self.order.wait(event.name).asked and self.order.may_pass(event)

    def _begun(self) -> str:
        """Name an effect that had begun, has no place, and is not asked for again."""
        unused = (key for key in self.order.unused() if not self._entries[key].place)
        return next((key for key in unused if self._entries[key].state == "started"), "")

    def _leave_again(self, event: OrderedEvent | None) -> None:
        if event is not None:
            event.automatic = True
            self.order.end_wait(event.name)
            self.order.notify()

    async def _record(self, key: str, entry: Entry, *, replace: bool = False, on_disk: bool = False) -> Entry:
        raw = entry.dump()
        self._recording[key] = recording = asyncio.get_running_loop().create_future()
        try:
            stored = Entry.load(await self._journal.record(self._lease, key, raw, replace=replace, on_disk=on_disk))
        except LeaseLost as lost:
            # The waiter may be an agent, whose errors AutoGen turns into text: the run would end as failed.
            self.late_writes.give_up(lost)
            raise
        finally:
            recording.set_result(None)
            if self._recording.get(key) is recording:
                del self._recording[key]
        self._entries[key] = stored
        return stored


async def inside(key: str, act: Callable[[], Awaitable[str]]) -> str:
    """Perform the effect with this key.

    What it asks for has no place in the order, and has keys of its own. A repeated effect has the key of its first
    attempt: what was done inside is found again.
    """
    first = first_attempt(key)
    token = _INSIDE.set(_Enclosing(first, repeated=first != key))
    try:
        return await act()
    finally:
        _INSIDE.reset(token)


def attempt_key(key: str, repeats: int) -> str:
    """Return the key of an effect after this number of repeats."""
    return f"{key}/again{repeats}" if repeats else key


def first_attempt(key: str) -> str:
    """Return the key of the effect's first attempt."""
    return re.sub(r"/again\d+$", "", key)


async def _allow(key: str) -> None:
    """Allow it."""
