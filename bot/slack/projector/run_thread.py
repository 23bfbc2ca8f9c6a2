"""The thread of a run in its channel: the head, and the notes below it.

The head is posted when the run begins, and shows its status: working, waiting for people, or ended.
"""

import logging
from dataclasses import dataclass

from countersign.domain.ids import RunId
from countersign.domain.runs import Run
from countersign.usecases.ports import Message, Store

from ..ports import CannotPost, Importance
from ..views.block_kit import Drawing
from .message_sync import Place, Poster

_log = logging.getLogger(__name__)


async def root_of(poster: Poster, run: RunId) -> Message | None:
    """Return the posted head of the run's thread, if any; it may be a direct message."""
    return await poster.first_standing(f"run/{run}", f"run/{run}/direct")


@dataclass(frozen=True, slots=True)
class RunThread:
    """A run, the drawing of its head, and the place of its thread."""

    store: Store
    poster: Poster
    run: Run
    drawing: Drawing

    async def place(self) -> Place:
        """Return the place of the requester's notes, posting the head if needed."""
        if self.run.program:
            return Place(self.run.channel)
        root = await root_of(self.poster, self.run.id) or await self.head()
        return Place(root.channel, root.ts)

    async def head(self) -> Message:
        """Draw the head, as a direct message if Slack refuses the channel."""
        run, name, drawing = self.run, f"run/{self.run.id}", self.drawing
        importance = Importance.REST if run.over and await root_of(self.poster, run.id) else Importance.OUTCOME
        try:
            root = await self.poster.show(name, Place(run.channel), drawing, importance=importance)
        except CannotPost as refused:
            _log.error("Run %s cannot be shown in %s (%s); telling the requester.", run.id, run.channel, refused)
            root = await self.poster.show(
                f"{name}/direct", Place(await self.poster.direct(run.requester)), drawing, importance=importance
            )
        assert root is not None, "a message that is to be posted is posted or refused"
        return root

    async def note(
        self,
        name: str,
        drawing: Drawing,
        *,
        post: bool = True,
        importance: Importance = Importance.REST,
    ) -> None:
        """Show a note in the run's thread; a new note is posted only if `post`."""
        if self.run.program:
            return
        place = await self.place()
        await self.poster.show(name, place, drawing, post=post, importance=importance)
