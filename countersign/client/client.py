"""Clients for programs: `Client` waits in its thread, `AsyncClient` in its task.

Both say at the terminal, if there is one, where the card is and why they wait.
"""

import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

from countersign.client import connection, exchange
from countersign.client.connection import Address
from countersign.client.exchange import Decision, Exchange, Got, Pause, Send, ServiceRefused

R = TypeVar("R")


def question(
    channel: str = "",
    title: str = "",
    message: str = "",
    *,
    call: Mapping[str, Any] | None = None,
    form: Mapping[str, Any] | None = None,
    callback_url: str = "",
    options: Sequence[str] = (),
    several: bool = False,
    edit: bool = False,
    notes: Sequence[str] = (),
    agent: str = "",
    task: str = "",
    requester: str = "",
) -> dict[str, Any]:
    """Make the body of a question; what is empty is left out.

    `edit`: people may change the message, and `Decision.message` is the one that may be used.
    """
    body: dict[str, Any] = {
        "channel": channel,
        "title": title or (message.strip().splitlines() or ["A question"])[0][:300],
        "message": message,
        "call": call,
        "form": form,
        "callback_url": callback_url,
        "options": list(options),
        "several": several,
        "edit": edit,
        "notes": list(notes),
        "agent": agent,
        "task": task,
        "requester": requester,
    }
    return {name: value for name, value in body.items() if value}


class AsyncClient:
    """A client for tasks: `async with AsyncClient() as client`."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        import httpcore  # only who asks needs it, which takes as long as all the rest here

        self._address = Address.of(url, key)
        self._pool = httpcore.AsyncConnectionPool(**self._address.pool())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def ask(self, body: Mapping[str, Any], *, key: str | None = None, leave: bool | None = None) -> Decision:
        """Ask people and wait for their decision, even if the service goes away meanwhile.

        `key`: the same key again is the same request, so a program that died finds it. `leave`: whether a cancelled
        wait leaves the request to people; by default it is left if a key of your own finds it again, else withdrawn.
        ServiceRefused if the service refuses the question.
        """
        question = _OpenQuestion(body, key, leave)
        try:
            return await self._drive(question.decision())
        except asyncio.CancelledError:
            await asyncio.shield(self._drive(question.interrupted()))
            raise

    async def begin(self, body: Mapping[str, Any], *, key: str) -> tuple[str, bool]:
        """Ask people without waiting; return the request's id, and whether it is decided."""
        return await self._drive(exchange.begin(body, key))

    async def decision(self, request: str) -> Decision:
        """Wait until the request of this id is decided."""
        return await self._drive(exchange.wait(request))

    async def states(self) -> dict[str, Mapping[str, Any]]:
        """Read what is kept with requests of this key, as it was sealed, by request."""
        return await self._drive(exchange.states())

    async def report(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Say what came of the action; the card and the record show it."""
        await self._drive(exchange.report(decision.request, succeeded=succeeded, words=words))

    async def tell(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Report what was done; raise nothing.

        What cannot be reported within half a minute or so is logged, so that it hides no result.
        """
        await self._drive(exchange.tell(decision.request, succeeded=succeeded, words=words))

    async def try_to_report(self, request: str, *, succeeded: bool, words: str, keep_state: bool) -> bool:
        """Report for half a minute or so; False if the service does not respond."""
        talk = exchange.try_to_report(request, succeeded=succeeded, words=words, keep_state=keep_state)
        return await self._drive(talk)

    async def _drive(self, talk: Exchange[R]) -> R:
        try:
            step = next(talk)
            while True:
                got = Got(0)
                if isinstance(step, Send):
                    with contextlib.suppress(*connection.failures()):
                        got = connection.got(await self._pool.request(**self._address.arguments(step)))
                else:
                    note_pause(step, self._address.url)
                    await asyncio.sleep(step.seconds)
                step = talk.send(got)
        except StopIteration as end:
            result: R = end.value
            return result


class Client:
    """A client for threads: `with Client() as client`."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        import httpcore

        self._address = Address.of(url, key)
        self._pool = httpcore.ConnectionPool(**self._address.pool())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def ask(self, body: Mapping[str, Any], *, key: str | None = None, leave: bool | None = None) -> Decision:
        """Ask people and wait for their decision.

        As `AsyncClient.ask` does; here Ctrl-C cancels.
        """
        question = _OpenQuestion(body, key, leave)
        try:
            return self._drive(question.decision())
        except KeyboardInterrupt:
            self._drive(question.interrupted())
            raise

    def begin(self, body: Mapping[str, Any], *, key: str) -> tuple[str, bool]:
        """Ask people without waiting; return the request's id, and whether it is decided."""
        return self._drive(exchange.begin(body, key))

    def report(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Say what came of the action; the card and the record show it."""
        self._drive(exchange.report(decision.request, succeeded=succeeded, words=words))

    def tell(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Report what was done, as `AsyncClient.tell` does."""
        self._drive(exchange.tell(decision.request, succeeded=succeeded, words=words))

    def _drive(self, talk: Exchange[R]) -> R:
        try:
            step = next(talk)
            while True:
                got = Got(0)
                if isinstance(step, Send):
                    with contextlib.suppress(*connection.failures()):
                        got = connection.got(self._pool.request(**self._address.arguments(step)))
                else:
                    note_pause(step, self._address.url)
                    time.sleep(step.seconds)
                step = talk.send(got)
        except StopIteration as end:
            result: R = end.value
            return result


class _OpenQuestion:
    """A question for whose decision a program waits.

    An interrupted wait leaves it to people, or withdraws it.
    """

    def __init__(self, body: Mapping[str, Any], key: str | None, leave: bool | None) -> None:
        self._body, self._key = body, key or uuid.uuid4().hex
        self._leave = key is not None if leave is None else leave
        self._request: Mapping[str, Any] | None = None

    def decision(self) -> Exchange[Decision]:
        """Ask, and wait for the decision."""
        self._request = yield from exchange.ask(self._body, self._key)
        if self._request["status"] == "pending":
            _note_waiting(self._request, leave=self._leave)
        return (yield from exchange.wait(self._request["id"]))

    def interrupted(self) -> Exchange[None]:
        """End the wait, and say what became of the request."""
        if not self._leave:
            try:
                yield from exchange.withdraw(self._request, self._body, self._key)
            except ServiceRefused as refused:
                _note(f"Couldn't withdraw the request: {refused} People may still see it, but nothing will run.")
        elif self._request is not None:
            _note("The request stays open. Ask again with the same key to get the decision.")


def _note_waiting(request: Mapping[str, Any], *, leave: bool) -> None:
    """Say where the card is, until when people have time, and what Ctrl-C does."""
    until = ""
    if request["deadline"] is not None:
        deadline = datetime.fromisoformat(request["deadline"]).astimezone()
        today = deadline.date() == datetime.now(deadline.tzinfo).date()
        until = f" until {deadline:%H:%M}" if today else f" until {deadline:%b %d, %H:%M}"
    ends = "leaves the request open" if leave else "withdraws the request"
    _note(f"Waiting for a decision in {request['cards_in']}{until}. Ctrl-C {ends}.")


def note_pause(step: Pause, url: str) -> None:
    """Say why the program does not hear from people at the moment."""
    why = step.why or f"Can't reach the service at {url}. Is `web` running?"
    _note(f"{why} Retrying …")


_last_note = ""


def _note(words: str) -> None:
    """Tell the person at the terminal, if there is one, what was not told just now."""
    global _last_note
    if words != _last_note and sys.stderr.isatty():
        print(words, file=sys.stderr)
    _last_note = words
