"""A run of one of the teams with the demo model, and people who judge what it asks."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agents import registry
from countersign.domain.calls import canonical
from countersign.domain.requests import Request, Verb
from countersign.domain.runs import Run, Status
from tests.autogen.harness import House, fact
from tests.autogen.test_approval_gate import expire


@dataclass
class Playing:
    """One run; `seen` are the requests so far."""

    house: House
    seen: list[Request]

    async def asked(self) -> Request:
        """The next request."""
        request = await self.house.asked(not_this=self.seen[-1] if self.seen else None)
        self.seen.append(request)
        return request

    async def asked_or_over(self) -> Request | Run:
        """The next request, or the run at its end."""

        async def look() -> Request | Run | None:
            run = await self.house.run()
            waiting = [name for name in run.open.values() if name not in {one.id for one in self.seen}]
            if run.over or not waiting:
                return run if run.over else None
            seen = await self.house.store.request(waiting[0])
            return seen.value if seen else None

        found: Request | Run = await fact(look)
        if isinstance(found, Request):
            self.seen.append(found)
        return found

    async def says(self, verb: Verb, words: str = "", **arguments: Any) -> Request:
        """A decision about the newest request; `arguments` are changed ones."""
        request = self.seen[-1]
        if verb is Verb.EXPIRE:
            await expire(self.house, request)
            return request
        edited = ""
        if arguments:
            assert request.question.call is not None
            edited = canonical({**json.loads(request.question.call.arguments), **arguments})
        chosen = (words,) if verb is Verb.CHOOSE else ()
        return await self.house.decide(request, verb, "" if chosen else words, arguments=edited, chosen=chosen)

    async def over(self) -> Run:
        """The run at its end, which is no failure."""
        run = await self.house.over()
        assert run.status is Status.FINISHED, run.result
        return run

    async def passed(self) -> list[tuple[str, str]]:
        """Tool and reason of each call that a policy let pass or refused, in the audit."""
        events = await self.house.events()
        kinds = {"call_passed": "", "call_refused": "refused: "}
        return [(e["tool"], kinds[e["type"]] + e["why"]) for e in events if e["type"] in kinds]

    async def audit(self) -> list[str]:
        """What became of the requests, in the audit; an open one is “asked”."""
        events = [e for e in await self.house.events() if e["type"] in ("request_asked", "request_decided")]
        return [e["outcome"] if e["type"] == "request_decided" else "asked" for e in events]


@asynccontextmanager
async def playing(house: House, team: str, task: str, **options: str) -> AsyncIterator[Playing]:
    """The run, at work."""
    await house.start(team=team, task=task, found=registry.find(), **options)
    async with house.worker() as worker:
        worker.advance()
        yield Playing(house, [])
