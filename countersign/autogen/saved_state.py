"""The state of a team that keeps its own, in the journal of its run.

There is one entry, replaced at each stop. With the state it holds how often each key of the journal was given out by
then: whoever goes on from there gives out the same keys for the same effects, and so finds what was done since.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from countersign.autogen.team_at_work import Saved, Waits
from countersign.autogen.tools.ask_human_tool import AskHuman
from countersign.domain.errors import GivenUp
from countersign.replay.entries import Entry, TeamState
from countersign.replay.run_journal import RunJournal

LONGEST_STATE: Final = 2_000_000
"""Characters. Redis keeps it for as long as the run waits."""
_KEY: Final = f"{TeamState.KIND}/0"


async def load(journal: RunJournal, ask: Callable[[str], AskHuman]) -> Saved | None:
    """Return the state at the last stop, once its questions are answered.

    None if there was none.
    """
    entry = journal.lookup(_KEY)
    if entry is None:
        return None
    kept = TeamState.load(entry.value)
    journal.times = Counter(kept.times)
    journal.set_aside(*journal.unused_since(()))  # what was done since is found by its key, in whichever order
    return await _answered(ask, kept)


async def keep(journal: RunJournal, ask: Callable[[str], AskHuman], stop: Waits) -> Saved:
    """Keep the state of this stop, and return it once its questions are answered.

    GivenUp, with nothing asked, if it is too large.
    """
    if len(stop.state) > LONGEST_STATE:
        raise GivenUp(
            f"The state of the team has {len(stop.state):,} characters, and at most {LONGEST_STATE:,} can be kept. "
            "Nothing more was asked or done, so the run has ended. Let its agents remember less."
        )
    kept = TeamState(stop.state, dict(journal.times), stop.questions)
    with journal.activity.working():
        await journal.record(_KEY, Entry("done", kept.dump()), replace=True)
    return await _answered(ask, kept)


async def _answered(ask: Callable[[str], AskHuman], kept: TeamState) -> Saved:
    async with asyncio.TaskGroup() as group:
        asking = {
            one.id: group.create_task(ask(one.agent).put(one.text, one.options, yes_no=one.yes_no))
            for one in kept.questions
        }
    return Saved(kept.state, {id: asked.result() for id, asked in asking.items()})
