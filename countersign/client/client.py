"""Clients for programs: `Client` waits in its thread, `AsyncClient` in its task."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Self

from countersign.client import connection, exchange, notes
from countersign.client.connection import Address
from countersign.client.exchange import Decision, Exchange, Got, Send, ServiceRefused


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
        wait leaves the request to people; by default it is left if a key of your own finds it again, else taken back.
        ServiceRefused if the service refuses the question.
        """
        left, name, asked = key is not None if leave is None else leave, key or uuid.uuid4().hex, None
        try:
            asked = await self._drive(exchange.ask(body, name))
            notes.waiting(asked, left=left)
            return await self.decision(asked["id"])
        except asyncio.CancelledError:
            if not left:
                await asyncio.shield(self._take_back(exchange.take_back(asked, body, name)))
            notes.interrupted(asked, left=left)
            raise

    async def begin(self, body: Mapping[str, Any], *, key: str) -> tuple[str, bool]:
        """Ask people without waiting; return the request's id, and whether it is decided."""
        asked = await self._drive(exchange.ask(body, key))
        return asked["id"], asked["status"] != "pending"

    async def decision(self, request: str) -> Decision:
        """Wait until the request of this id is decided."""
        return exchange.decision_of(await self._drive(exchange.wait(request)))

    async def states(self) -> dict[str, Mapping[str, Any]]:
        """Read what is kept with requests of this key, as it was sealed, by request."""
        states = {}
        for request in (await self._drive(exchange.kept()))["requests"]:
            with contextlib.suppress(ServiceRefused):  # reported just now
                states[request["id"]] = await self._drive(exchange.state(request["id"]))
        return states

    async def report(self, decision: Decision, *, succeeded: bool, words: str = "", keep_state: bool = False) -> None:
        """Say what came of the action; the card and the record show it.

        With `keep_state` the state that is kept with the request stays.
        """
        await self._drive(exchange.report(decision.request, succeeded=succeeded, words=words, keep_state=keep_state))

    async def try_to_report(self, request: str, *, succeeded: bool, words: str, keep_state: bool) -> bool:
        """Report for half a minute or so; False if the service does not respond.

        True also if it refuses: it knew before, and will not take it later.
        """
        try:
            await self._drive(
                exchange.report(request, succeeded=succeeded, words=words, keep_state=keep_state, tries=exchange.MANY)
            )
        except ServiceRefused as refused:
            return refused.kind != exchange.UNREACHABLE
        return True

    async def tell(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Report what was done; raise nothing.

        What cannot be reported within half a minute or so is logged, so that it hides no result.
        """
        await self._drive(exchange.tell(decision.request, succeeded=succeeded, words=words))

    async def _take_back(self, talk: Exchange) -> None:
        try:
            await self._drive(talk)
        except ServiceRefused as refused:
            notes.not_taken_back(refused)

    async def _drive(self, talk: Exchange) -> Mapping[str, Any]:
        step = next(talk)
        while True:
            got = Got(0)
            if isinstance(step, Send):
                with contextlib.suppress(*connection.failures()):
                    got = connection.got(await self._pool.request(**self._address.arguments(step)))
            else:
                notes.pausing(step, self._address.url)
                await asyncio.sleep(step.seconds)
            try:
                step = talk.send(got)
            except StopIteration as end:
                found: Mapping[str, Any] = end.value
                return found


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
        left, name, asked = key is not None if leave is None else leave, key or uuid.uuid4().hex, None
        try:
            asked = self._drive(exchange.ask(body, name))
            notes.waiting(asked, left=left)
            return exchange.decision_of(self._drive(exchange.wait(asked["id"])))
        except KeyboardInterrupt:
            if not left:
                try:
                    self._drive(exchange.take_back(asked, body, name))
                except ServiceRefused as refused:
                    notes.not_taken_back(refused)
            notes.interrupted(asked, left=left)
            raise

    def begin(self, body: Mapping[str, Any], *, key: str) -> tuple[str, bool]:
        """Ask people without waiting; return the request's id, and whether it is decided."""
        asked = self._drive(exchange.ask(body, key))
        return asked["id"], asked["status"] != "pending"

    def report(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Say what came of the action; the card and the record show it."""
        self._drive(exchange.report(decision.request, succeeded=succeeded, words=words))

    def tell(self, decision: Decision, *, succeeded: bool, words: str = "") -> None:
        """Report what was done, as `AsyncClient.tell` does."""
        self._drive(exchange.tell(decision.request, succeeded=succeeded, words=words))

    def _drive(self, talk: Exchange) -> Mapping[str, Any]:
        step = next(talk)
        while True:
            got = Got(0)
            if isinstance(step, Send):
                with contextlib.suppress(*connection.failures()):
                    got = connection.got(self._pool.request(**self._address.arguments(step)))
            else:
                notes.pausing(step, self._address.url)
                time.sleep(step.seconds)
            try:
                step = talk.send(got)
            except StopIteration as end:
                found: Mapping[str, Any] = end.value
                return found
