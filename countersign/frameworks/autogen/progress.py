"""Progress lines for the thread of a run: what its agents say and write."""

import asyncio
import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from countersign.domain.activity import KEPT_STEPS, LINE, Delay, Writing, step_title
from countersign.domain.run_calls import Plan, Say, StepDone, Wait, Write
from countersign.frameworks.autogen.held_run import HeldRun
from countersign.runs.entries import Entry, whole

PACE: Final = timedelta(seconds=3)
"""The time for which a text is written before it is shown, and the pause between two showings by one worker: Slack
takes 50 changes of messages a minute (Tier 3), and decisions need them more."""


class Pace:
    """The time when this process may next show text being written; its runs share it."""

    def __init__(self) -> None:
        self.every: Final = PACE
        self._next = 0.0

    def due(self, now: float) -> bool:
        """Say whether it may, `now` in seconds; if so, that is taken."""
        if now < self._next:
            return False
        self._next = now + self.every.total_seconds()
        return True


_PROGRAM: Final = re.compile(r"^```[^\n`]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


def in_one_line(words: str) -> str:
    """Put the words on one line, with the length of a program in its place."""

    def wrote(program: re.Match[str]) -> str:
        lines = len(program[1].splitlines())
        return (
            f"Wrote a program of {lines} line{'' if lines == 1 else 's'}{'.' if words[program.end() :].strip() else ''}"
        )

    return " ".join(_PROGRAM.sub(wrote, words).split())


@dataclass(slots=True)
class _Draft:
    since: float
    characters: int = 0
    end: str = ""
    shown: bool = False


class ProgressLines:
    """The lines that the agents of one run say, each shown once, also after a rebuild.

    Text that is being written is shown as it comes; it is not recorded and not missed if lost. A recorded answer comes
    in one piece, so nothing of it is shown as being written.
    """

    def __init__(self, held: HeldRun, pace: Pace) -> None:
        self._held = held
        self._pace = pace
        self._drafts: dict[str, _Draft] = {}
        self._lines: asyncio.Queue[tuple[str, str] | Writing] = asyncio.Queue()

    def tell(self, agent: str, words: str) -> None:
        """Queue what the agent said, which is also what it was writing."""
        self._drafts.pop(agent, None)
        line = in_one_line(words)
        self._lines.put_nowait((agent, line if len(line) <= LINE else line[: LINE - 1] + "…"))

    def writes(self, agent: str, piece: str) -> None:
        """Take a piece of what the agent is writing."""
        now = asyncio.get_running_loop().time()
        draft = self._drafts.setdefault(agent, _Draft(now))
        draft.characters += len(piece)
        draft.end = (draft.end + piece)[-LINE:]
        if now - draft.since >= self._pace.every.total_seconds() and self._pace.due(now):
            draft.shown = True
            self._lines.put_nowait(_shown(agent, draft))

    def wrote(self, agent: str) -> None:
        """Note that the agent does something else now: the text shown of it is finished."""
        draft = self._drafts.pop(agent, None)
        if draft is not None and draft.shown:
            self._lines.put_nowait(_shown(agent, draft, done=True))

    async def done(self) -> None:
        """Wait until every line is stored, and what is written behind the agents too."""
        await self._lines.join()
        await self._held.journal.late_writes.written()

    async def work(self) -> None:
        """Tell the lines one after the other, until cancelled."""
        while True:
            line = await self._lines.get()
            try:
                if isinstance(line, Writing):
                    await self._held.call(Write(line))
                else:
                    await self._once(*line)
            except Exception as error:
                self._held.abort(error)
            finally:
                self._lines.task_done()

    async def _once(self, agent: str, line: str) -> None:
        journal = self._held.journal
        key = journal.key("said", agent, line)
        if journal.use(key) is None:
            # Recorded first: a line lost with its process is better than one told twice.
            await journal.record(key, Entry("done"))
            await self._held.call(Say(agent, line, await journal.now()))


class ComingSteps:
    """The steps of a team's newest plan, and which of them are still open.

    Each is ticked by the first call of its title, or step of its name, that was made. A team that is run again from its
    start announces and ticks them again in the same order, which changes nothing. A team that goes on from a saved
    state does not, so `number` and `open` are saved with that state.
    """

    def __init__(self, held: HeldRun) -> None:
        self._held = held
        self.number = 0
        """Of the newest plan, from 1; 0 is none."""
        self.open: dict[int, str] = {}
        """The titles of the steps that are not ticked, by their places in the plan, from 0."""

    async def say(self, titles: Sequence[str]) -> None:
        """Show these from now on; LeaseLost if the run is no longer ours."""
        self.number, self.open = self.number + 1, dict(enumerate(map(step_title, titles[:KEPT_STEPS])))
        await self._held.or_abort(self._store(self.number, titles))

    async def _store(self, number: int, titles: Sequence[str]) -> None:
        await self._held.journal.late_writes.written()  # what was done of the plan before
        await self._held.call(Plan(number, tuple(titles)))

    def done(self, title: str) -> None:
        """Tick the first step of this title, if there is one."""
        place = next((place for place, step in self.open.items() if step == step_title(title)), None)
        if place is not None:
            del self.open[place]
            self._held.call_behind(StepDone(self.number, place))

    async def ticked(self, title: str, doing: Awaitable[str]) -> str:
        """Do what has this title, and tick it."""
        result = await doing
        self.done(title)
        return result


def show_delay(held: HeldRun, why: str, pause: timedelta) -> None:
    """Show in the run's thread why nothing happens for the time of `pause`."""

    async def write() -> None:
        await held.call(Wait(Delay(why, await held.journal.now() + pause)))

    held.journal.late_writes.write(write)


def _shown(agent: str, draft: _Draft, *, done: bool = False) -> Writing:
    return Writing(agent, draft.characters, whole(draft.end), done)
