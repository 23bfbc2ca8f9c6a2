"""A model that plays a script, and people at their cards."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
from aiohttp import web

from countersign import usecases
from countersign.domain import api_keys
from countersign.domain.ids import RequestId
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from countersign.usecases import unreported_outcomes
from countersign.usecases.ports import Change, Put
from localslack import LocalSlack
from localslack.workspace import Message
from tests.openai_server import USAGE
from tests.store_fixtures import NoQueue

Line = str | tuple[str, dict[str, Any] | str] | list[tuple[str, dict[str, Any]]]
"""What a model says: a text, a call of a tool, or several calls. Arguments as text are said as they are."""


class Script:
    """OpenAI's chat completions: a model's n-th answer is its n-th line, also for a program that starts again."""

    def __init__(self) -> None:
        self.lines: dict[str, tuple[Line, ...]] = {}
        self.url = ""
        self.stopped = asyncio.Event()
        self._goes_on = asyncio.Event()
        self._stops_before: int | None = None

    def plays(self, model: str, *lines: Line) -> None:
        self.lines[model] = lines

    def stops_before(self, place: int) -> None:
        """Keep whoever asks for this line waiting; `stopped` says when somebody does."""
        self._stops_before = place

    def goes_on(self) -> None:
        self._goes_on.set()

    async def complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        place = sum(message["role"] == "assistant" for message in body["messages"])
        if place == self._stops_before and not self._goes_on.is_set():
            self.stopped.set()
            await self._goes_on.wait()
        line = self.lines[body["model"]][place]
        calls: list[Any] = [line] if isinstance(line, tuple) else line if isinstance(line, list) else []
        message = {
            "role": "assistant",
            "content": line if isinstance(line, str) else None,
            "tool_calls": [
                {
                    "id": f"call_{place}_{number}",
                    "type": "function",
                    "function": {
                        "name": name,
                        "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
                    },
                }
                for number, (name, arguments) in enumerate(calls)
            ]
            or None,
        }
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop", "logprobs": None}
        common = {"id": "c1", "created": 1, "model": body["model"], "object": "chat.completion"}
        return web.json_response(common | {"choices": [choice], "usage": USAGE})


async def time_runs_out(store: Store, program: httpx.AsyncClient) -> None:
    """The requests that wait are past their deadlines, and swept."""
    requests = (await program.get("/v1/requests")).json()["requests"]
    assert requests
    for waiting in requests:
        seen = await store.request(RequestId(waiting["id"]))
        assert seen is not None
        past = replace(seen.value, deadline=seen.now - timedelta(seconds=1))
        await store.commit(Change(requests=(Put(past, seen.version),)))
        await usecases.catch_up(store, NoQueue(), past.id)


def row_of(card: Message, words: str) -> str:
    """The block of the buttons beside these words, on a card of one request or of several."""
    part = ""
    for block in card.blocks or []:
        part = "" if block["type"] == "divider" else part + json.dumps(block, ensure_ascii=False)
        if block["type"] == "actions" and words in part:
            return str(block["block_id"])
    return ""


class Bob:
    """Somebody who may decide, at the cards that wait; and time, that runs out."""

    def __init__(self, slack: LocalSlack, store: Store, program: httpx.AsyncClient) -> None:
        self._slack, self._bob, self._store, self._program = slack, slack.user("bob"), store, program

    async def card(self, words: str) -> Message:
        """The card that waits and has these words."""
        return await self._slack.wait_message(
            "#approvals",
            lambda m: words in json.dumps([m.text, m.blocks], ensure_ascii=False) and bool({*m.buttons} - {"Details"}),
        )

    async def presses(self, words: str, button: str, window: dict[str, Any] | None = None) -> None:
        """Presses a button of that card, and sends the window that opens."""
        card = await self.card(words)
        await self._bob.click(card, button, block=row_of(card, words))
        if window is not None:
            await self._bob.wait_modal()
            assert await self._bob.submit(window) == {}

    async def lets_a_day_pass(self) -> None:
        """A day after the decision a request ends of which nothing was reported."""
        await unreported_outcomes.end_all(self._store, timedelta(0))

    async def reports(self, *, succeeded: bool, words: str) -> None:
        """Reports the outcome of the one request of the program, as a program that is killed after that does."""
        (name,) = await self._store.indexes.unreported(2)
        answer = await self._program.post(f"/v1/requests/{name}/outcome", json={"succeeded": succeeded, "words": words})
        assert answer.status_code == 200, answer.text

    async def loses_its_key(self) -> None:
        """The program's key is revoked."""
        (key,) = await ApiKeys(self._store).all()
        await ApiKeys(self._store).put(api_keys.revoke(key, await self._store.now()))

    async def lets_time_run_out(self) -> None:
        await time_runs_out(self._store, self._program)


def cards(slack: LocalSlack) -> int:
    """How many cards were posted for people to decide."""
    return len([m for m in slack.channel("#approvals").messages if m.blocks])
