"""Deals the blows of the plan, and counts those that hit."""

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Awaitable
from random import Random
from typing import Final, TypeVar

from localslack.faults import Fault
from tests.chaos.cluster import LEASE, Deployment, Process
from tests.chaos.plan import SKEWS, Blow
from tests.chaos.proxy import Wire

T = TypeVar("T")
log = logging.getLogger(__name__)

_COUNTED: Final = frozenset(
    {
        "kill Redis",
        "freeze Redis",
        "tear Redis' file",
        "Redis out of memory",
        "cut wire",
        "hold wire",
        "half-open wire",
        "API: cut wire",
        "API: hold wire",
        "API: half-open wire",
        "double job",
        "lose area",
        "every web away",
        "Slack: away",
        "Slack: cut sockets",
    }
)
"""Those that hit as they are dealt; the others are counted when somebody meets them."""
_HELD: Final = 5.0
"""Seconds that calls of `web` are held still."""
_SHOWN: Final = ("chat.postMessage", "chat.update", "chat.*")
_ASKED: Final = ("chat.*", "views.open", "users.info", "conversations.*", "*")
_DELIVERED: Final = ("block_actions", "slash_commands", "view_submission")


class FaultInjector:
    """Deals blows; `done` counts them by kind."""

    def __init__(self, deployment: Deployment, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._town = deployment
        self._random = Random(f"restarts {seed}")
        self._armed: list[tuple[str, Fault, int]] = []
        self._lost = 0
        self._ending: set[Process] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._web_may_start = asyncio.Event()
        self._web_may_start.set()

    async def deal(self, blows: list[Blow]) -> None:
        """Each blow at its time, whatever the others do; returns when the last was begun."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for blow in blows:
            await asyncio.sleep(begun + blow.at - loop.time())
            task = asyncio.create_task(self._blow(blow), name=f"{blow.kind} at {blow.at:.1f}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def rest(self) -> None:
        """Everything is mended when this returns; counts what Slack's faults hit."""
        await self.finished()
        self._count()
        await self._town.mend()

    async def finished(self) -> None:
        """Every blow that was begun is over."""
        while self._under_way:
            await asyncio.gather(*self._under_way)

    async def stop(self) -> None:
        """Nothing more is done to anybody, so that nothing is started behind the deployment's end."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def start(self, process: Process) -> Awaitable[None]:
        """Start a process; a worker with one of the clocks, and more or less patience before it parks."""
        if process.kind == "worker":
            process.env["SKEW"] = str(skew := self._random.choice(SKEWS))
            process.env["PARK_AFTER"] = self._random.choice(("0s", "5s", "60s"))
            self.done["worker's clock wrong by 1 h"] += bool(skew)
        return process.start()

    async def _blow(self, blow: Blow) -> None:
        what, _, victim = blow.kind.partition(" ")
        slack = self._town.slack
        if victim in ("worker", "web"):
            free = [p for p in self._town.of(victim) if p.running and not p.frozen and p not in self._ending]
            # One of each kind is left alone, but for "every web away", or there would be nobody left to work.
            if len(free) > 1:
                await self._hurt(what, _pick(free, blow), blow)
            return
        lines = [p.wire for p in self._town.processes if p.running]
        wire = _pick(lines, blow) if lines else None
        doors = [p.door for p in self._town.of("web") if p.running and p.door is not None]
        door = _pick(doors, blow) if doors else None
        match blow.kind:
            case "kill Redis":
                self._town.signal_redis(signal.SIGKILL)
            case "freeze Redis":
                self._town.signal_redis(signal.SIGSTOP)
                await asyncio.sleep(6 * blow.seconds)
                self._town.signal_redis(signal.SIGCONT)
            case "cut wire" if wire:
                wire.cut()
            case "hold wire" if wire:
                wire.hold(True)
                await asyncio.sleep(8 * blow.seconds)
                wire.hold(False)
            case "lose reply" if wire:
                wire.lose(blow.times)
            case "lose script's reply" if wire:
                wire.lose(blow.times, only=b"EVALSHA")
            case "Slack: 429":
                self._arm(blow, slack.faults.add("ratelimited", _pick(_SHOWN, blow), times=blow.times, retry_after=1))
            case "Slack: 5xx":
                status = (500, 502, 503)[blow.times - 1]
                self._arm(blow, slack.faults.add("server_error", _pick(_ASKED, blow), times=blow.times, status=status))
            case "Slack: lost reply":
                self._arm(blow, slack.faults.add("lost_reply", _pick(_SHOWN, blow), times=blow.times))
            case "Slack: lost request":
                self._arm(blow, slack.faults.add("lost_request", _pick(_ASKED, blow), times=blow.times))
            case "Slack: slow":
                slow = slack.faults.add("delay", _pick(_ASKED, blow), times=blow.times, seconds=4 * blow.seconds)
                self._arm(blow, slow)
            case "Slack: deliver twice":
                self._arm(blow, slack.faults.add("deliver_twice", _pick(_DELIVERED, blow), times=blow.times))
            case "Slack: deliver late":
                late = slack.faults.add("deliver_delay", _pick(_DELIVERED, blow), times=1, seconds=3 * blow.seconds)
                self._arm(blow, late)
            case "Slack: cut sockets":
                slack.cut_sockets()
            case "Slack: away":
                away = slack.faults.add("server_error", times=None)
                await asyncio.sleep(blow.seconds)
                if away in slack.faults.active:
                    slack.faults.active.remove(away)
            case "tear Redis' file":
                if not await self._town.tear_redis_file():
                    return
            case "Redis out of memory":
                await self._town.redis_memory("1mb")
                await asyncio.sleep(4 * blow.seconds)
                await self._town.redis_memory("0")
            case "half-open wire" if wire:
                await _half_open(wire, blow)
            case "API: cut wire" if door:
                door.cut()
            case "API: hold wire" if door:
                door.hold(True)
                await asyncio.sleep(_HELD)
                door.hold(False)
            case "API: half-open wire" if door:
                await _half_open(door, blow)
            case "API: lose answer" if door:
                door.lose(blow.times, only=b"/v1/runs/")
            case "double job":
                if not await self._town.double_job(blow.pick):
                    return
            case "lose area":
                if not await self._town.lose_area():
                    return
            case "every web away":
                await self._every_web_away(blow)
            case "mail: lost reply":
                self._town.sink.forgetful += 1
        if blow.kind in _COUNTED:
            self.done[blow.kind] += 1

    async def _hurt(self, what: str, process: Process, blow: Blow) -> None:
        self.done[f"{what} {process.kind}"] += 1
        if what == "freeze":
            process.send(signal.SIGSTOP)
            await asyncio.sleep(LEASE + 4 * blow.seconds)
            process.send(signal.SIGCONT)
            return
        # Two blows at once would start it twice, and the first of the two would be nobody's.
        self._ending.add(process)
        await process.end(signal.SIGTERM if what == "end" else signal.SIGKILL)
        await asyncio.sleep(3 * blow.seconds)
        if process.kind == "web":
            await self._web_may_start.wait()
        await self.start(process)
        self._ending.discard(process)

    async def _every_web_away(self, blow: Blow) -> None:
        """No `web` runs for a while, as when its machine is gone; agents ask meanwhile."""
        self._web_may_start.clear()
        webs = [process for process in self._town.of("web") if process not in self._ending]
        self._ending.update(webs)
        number = signal.SIGTERM if blow.pick < 0.5 else signal.SIGKILL
        await asyncio.gather(*(process.end(number) for process in webs))
        await asyncio.sleep(blow.seconds)
        self._web_may_start.set()
        for process in webs:
            await self.start(process)
        self._ending.difference_update(webs)

    def _arm(self, blow: Blow, fault: Fault) -> None:
        self._armed.append((blow.kind, fault, fault.times or 0))

    def _count(self) -> None:
        for kind, fault, times in self._armed:
            self.done[kind] += times - (fault.times or 0)
        for process in self._town.processes:
            self.done["Redis: reply lost"] += process.wire.lost
            self.done["API: answer lost"] += 0 if process.door is None else process.door.lost
        self.done["mail: lost reply"] += self._town.sink.forgotten


async def _half_open(wire: Wire, blow: Blow) -> None:
    left = wire.half_open()
    await asyncio.sleep(20 * blow.seconds)
    for connection in left:
        connection.close()


def _pick(among: "tuple[T, ...] | list[T]", blow: Blow) -> T:
    return among[int(blow.pick * len(among))]
