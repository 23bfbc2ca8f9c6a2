"""The service as `run_here` calls it, with notes in the terminal."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Final, Self

from countersign.client import terminal_notes
from countersign.domain.errors import CountersignError
from countersign.domain.ids import RequestId, RunId, WorkerId
from countersign.domain.request_endings import called
from countersign.domain.requests import Request, Status
from countersign.domain.run_calls import Ask, CardLink, R, RunCall
from countersign.runs.service import Service
from countersign.usecases.ports import Announcement, Lease

_FIRST_LOOK: Final = 0.3
_LONGEST_PAUSE: Final = 20.0
"""Seconds between two looks whether a card is posted."""


class ScriptService:
    """Implements `Service` over another one, as a context manager."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._cards: dict[RequestId, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for card in self._cards.values():
            card.cancel()
        await asyncio.gather(*self._cards.values(), return_exceptions=True)

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        answer = await self._service.call(lease, call)
        if isinstance(call, Ask) and isinstance(answer, Request) and terminal_notes.is_there():
            self._note_question(lease, answer)
        return answer

    async def settled(self, request: RequestId) -> Request:
        decided = await self._service.settled(request)
        if (card := self._cards.pop(request, None)) is not None:
            card.cancel()
            decision = decided.decision
            if decision is not None:
                names = called(decision.by, decision.names)
                terminal_notes.note_decision(decision.at, decision.outcome.value, names)
        return decided

    async def ended(self, run: RunId) -> None:
        await self._service.ended(run)

    async def any_settled(self, requests: Collection[RequestId]) -> bool:
        return await self._service.any_settled(requests)

    async def announce(self, worker: WorkerId, announcement: Announcement) -> None:
        await self._service.announce(worker, announcement)

    async def retire(self, worker: WorkerId) -> None:
        await self._service.retire(worker)

    def _note_question(self, lease: Lease, request: Request) -> None:
        if request.status is not Status.PENDING or request.id in self._cards:
            return
        terminal_notes.note_waiting("Slack", request.deadline, "leaves the run waiting")
        self._cards[request.id] = asyncio.create_task(self._note_card(lease, request.id), name="card link")

    async def _note_card(self, lease: Lease, request: RequestId) -> None:
        pause = _FIRST_LOOK
        while True:
            with suppress(CountersignError):  # the next look may find it
                if link := await self._service.call(lease, CardLink(request)):
                    terminal_notes.note_card(link)
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
