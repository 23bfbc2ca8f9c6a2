"""Draw the card of a request, or of its burst, and everything that hangs on it.

A card that Slack does not take stands in the run's own thread instead, and the requester is told (R21).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from countersign import usecases
from countersign.domain.delegation import Absence
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.usecases.ports import Message, Store

from ..slack_calls import CannotPost
from ..views import card_content, cards, thread_notes
from ..views.block_kit import Drawing
from . import reminders
from .card_placement import Sheet, number_of
from .file_uploads import File, missing
from .message_sync import Place, Poster


@dataclass(frozen=True, slots=True)
class RunThread:
    """A run, and the message in the requester's channel that its thread hangs on."""

    store: Store
    poster: Poster
    run: Run
    root: Message

    @property
    def place(self) -> Place:
        """Where notes for the requester go."""
        return Place(self.root.channel, self.root.ts)

    async def note(self, name: str, drawing: Drawing, *, request: RequestId | None = None, post: bool = True) -> None:
        """Show a note in the thread; a new one only if `post`."""
        await self.poster.show(name, self.place, drawing, request=request, post=post)


async def draw(thread: RunThread, sheet: Sheet, request: Request, claim: str) -> tuple[Message | None, list[File]]:
    """Draw the card on which the request is, and return it with the files that belong to it.

    There is no card if the request was settled before it had one. `claim` is what a new card vouches for.
    """
    absences = await thread.store.absences()
    away = [a for a in absences.value.people if a.workspace == request.workspace and absences.now < a.until]
    long = {f"file/{row.id}": row.id for row in sheet.rows if card_content.needs_file(row)}
    unfiled = frozenset(long[name] for name in await missing(thread.store, [*long]))
    return await _CardDrawing(thread, sheet, request, claim, away, unfiled).draw()


@dataclass(frozen=True, slots=True)
class _CardDrawing:
    thread: RunThread
    sheet: Sheet
    request: Request
    claim: str
    away: Sequence[Absence]
    unfiled: frozenset[RequestId]

    async def draw(self) -> tuple[Message | None, list[File]]:
        store, sheet, drawing = self.thread.store, self.sheet, self._picture(self.sheet.rows)
        card, problem = await self._in_its_channel(drawing)
        if card is not None and card.stands_since is not None:
            await usecases.stands(store, self.request.id, card.stands_since)
        # Slack may have refused the card once and take it now: what stands instead is settled with it.
        instead = await self._show(
            f"{sheet.name}/instead", self.thread.place, drawing, post=sheet.pending and bool(problem)
        )
        card = card or instead
        if card is None:
            return None, []
        files = self._files(card)
        if any(row.raised or row.reminded for row in sheet.rows):
            files += await reminders.nudge(self.thread.poster, store, sheet, card, self._picture, self.away)
        return card, files

    async def _in_its_channel(self, drawing: Drawing) -> tuple[Message | None, str]:
        """The card in the approvals channel, or Slack's word for why it cannot stand there."""
        first, channel = self.sheet.rows[0], self.request.rules.approvals_channel
        try:
            return await self._show(self.sheet.name, Place(channel), drawing, post=self.sheet.pending), ""
        except CannotPost as refused:
            problem = str(refused)
        unposted = thread_notes.not_posted_note(first, problem)
        await self.thread.note(f"unposted/{first.id}", unposted, post=self.sheet.pending)
        await reminders.record_unposted(self.thread.store, self.request, problem, channel)
        return None, problem

    async def _show(self, name: str, place: Place, drawing: Drawing, *, post: bool) -> Message | None:
        first = self.sheet.rows[0].id
        return await self.thread.poster.show(name, place, drawing, request=first, post=post, claim=self.claim)

    def _picture(self, rows: Sequence[Request]) -> Drawing:
        link = self.thread.poster.link(self.thread.root)
        return cards.batch(rows, run=self.thread.run, run_link=link, away=self.away, unfiled=self.unfiled)

    def _files(self, card: Message) -> list[File]:
        if self.request.status is not Status.PENDING or not card_content.needs_file(self.request):
            return []
        file = card_content.file_of(self.request, number_of(self.request, self.sheet.rows))
        return [File(f"file/{self.request.id}", Place(card.channel, card.thread or card.ts), *file)]
