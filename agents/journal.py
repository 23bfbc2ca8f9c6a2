"""What came from outside, recorded as it happens, so that a rebuilt run repeats nothing.

The key of an entry is its kind, the asking agent, the digest of what was asked, and the how-many-eth time this was
asked: parallel agents may then interleave differently in a rebuilt run. Results have places, and are given again in
that order (`agents.turns`). Of a human's answer only the place is recorded, because the request of a question is
found again by its id (`bot.core.requests.request_id`).
"""

import asyncio
import dataclasses
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self

from pydantic import Field, TypeAdapter

from agents.activity import Activity
from agents.behind import Behind
from agents.patience import being_cancelled, patiently
from agents.turns import Turns
from bot.core import ports
from bot.core.errors import ActionFailed, NewerSchema, OutcomeUnknown, UnknownSchema
from bot.core.ids import RequestId, digest_of
from bot.core.ports import Lease

SCHEMA: Final = 2
READS: Final = frozenset({1, 2})
"""Schema 1 had no places: its results are given again as soon as they are asked for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded effect.

    `value` is the result, or the sentence of a failure; `attempt` tells whose `started` it is, and `at` when that was.
    `place` counts the run's results from 1, 0 is none; `alone`: nothing else was under way when it came.
    """

    state: Literal["started", "done", "failed", "unknown"]
    value: str = ""
    attempt: str = ""
    at: str = ""
    place: Annotated[int, Field(ge=0, le=2**53)] = 0
    alone: bool = True

    def dump(self) -> bytes:
        """JSON with its schema number."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}).encode()

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """From JSON. NewerSchema if a newer version of this program wrote it, UnknownSchema if another one did."""
        with suppress(ValueError, TypeError, RecursionError):  # what is no entry at all, or has other fields
            fields = dict(json.loads(raw))
            schema = fields.pop("schema", None)
            if isinstance(schema, int) and schema > SCHEMA:
                raise NewerSchema(
                    "A newer version of the worker wrote a step of this run, so it waits for one; nothing was repeated."
                )
            if isinstance(schema, int) and schema in READS:
                return _ENTRY.validate_python(fields)  # type: ignore[return-value]
        raise UnknownSchema(
            "A recorded step of this run was written by another version of the worker, so the run cannot be "
            "rebuilt by this one. Nothing was repeated; please start the task anew."
        )


_ENTRY: Final = TypeAdapter(Entry)


class RunJournal:
    """The journal of one run, as this process goes through it: each `key` is given out once.

    `before_live` is asked before anything happens that nothing recorded answers; what it raises keeps it from
    happening (`agents.doubts`). `now` is the clock of what is recorded; `let_go` tells whether this process lets go of
    the run.
    """

    def __init__(self, journal: ports.Journal, lease: Lease, entries: Mapping[str, bytes]) -> None:
        self._journal = journal
        self.run = lease.run
        self._lease = lease
        self._entries = {key: Entry.load(raw) for key, raw in entries.items()}
        self._times: Counter[str] = Counter()
        self._unused = set(self._entries)
        self.activity = Activity()
        places = (entry.place for entry in self._entries.values() if entry.place)
        self._turns = Turns(places, lambda: self.activity.looks_up)
        self.behind = Behind()
        self.before_live: Callable[[str], Awaitable[None]] = _always
        self.now: Callable[[], Awaitable[datetime]] = _by_this_machine
        self.let_go: Callable[[], bool] = _not_let_go

    @classmethod
    async def open(cls, journal: ports.Journal, lease: Lease) -> Self:
        """With everything recorded so far."""
        return cls(journal, lease, await patiently(lambda: journal.entries(lease.run)))

    def key(self, kind: str, agent: str, *content: str | bytes) -> str:
        """The key for the next effect of this kind, agent and content."""
        name = f"{kind}/{agent}/{digest_of(*content)[:32]}"
        self._times[name] += 1
        return f"{name}/{self._times[name] - 1}"

    def found(self, key: str) -> Entry | None:
        """What was recorded under the key, if anything."""
        self._unused.discard(key)
        return self._entries.get(key)

    def recorded(self, kind: str) -> list[str]:
        """The values of everything of this kind."""
        return [entry.value for key, entry in self._entries.items() if key.startswith(f"{kind}/")]

    async def again(self, key: str) -> Entry | None:
        """The same, and a result only in its turn."""
        entry = self.found(key)
        if entry is not None and entry.place:
            with self._turns.at(entry.place, alone=entry.alone):
                await self._turns.come(entry.place)
        return entry

    async def result(self, key: str, entry: Entry, *, replace: bool = False) -> Entry:
        """Like `record`, for a result that has just come; returns when it is its turn to be handed on."""
        placed = dataclasses.replace(entry, place=self._turns.new(), alone=self._alone())
        with self._turns.at(placed.place, alone=placed.alone):
            stands = await self.record(key, placed, replace=replace)
            await self._turns.come(placed.place)
        return stands

    async def arrived(self, human: str, request: RequestId, deliver: Callable[[], Awaitable[object]]) -> None:
        """A person's answer has its place too; nothing else of it is recorded, the request holds it.

        Returns when it is its turn to be handed on. `deliver` writes that it was, and runs while the agent goes on.
        """
        key = self.key("human", human, request)
        entry = self.found(key)
        new = Entry("done", place=self._turns.new(), alone=self._alone()) if entry is None else None

        async def write() -> None:
            # The place first: who is seen to have the answer keeps it there, also when this process is lost in between.
            if new is not None:
                await self._record(key, new)
            await deliver()

        self.behind.write(write)
        placed = entry or new
        if placed is not None and placed.place:
            with self._turns.at(placed.place, alone=placed.alone):
                await self._turns.come(placed.place)

    def unused(self) -> set[str]:
        """Keys of what was recorded before this process took the run, and not asked for since, nor set aside."""
        return set(self._unused)

    def unused_since(self, keys: Collection[str]) -> list[str]:
        """The same, but only what came when the first of these did, or later."""
        first = min(self._entries[key].place for key in keys)
        return sorted(key for key in self._unused if not 0 < self._entries[key].place < first)

    def of_kind(self, kind: str) -> dict[str, Entry]:
        """Everything of this kind that is recorded now, by key; what was set aside too, for it happened."""
        return {key: entry for key, entry in self._entries.items() if key.startswith(f"{kind}/")}

    def set_aside(self, keys: Collection[str]) -> None:
        """Nobody need ask for these any more; who does still finds them."""
        self._unused.difference_update(keys)
        self._turns.skip(self._entries[key].place for key in keys if key in self._entries)

    @asynccontextmanager
    async def live(self, key: str) -> AsyncIterator[None]:
        """Around what happens now, because nothing is recorded under the key."""
        await self.before_live(key)
        with self.activity.working():
            yield

    async def record(self, key: str, entry: Entry, *, replace: bool = False) -> Entry:
        """Record, unless something stands there already (and not `replace`); returns what stands there then.

        Waits for what is still being written behind the agent, and for a store that does not answer. LeaseLost if
        another worker holds the run.
        """
        await self.behind.written()
        return await self._record(key, entry, replace=replace)

    def cut_off(self) -> bool:
        """Whether a CancelledError is the end of the run here, and says nothing of what was done: an effect is not
        cancelled itself, but the models and people that it waits for are."""
        return being_cancelled() or self.let_go()

    def _alone(self) -> bool:
        """Whether what has just come is all that goes on. What was handed on just now may have begun nothing yet."""
        return self.activity.under_way <= 1 and not self._turns.settling

    async def _record(self, key: str, entry: Entry, *, replace: bool = False) -> Entry:
        raw = entry.dump()
        stands = Entry.load(
            await patiently(lambda: self._journal.record(self._lease, key, raw, replace=replace)),
        )
        self._entries[key] = stands
        return stands


async def effect(
    journal: RunJournal,
    key: str,
    name: str,
    act: Callable[[], Awaitable[str]],
    wanted: Callable[[], Awaitable[None]],
    *,
    idempotent: bool = False,
) -> str:
    """Do something outside at most once in the life of the run; what it returned is recorded and returned again.

    `wanted` raises if it must not be done any more; it is asked after `started` was recorded and right before `act`.
    ActionFailed if it certainly did not happen, now or when it was tried; asking for it again is a new try, under a
    new key. OutcomeUnknown if it was started and nobody knows how it ended (`agents.doubts`); `idempotent`: then it is
    done again, unless it was `act` that said so.
    """
    before = await journal.again(key)
    # What said itself that nobody knows was put to people, and what they say of it counts.
    again = idempotent and before is not None and before.state == "started"
    if before is not None and not again:
        return _as_it_ended(before, name)
    async with journal.live(key):
        return await _now(journal, key, name, act, wanted, again=again, idempotent=idempotent)


async def _now(
    journal: RunJournal,
    key: str,
    name: str,
    act: Callable[[], Awaitable[str]],
    wanted: Callable[[], Awaitable[None]],
    *,
    again: bool,
    idempotent: bool,
) -> str:
    mine = Entry("started", attempt=secrets.token_hex(8), at=(await journal.now()).isoformat())
    stands = await journal.record(key, mine, replace=again)
    if stands != mine:
        return _as_it_ended(stands, name)
    try:
        await wanted()
    except BaseException as error:
        # What is cut off and may be done again is: it stays `started`.
        if not (idempotent and isinstance(error, asyncio.CancelledError)):
            await journal.record(key, Entry("failed", f"“{name}” was not done any more."), replace=True)
        raise
    try:
        result = await act()
    except OutcomeUnknown as unclear:
        await journal.result(key, dataclasses.replace(mine, state="unknown", value=str(unclear)), replace=True)
        raise
    except ActionFailed as failure:
        await journal.result(key, Entry("failed", str(failure)), replace=True)
        raise
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        # SystemExit would end the worker, and with it all of its runs.
        if isinstance(error, asyncio.CancelledError) and journal.cut_off():
            raise
        doubt = OutcomeUnknown(
            f"“{name}” ended with an error that does not say whether it happened ({type(error).__name__}). It was not "
            "repeated; please look at the other end before the task is started again."
        )
        await journal.result(key, dataclasses.replace(mine, state="unknown", value=str(doubt)), replace=True)
        raise doubt from error
    await journal.result(key, Entry("done", result), replace=True)
    return result


async def _always(key: str) -> None:
    """Nothing speaks against it."""


def _not_let_go() -> bool:
    return False


async def _by_this_machine() -> datetime:
    return datetime.now(UTC)


def _as_it_ended(entry: Entry, name: str) -> str:
    match entry.state:
        case "done":
            return entry.value
        case "failed":
            raise ActionFailed(entry.value)
        case "unknown":
            raise OutcomeUnknown(entry.value)
        case "started":
            raise OutcomeUnknown(
                f"Nobody knows whether “{name}” happened: the worker was lost while it was under way. It was not "
                "repeated; please look at the other end before the task is started again."
            )
