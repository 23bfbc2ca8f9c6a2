"""The order of one run: what reached its team, and what its agents said.

Theory of operation. Replay rests on one invariant:

    What a team does next depends only on what has reached it so far, and in which order.

So a rebuilt run does what it did before, if the same things reach it in the same order; what happens in between needs
no record. Two kinds of events make up the order:

- A hand-on: something that an agent waited for reaches it, be it a result, a failure, a refusal, a person's answer, or
  the end of its own waiting. Each has a place in the journal.
- The end of a turn: what an agent says reaches the others. The entry of the next hand-on holds it: which turns ended
  since the hand-on before, and what else had been asked for by then.

The invariant has three premises, which the code around this module keeps:

- A key is a function of what the run has seen. What only one of two processes did (the inside of an effect that the
  other one found done) counts in no key outside of it (`RunJournal.key`).
- Passing and receiving are one step: nothing is awaited between an event's turn and the return to the agent.
  Everything that the agent gets is read before (tests/autogen/test_kill_shapes.py checks every way in).
- A team leaves a call when the journal says so, not when its clock does: a deadline that passes early waits for the
  place at which the call was left before. Left work has an entry even if none of its parts had been recorded: a call
  at the gate (`RunJournal.call`), or a doubt that people were asked about.

The rules:

1. Recorded events pass one by one, in their order, and each only when everything that had been asked for by then is
   asked for again. So local work, which nothing records, takes as long as it likes: the event after it waits.
2. Unrecorded work (a model, a tool, a step) begins when the last recorded event has passed.
3. No clock decides. A deadline of the team's own that passes before an answer which had come in time waits for that
   answer. Only if nothing at all has moved for LAST_RESORT is the code taken to have changed, and people are asked
   how to continue. A call that was left waits longer, because the team's own deadline may be longer: as long as the
   process that recorded it had held the run.
4. While agents of different branches speak at once, or an agent waits for several calls, an event passes SETTLED
   rounds of the event loop after the one before: an agent's message is on its way to the others for some rounds, and
   the result of a call is on its way through the tasks around it, which are more in a rebuilt run.
5. When the run leaves this process, no more turns are noted: messages of an agent whose call was cut off are not part
   of the run.

Rule 4 counts rounds because nothing tells when a message has arrived. AutoGen counts unfinished messages, but the
message that asks an agent to speak is unfinished until that agent has spoken, so the count does not reach zero while
another branch continues. Leaving those messages out does not help: a delivery may wait for an event itself (a selector
asks its model), and the event would then wait for the delivery. Nor must anything happen on arrival: a join in a graph
only counts. But the way consists of callbacks, each ready in the round after the one before, so it takes as many rounds
in a busy process as in an idle one. `call_soon` counts them; nothing is read from the loop's private queue.

Rule 4 is a belt. With SETTLED = 0, six shapes with branches (tests/autogen/kill_shapes.py: 40 branches, streams, left
calls, refusals, a team as a tool) ended right after all of 154 kills; a delivery that takes more rounds than it did
there would show only in another order of messages, which is why the rule stays.

Not covered: two pieces of local work inside one agent's own turn that race for something in its own memory. Nor the
order of branches inside an effect that is done again: if they hear messages in another order, they ask again. Nor a
deadline of the team's own that passes earlier than before, where it encloses another one (no record tells which of the
two ended a call) or calls at once, without a call of an agent that is a tool between them (asyncio drops the results of
a cancelled `asyncio.gather`): if the team then acts differently, people are asked about changed code. No effect is done
twice because of that. docs/guarantees.md has figures.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final, Generic, TypeVar

from countersign.runs.entries import Entry
from countersign.runs.rest_detection import Activity

T = TypeVar("T")
SETTLED: Final = 60
"""Rounds. From the end of a turn to the beginning of the next AutoGen 0.7.5 takes 9, and about two for each message
before it in the queue: ten branches that end in the same round take 24."""
LAST_RESORT: Final = timedelta(minutes=2)
MARK: Final = "mark/"
"""Prefix of the keys of entries that record only ended turns."""


@dataclass(eq=False, slots=True)
class OrderedEvent:
    """A hand-on, or the end of a turn.

    `name` is the key of the hand-on, or the agent whose turn ended; then `place` is 0 and `number` counts. `automatic`:
    it passes without a waiter. `awaited`: a task waits for it to pass. `held`: see `Entry.held`.
    """

    name: str
    place: int = 0
    number: int = 0
    recorded: bool = False
    awaited: bool = False
    automatic: bool = False
    held: int = 0
    after: int = 0
    turns: tuple[str, ...] = ()
    asked: frozenset[str] = field(default_factory=frozenset)


@dataclass(eq=False, slots=True)
class KeyState:
    """The state of one key in this process."""

    recorded: bool = False
    """An earlier process recorded it, outside of any effect."""
    expected: bool = False
    """It had been asked for when an earlier process recorded something else."""
    asked: bool = False
    """This process has asked for it."""
    open: bool = False
    """The team waits for it, and no entry says so yet."""
    passed: bool = False
    """It has reached the team."""
    left: OrderedEvent | None = None
    """The event at which the team left it, if that happened in this process."""
    aside: bool = False
    """People let the run continue without it."""


class Order:
    """The events of one run that have not passed yet.

    `stuck` is called with the missing event when a recorded order no longer advances. `several_calls` tells whether
    several calls are awaited at once.
    """

    def __init__(self, recorded: Mapping[str, Entry], activity: Activity) -> None:
        self.stuck: Callable[[str], None] = lambda missing: None
        self.several_calls: Callable[[], bool] = lambda: False
        self._activity = activity
        self._events: list[OrderedEvent] = []
        self._speaking: list[str] = []
        self._waits: dict[str, KeyState] = {}
        self._unrecorded_turns: list[tuple[int, str]] = []
        """The ends of turns that no entry contains yet."""
        self._concurrent = self._settling = self.closed = False
        """`_concurrent`: one of them came while somebody else was speaking."""
        self._last_place = self._last_turn = self._moves = 0
        self._waiters: dict[asyncio.Future[None], Callable[[], bool]] = {}
        """The waiters, and whether a move concerns them: of many branches only one has its turn."""
        for key, entry in sorted(recorded.items(), key=lambda item: item[1].place):
            self.wait(key).recorded = not entry.inside
            for name in entry.asked:
                self.wait(name).expected = True
            if not entry.place:  # the gate's verdicts, and effects that had only begun, never reached the team
                continue
            for number, name in enumerate(entry.turns, entry.after + 1):
                if number > self._last_turn:  # entries written at once hold the same turns
                    self._events.append(OrderedEvent(name, number=number, recorded=True))
                    self._last_turn = number
            asked = frozenset(entry.asked)
            automatic = key.startswith(MARK)
            event = OrderedEvent(key, entry.place, recorded=True, automatic=automatic, held=entry.held, asked=asked)
            self._events.append(event)
            self._last_place = entry.place
        self._persisted_turns = self._last_turn

    @property
    def replaying(self) -> bool:
        """Tell whether a recorded event has not passed yet."""
        return any(event.recorded for event in self._events)

    @property
    def has_unrecorded_turns(self) -> bool:
        """Tell whether turns have ended in an order that is not recorded yet."""
        return self._concurrent and bool(self._unrecorded_turns)

    def close(self) -> None:
        """Cancel all waiters, because the run leaves this process."""
        self.closed = True
        self.notify()

    def wait(self, key: str) -> KeyState:
        """Return the state of this key."""
        if key not in self._waits:
            self._waits[key] = KeyState()
        return self._waits[key]

    def begin_wait(self, key: str) -> None:
        """Note that this key is awaited from now on."""
        wait = self.wait(key)
        # What a team asks for once its run leaves this process comes from calls that were cut off.
        wait.asked, wait.open = True, not self.closed
        self.notify()

    def end_wait(self, key: str) -> None:
        """Note that this key is no longer awaited."""
        self.wait(key).open = False

    def append(self, key: str, *, automatic: bool = False) -> OrderedEvent:
        """Append the event of a new result."""
        self._last_place += 1
        asked = frozenset(name for name, wait in self._waits.items() if wait.open and name != key)
        turns = tuple(name for _, name in self._unrecorded_turns)
        event = OrderedEvent(key, self._last_place, awaited=True, automatic=automatic)
        event.after, event.turns, event.asked = self._persisted_turns, turns, asked
        self._events.append(event)
        return event

    def mark_persisted(self, event: OrderedEvent) -> None:
        """Note that the journal now contains the event and all earlier ones."""
        self._persisted_turns = max(self._persisted_turns, event.after + len(event.turns))
        self._unrecorded_turns = [turn for turn in self._unrecorded_turns if turn[0] > self._persisted_turns]
        self._concurrent = self._concurrent and bool(self._unrecorded_turns)
        for name in event.asked:
            self.wait(name).open = False

    def event_of(self, key: str) -> OrderedEvent | None:
        """Return the hand-on under this key, if it has not passed."""
        return next((event for event in self._events if event.place and event.name == key), None)

    def first_recorded(self) -> OrderedEvent | None:
        """Return the recorded event that passes next, if any."""
        return next((event for event in self._events if event.recorded), None)

    async def await_turn(self, event: OrderedEvent) -> None:
        """Wait for the event's turn and let it pass."""
        event.awaited = True
        try:
            its_turn = partial(self.may_pass, event)
            await self.wait_until(its_turn, concerned=its_turn)
        except BaseException:
            # A recorded event waits for the next caller; a new event keeps its place until it is recorded or removed.
            event.awaited = not event.recorded
            raise
        if event in self._events:
            self._pass(event)

    def remove(self, event: OrderedEvent) -> None:
        """Remove an event that will not come."""
        if event in self._events:
            self._events.remove(event)
        self.notify()

    @contextmanager
    def turn(self, agent: str) -> Iterator[None]:
        """Enclose an agent's turn until it has spoken; turn `a` encloses turns of `a/b`."""
        self._speaking.append(agent)
        try:
            yield
        finally:
            self._speaking.remove(agent)
            self.notify()

    async def end_turn(self, agent: str) -> None:
        """Wait until the agent's message may reach the others.

        CancelledError when the run leaves this process.
        """
        if self.closed:  # it speaks only because its call was cut off; effects under way still record their end
            raise asyncio.CancelledError
        event = next((e for e in self._events if not e.place and e.name == agent and not e.awaited), None)
        if event is None:
            self._last_turn += 1
            event = OrderedEvent(agent, number=self._last_turn)
            self._events.append(event)
            self._unrecorded_turns.append((self._last_turn, agent))
            self._concurrent = self._concurrent or self._in_branches()
        try:
            await self.await_turn(event)
        except asyncio.CancelledError:  # the agent was left; others may continue, even if this turn is already recorded
            event.automatic = True
            self.notify()
            raise

    async def wait_until(
        self,
        reached: Callable[[], bool],
        *,
        busy: bool = True,
        concerned: Callable[[], bool] = lambda: True,
        on_wake: Callable[[], None] | None = None,
        missing: Callable[[], str] | None = None,
    ) -> None:
        """Wait until `reached` is true; CancelledError when the run leaves this process.

        `busy`: the run does not rest meanwhile. `concerned` tells, after a move, whether to check again; `on_wake` is
        called then. `missing` names the missing thing if it is not an event.
        """
        loop = asyncio.get_running_loop()
        moves, since = self._moves, loop.time()
        while not reached():
            if self.closed:
                raise asyncio.CancelledError
            if on_wake is not None:
                on_wake()
            if moves != self._moves:
                moves, since = self._moves, loop.time()
            moved = loop.create_future()
            self._waiters[moved] = concerned
            try:
                with self._activity.holding(busy):
                    await asyncio.wait({moved}, timeout=LAST_RESORT.total_seconds())
            finally:
                del self._waiters[moved]
            # Nothing has moved since: the whole run stands still, not only this wait.
            quiet = moves == self._moves and loop.time() - since >= self._deadline_ahead()
            if quiet and (name := self.first_missing() or (missing and missing())):
                self.stuck(name)

    def first_missing(self) -> str:
        """Name the missing event that must come first; "" if nothing is missing."""
        first = next(iter(self._events), None)
        if first is None or not first.recorded:
            return ""
        if not first.awaited and not first.automatic:
            return first.name
        return min((name for name in first.asked if not self.wait(name).asked), default="")

    def _deadline_ahead(self) -> float:
        """Return the seconds that a deadline of the team's own may still need."""
        first = self.first_recorded()
        if first is None or not first.held or not self.wait(first.name).asked:
            return 0.0
        return first.held + LAST_RESORT.total_seconds() / 2

    def unused(self) -> list[str]:
        """List the recorded keys that are neither asked for nor set aside."""
        return [key for key, wait in self._waits.items() if wait.recorded and not wait.asked and not wait.aside]

    def missing_from(self, names: Collection[str]) -> tuple[list[str], list[int]]:
        """List the keys and turns that are missing, from one of these names on.

        Lists all of them if no event has one of the names. Keys without a place are included.
        """
        missing = [event for event in self._events if event.recorded and not event.awaited]
        later = missing[next((at for at, event in enumerate(missing) if event.name in names), 0) :]
        placed = {event.name for event in self._events if event.place}
        keys = {event.name for event in later if event.place} | {key for key in self.unused() if key not in placed}
        return sorted(keys), [event.number for event in later if not event.place]

    def set_aside(self, keys: Collection[str], turns: Collection[int]) -> None:
        """Let the order continue without these keys and turns.

        Keys that were asked for at that point need not be asked for again.
        """
        for key in keys:
            self.wait(key).aside = True
        aside = {e for e in self._events if not e.awaited and (e.name in keys if e.place else e.number in turns)}
        self._events = [event for event in self._events if event not in aside]
        for event in self._events:
            if event.recorded:  # the changed code may never ask for that
                event.asked = frozenset()
        self.notify()

    def notify(self) -> None:
        """Make the waiters check again, because something has changed."""
        while self._events and self._events[0].automatic and self.may_pass(self._events[0]):
            self.wait(self._events.pop(0).name).passed = True
        self._moves += 1
        for moved, concerned in self._waiters.items():
            if not moved.done() and (self.closed or concerned()):
                moved.set_result(None)

    def may_pass(self, event: OrderedEvent) -> bool:
        """Tell whether it is the event's turn."""
        if event not in self._events:
            return True
        if self._events[0] is not event or self._settling:
            return False
        return not event.recorded or all(self.wait(name).asked for name in event.asked)

    def _pass(self, event: OrderedEvent) -> None:
        self._events.remove(event)
        if event.place:
            self.wait(event.name).passed = True
        if self._in_branches() or self.several_calls():
            self._settling = True
            self._settle(SETTLED)
        else:
            self.notify()

    def _settle(self, rounds: int) -> None:
        if rounds:
            asyncio.get_running_loop().call_soon(self._settle, rounds - 1)
        else:
            self._settling = False
            self.notify()

    def _in_branches(self) -> bool:
        """Tell whether several agents speak at once that do not enclose each other."""
        inner = [one for one in self._speaking if not any(other.startswith(f"{one}/") for other in self._speaking)]
        return len(inner) > 1


_CALL: Final[ContextVar["PendingCall | None"]] = ContextVar("call", default=None)


@dataclass(eq=False, slots=True)
class PendingCall:
    """A call of an agent, perhaps inside another one.

    `key`: the call's own key, if it has one; `times` counts the keys given out inside it. `left`: the journal has the
    parts that the team left. `left_before`: an earlier process recorded that the team left the whole call.
    """

    agent: str
    around: "PendingCall | None"
    key: str
    left_before: bool
    times: Counter[str] = field(default_factory=Counter)
    asked: bool = False
    left: bool = False


class PendingCalls:
    """The pending calls of one run; `on_end` is called when one is over."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._calls: set[PendingCall] = set()

    @contextmanager
    def calling(self, agent: str, key: str = "", *, left_before: bool = False) -> Iterator[PendingCall]:
        """Enclose an agent's call, including the look-ups before its effect."""
        call = PendingCall(agent, _CALL.get(), key, left_before)
        self._calls.add(call)
        token = _CALL.set(call)
        try:
            yield call
        finally:
            _CALL.reset(token)
            self._calls.discard(call)
            self._on_end()

    def reach_effect(self) -> None:
        """Note that the call of the current task asks for its effect."""
        if (call := _CALL.get()) is not None:
            call.asked = True

    def mark_left(self) -> None:
        """Note that a part of the current call, and of the enclosing calls, was left."""
        for call in _around():
            call.left = True

    def current(self) -> PendingCall | None:
        """Return the innermost call around the current code that has a key."""
        return next((call for call in _around() if call.key), None)

    def ends(self) -> str:
        """Return the key of the call around here that an earlier process left."""
        return next((call.key for call in _around() if call.left_before), "")

    def several(self) -> bool:
        """Tell whether several calls are pending that do not enclose each other."""
        around = {call.around for call in self._calls}
        return len(self._calls - around) > 1

    def has(self, agent: str) -> bool:
        """Tell whether the agent has a call that has not reached its effect yet."""
        return any(call.agent == agent and not call.asked for call in self._calls)


def _around() -> Iterator[PendingCall]:
    """Yield the calls around the current code, the innermost first."""
    call = _CALL.get()
    while call is not None:
        yield call
        call = call.around


_EARLY: Final[ContextVar[tuple[asyncio.Task[Any], ...]]] = ContextVar("cancelled early", default=())
"""The current task and the tasks around it whose cancellation came before their wait might end."""


class Shelter(Generic[T]):
    """Work that is cancelled with its task, but not before it `may_end`.

    If the work is done by then, the next wait is cancelled instead. `keys` are the keys asked for in it, which
    `may_end` gets. `begun` names a begun effect without a place in the order, "" if there is none.
    """

    def __init__(
        self, order: Order, key: str, may_end: Callable[[Collection[str]], bool], begun: Callable[[], str]
    ) -> None:
        self.keys = {key}
        self._order = order
        self._may_end = may_end
        self._begun = begun
        self._around: tuple[Shelter[Any], ...] = _AROUND.get()
        self._cancelled = self._ended = False

    @property
    def is_held(self) -> bool:
        """Tell whether its cancellation has come and is still held back."""
        return self._cancelled and not self._ended

    async def wait(self, work: Awaitable[T]) -> T:
        """Wait for the work."""
        token = _AROUND.set((*self._around, self))
        try:
            return await self._cancelled_late(work)
        finally:
            _AROUND.reset(token)

    async def _cancelled_late(self, work: Awaitable[T]) -> T:
        early = _taken_early()
        # A call that was under way when its process was lost has no event, but must be asked for again.
        if not early and not self._order.replaying and not self._begun():
            return await work
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._order.notify())
        self._cancelled, begins = bool(early), bool(early)
        while not task.done():
            if self.is_held and not begins and self._may_end_now():
                self._ended = task.cancel()
            try:
                if begins:  # a task that is cancelled before its first round would record nothing
                    begins = False
                    await asyncio.sleep(0)
                elif self.is_held:
                    await self._order.wait_until(
                        lambda: task.done() or self._may_end_now(), busy=False, missing=self._begun
                    )
                    await _handed_on(task)
                else:
                    await asyncio.wait({task})
            except asyncio.CancelledError:
                self._cancelled, self._ended = True, False
        if self._cancelled and not task.cancelled() and (current := asyncio.current_task()) is not None:
            _EARLY.set((*early, current))
        return task.result()

    def _may_end_now(self) -> bool:
        return any(outer._ended for outer in self._around) or self._may_end(self.keys)


_AROUND: Final[ContextVar[tuple[Shelter[Any], ...]]] = ContextVar("shelters", default=())


def note_asked(key: str) -> None:
    """Note in the shelters around here that the key is asked for."""
    for shelter in _AROUND.get():
        shelter.keys.add(key)


def cancelled_early() -> bool:
    """Tell once whether the current code was cancelled too early.

    Once all recorded events have passed, it should begin nothing new.
    """
    return bool(_taken_early()) or any(shelter.is_held for shelter in _AROUND.get())


def _taken_early() -> tuple[asyncio.Task[Any], ...]:
    """Return, once, the tasks around here whose early cancellation is still due.

    A deadline that has ended since took its cancellation back (`asyncio.Task.uncancel`).
    """
    tasks = _EARLY.get()
    _EARLY.set(())
    return tuple(task for task in tasks if task.cancelling())


async def _handed_on(task: asyncio.Future[T]) -> None:
    """Wait some rounds of the event loop, until the last result has passed."""
    for _ in range(SETTLED):
        if task.done():
            return
        await asyncio.sleep(0)
