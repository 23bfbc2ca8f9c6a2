"""Keeps the lists that `countersign.store.queries` reads: they follow the events, so that whoever clicks need not
wait.

A request is put where it belongs as it is now, however often and whoever does it. Should a process that was frozen
meanwhile put an older state there, the overview finds that out as it reads.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from countersign.domain.events import REQUEST_CHANGED, Event
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request, Status
from countersign.store import request_indexes
from countersign.store.clock import ms
from countersign.store.keys import KEPT, Keys
from countersign.store.reads import reaching
from countersign.store.redis.scripts import Script
from countersign.store.store import Store

_LISTS = (Path(__file__).parent / "lists.lua").read_text()


class Lists:
    """Writes the lists of one namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._script = Script(store.client, _LISTS)

    async def follow(self, events: Iterable[Event]) -> None:
        """Put all requests of which these events tell where they belong now; one that nobody can read is in no list."""
        told = dict.fromkeys(e.request for e in events if e.type in REQUEST_CHANGED and e.request is not None)
        found = await self._store.readable(list(told))
        await self.keep([request for request in found.values() if request is not None])

    async def keep(self, requests: Sequence[Request]) -> None:
        """Put these where they belong."""
        if not requests:
            return
        plan = _Plan(self._store.keys)
        for request in requests:
            plan.fill(request)
        async with reaching():
            await self._script(keys=list(plan.keys), args=[json.dumps({"add": plan.add, "remove": plan.remove})])


class _Plan:
    """What the script is to do: keys once each, by their place."""

    def __init__(self, names: Keys) -> None:
        self._names = names
        self.keys: dict[str, int] = {}
        self.add: list[dict[str, Any]] = []
        self.remove: list[dict[str, Any]] = []

    def fill(self, request: Request) -> None:
        names, settled = self._names, request.status is not Status.PENDING
        waits, not_for = (
            (set(), set()) if settled else (request_indexes.waits_for(request), request_indexes.waits_not_for(request))
        )
        for name in sorted(waits):
            self._put(names.waits(name), request.created_at, request.id)
        for name in sorted(not_for):
            self._put(names.waits_not(name), request.created_at, request.id)
        for group in sorted(request.rules.reviewers.groups) if not settled else ():
            self._put(names.waiting_groups, request.created_at, group)
        was, was_not = request_indexes.was_for(request)
        left = [names.waits(name) for name in sorted(was - waits)]
        left += [names.waits_not(name) for name in sorted(was_not - not_for)]
        self.remove += [{"key": self._key(key), "member": request.id} for key in left]
        if request.decision is not None:
            for name in sorted(request_indexes.decided_for(request)):
                kept = {"most": request_indexes.KEPT_DECIDED, "ttl": ms(KEPT)}
                self._put(names.decided(name), request.decision.at, request.id, **kept)

    def _put(self, key: str, at: datetime, member: RequestId | str, **kept: int) -> None:
        self.add.append({"key": self._key(key), "score": str(ms(at)), "member": member, **kept})

    def _key(self, name: str) -> int:
        return self.keys.setdefault(name, len(self.keys) + 1)
