"""A worker, and the store area that workers share, as the model of docs/decisions/0008-one-writer.md needs them.

A worker is a generator: it yields what it does next, one step at a time, so that a test can kill it, freeze it, or lose
and repeat its calls between any two steps.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

from tests.protocol.web_rules import Ask, Begin, Call, Claim, Deliver, Finish, Park, Refusal, Report, Status, WebRun


class LeaseLost(Exception):
    """Another worker holds the run's lease."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The run as `web` stored it after a call, and why the call changed nothing, if so."""

    run: WebRun
    refusal: Refusal | None


@dataclass(slots=True)
class Area:
    """The workers' own store: the lease, the jobs and the journal of the run.

    `unsynced` holds the keys of entries that a power cut would lose. Everything that a promise rests on is written
    through; model replies and results of effects need not be.
    """

    fence: int = 0
    holder: int | None = None
    jobs: set[int] = field(default_factory=set)
    journal: dict[str, str] = field(default_factory=dict)
    unsynced: set[str] = field(default_factory=set)

    def acquire(self, worker: int) -> int | None:
        """Take the lease with a new fence, or None while another worker holds it."""
        if self.holder is not None:
            return None
        self.holder, self.fence = worker, self.fence + 1
        return self.fence

    def write(self, fence: int, key: str, value: str, *, synced: bool = True) -> None:
        """Write an entry of the journal under the lease."""
        if self.holder is None or fence != self.fence:
            raise LeaseLost
        self.journal[key] = value
        self.unsynced.discard(key)
        if not synced:
            self.unsynced.add(key)

    def release(self, fence: int) -> None:
        """Give the lease back, if it is still held under this fence."""
        if fence == self.fence:
            self.holder = None


@dataclass(frozen=True, slots=True)
class Act:
    """The effect outside."""

    execution: str
    request: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A point between two local steps, at which the process may be frozen or killed."""


IDEMPOTENT: Final = frozenset({"b"})
"""Requests whose action may happen twice."""
Step = Call | Act | Pause
Working = Generator[Step, Reply | None, None]


def questions(history: list[str]) -> list[str]:
    """List the questions that the example team asks, given the answers so far in their order.

    Two at once, then one whose content depends on the order of the first two answers.
    """
    asked = ["a", "b"]
    if len(history) >= 2:
        asked.append("c:" + ",".join(history[:2]))
    return asked


def work(area: Area, worker: int, *, parks: bool) -> Working:
    """Advance the run until it ends, parks or is lost to another worker."""
    fence = area.acquire(worker)
    if fence is None:
        return
    try:
        yield from _advance(area, fence, parks)
    except LeaseLost:
        return
    area.release(fence)


def _advance(area: Area, fence: int, parks: bool) -> Working:
    reply = yield from _call(Claim(fence))
    if reply.refusal is not None:
        return
    if not area.journal and (reply.run.grants or any(asked.delivered for asked in reply.run.requests.values())):
        yield from _call(Finish(fence, failed=True))  # never rebuild from nothing what has acted
        return
    while True:
        history = [value for key, value in area.journal.items() if key.startswith("place/")]
        for name in questions(history):
            if f"asking/{name}" not in area.journal:
                area.write(fence, f"asking/{name}", name)
            if name not in reply.run.requests:
                reply = yield from _call(Ask(fence, name, f"digest of {name}"))
                if reply.refusal is not None:
                    return
        open_ones = [name for name in questions(history) if f"done/{name}" not in area.journal]
        if not open_ones:
            area.write(fence, "end", "finished")
            yield from _call(Finish(fence))
            return
        # What the journal has placed continues first, in its order: the team saw it in that order.
        placed = [name for name in open_ones if f"place/{name}" in area.journal]
        decided = [name for name in open_ones if reply.run.requests[name].status is not Status.PENDING]
        ready = placed or decided
        if ready:
            going_on = yield from _hand_on(area, fence, ready[0], reply.run)
            if not going_on:
                return
        elif parks:
            reply = yield from _call(Park(fence, frozenset(open_ones)))
            if reply.refusal is None or reply.refusal is not Refusal.DECIDED:
                return
            continue
        reply = yield from _call(Claim(fence))  # stands for the pushed hint and the read that follows it
        if reply.refusal is not None:
            return


def _hand_on(area: Area, fence: int, name: str, run: WebRun) -> Generator[Step, Reply | None, bool]:
    """Hand a decision to the agent, and act on an approval; False if the worker must let the run go."""
    status = run.requests[name].status
    if f"place/{name}" not in area.journal:
        area.write(fence, f"place/{name}", f"{name}={status.value}")
    result = "not approved"
    if status is Status.APPROVED:
        acted = yield from _execute(area, fence, name)
        if acted is None:
            return False
        result = acted
    else:
        reply = yield from _call(Deliver(fence, name))
        if reply.refusal is not None:
            return False
    area.write(fence, f"done/{name}", result)
    return True


def _execute(area: Area, fence: int, name: str) -> Generator[Step, Reply | None, str | None]:
    number, doubt = 1, ""
    while True:
        execution = f"{name}#{number}"
        if (known := area.journal.get(f"result/{execution}")) is not None:
            yield from _call(Report(execution))
            return known
        if f"started/{execution}" not in area.journal:
            area.write(fence, f"started/{execution}", "")
        begin = Begin(fence, name, execution, f"digest of {name}", doubt, idempotent=name in IDEMPOTENT)
        reply = yield from _call(begin)
        match reply.refusal:
            case None:
                yield Pause()
                if area.fence != fence or area.holder is None:  # the lease's time, checked last
                    return None
                yield Act(execution, name)
                area.write(fence, f"result/{execution}", "done", synced=False)
                yield from _call(Report(execution))
                return "done"
            case Refusal.REPORTED:  # the earlier worker reported, and then died
                area.write(fence, f"result/{execution}", "it was done before")
                return "it was done before"
            case Refusal.IN_DOUBT | Refusal.TAKEN:
                doubt = f"doubt/{execution}"
            case _:
                return None
        if reply.run.requests.get(doubt) is None:
            reply = yield from _call(Ask(fence, doubt, doubt, about=execution))
        while reply.refusal is None and reply.run.requests[doubt].status is Status.PENDING:
            reply = yield from _call(Claim(fence))
        if reply.refusal not in (None, Refusal.IN_DOUBT, Refusal.TAKEN):
            return None
        if reply.run.requests[doubt].status is not Status.APPROVED:
            area.write(fence, f"result/{execution}", "people say that it ran, or gave it up")
            continue
        number += 1


def _call(call: Call) -> Generator[Step, Reply | None, Reply]:
    reply = yield call
    assert reply is not None
    return reply
